"""Optimizers: a file each, with `Settings` and `build(settings, weights)`, which is never handed the word `auto` but a number."""
