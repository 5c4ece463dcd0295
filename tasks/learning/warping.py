"""Affine warps of a whole batch of images, each by a matrix of its own."""

import torch
from torch import Tensor
from torch.nn import functional


def warp(images: Tensor, matrices: Tensor, interpolation: str) -> Tensor:
    """Fetch each pixel of images (B, C, H, W) from where its image's matrix points; black outside of the image.

    A matrix of `matrices` (B, 2, 3) maps a place in the result to the place that it comes from: x to the right and y down, in pixels
    from the centre. `interpolation` is "nearest" or "bilinear".
    """
    height, width = images.shape[-2:]
    # torch's grid measures both directions in half widths and half heights.
    in_halves = matrices.new_tensor([[1, height / width, 2 / width], [width / height, 1, 2 / height]])
    theta = (matrices * in_halves).to(images)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode=interpolation, padding_mode="zeros", align_corners=False)


def placement(shift: Tensor, angle: Tensor, scale: Tensor) -> Tensor:
    """Matrices (B, 2, 3) that scale about the centre, turn clockwise by `angle` (B,) radians, then move by `shift` (B, 2) pixels."""
    cosine, sine = angle.cos() / scale, angle.sin() / scale
    turned = torch.stack([cosine, sine, -sine, cosine], dim=1).view(-1, 2, 2)
    return torch.cat([turned, -turned @ shift.unsqueeze(2)], dim=2)
