"""What a data set holds, and how far it lies from the source of the weights."""
