"""The workshop of the networks (extra: train): rendering, data, loop, losses."""
