"""What a reader sees: figures, widgets, lessons, live progress. Nothing here changes a number."""
