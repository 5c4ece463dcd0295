"""Attributions: how much each pixel of an image counts for a logit. One file each, and this folder is the registry.

To add a method, add a file here and list its name under `explain.methods`. The file holds

- `MEANING`, a phrase that says what a value of its heat map is;
- `SIGNED`, whether a value may be negative, which then means that the pixel speaks against the class;
- `Settings`, the options of the method (`tasks.core.components`);
- `attribute(settings, model, inputs, classes, most) -> heat maps`: for inputs (N, C, H, W) float32 as the model sees them and class
  numbers (N,) int64, one heat map for each image, (N, H, W) float32. The model is given at most `most` images at once, N if `most` is
  smaller.

The methods that compare with an empty image fill it with 0, which is the mean of train where images are standardised, and else black.
"""
