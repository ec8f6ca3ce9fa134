"""Public data sets by name, and how files get here from the network."""
