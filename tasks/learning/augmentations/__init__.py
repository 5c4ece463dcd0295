"""Augmentations: a file each, with `Settings` and `build(settings)`: None, or a function of images and a generator.

The function takes images (B, C, H, W) float32 in [0, 1] and a torch generator, and returns images of the same form. Each example gets
random numbers of its own, and all of them come from the generator: the same state of it gives the same bits.
"""
