"""Data, losses and the training of MPCNet. Nothing here is needed to run a stream."""
