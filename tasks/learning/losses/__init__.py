"""Losses: a file each, with `Settings` and `build(settings)`: logits (N, K) and targets in, the mean over the batch out.

Targets are labels (N,) int64 or soft targets (N, K) float32, the share of each class.
"""
