"""Averages of the weights: a file each, with `Settings` and `build(settings, model, steps_per_epoch, epochs)`; None is no average."""
