"""Optimizers: a file each, with `Settings` and `build(settings, weights)`."""
