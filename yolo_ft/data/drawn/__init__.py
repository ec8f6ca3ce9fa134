"""Data sets that are drawn: blood smears and brushed metal, the same bytes on every machine."""
