"""Sets of photographs as they lie on disk: which pictures, with which masks and known cameras; films to frames."""
