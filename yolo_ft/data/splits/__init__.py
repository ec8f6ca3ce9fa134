"""Training, validation and test images: alike, apart, and without leaks."""
