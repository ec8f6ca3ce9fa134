"""Data sets: reading, checking, augmenting and batching. Knows `core`, never `models`."""
