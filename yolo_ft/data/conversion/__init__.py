"""One data set made into another: in another format, or in tiles."""
