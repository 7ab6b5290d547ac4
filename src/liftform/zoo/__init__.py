"""The networks: a registry of lazy names, the table of weights, one file per architecture."""
