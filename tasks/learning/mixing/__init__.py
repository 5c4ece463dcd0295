"""Mixing of examples: a file each, with `Settings` and `build(settings)`: None, or a function that makes soft targets.

The function takes images (B, C, H, W), labels (B,) int64, the number of classes K and a torch generator; it returns images of the same
form and targets (B, K) float32 that sum to 1. All random numbers come from the generator: the same state of it gives the same bits.
"""
