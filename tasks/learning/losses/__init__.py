"""Losses: a file each, with `Settings` and `build(settings)`: logits (N, K) and labels (N,) in, the mean over the batch out."""
