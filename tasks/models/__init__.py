"""Models: a file each, with `Settings` and `build(settings, shape, classes)`: images (N, C, H, W) float in, logits (N, K) out."""
