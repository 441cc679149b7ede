"""Cuts and resizes images to the squares that a store holds."""

import math

import numpy as np
from PIL import Image


def scaled_side(size: int) -> int:
    """Returns the shorter side that a JPEG needs for a square of `size` px.

    Twice the next of 32, 64, 128, ..., so that sizes near each other are made
    of one decoded image, and none depends on which others are made.
    """
    return 2 * max(32, 1 << (size - 1).bit_length())


def central_square(images: np.ndarray) -> np.ndarray:
    """Returns the largest square around the middle.

    Args:
      images: (..., height, width, channels).

    Returns:
      A view, (..., side, side, channels).
    """
    height, width = images.shape[-3:-1]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return images[..., top : top + side, left : left + side, :]


def fit_squares(
    images: np.ndarray, size: int, full: tuple[int, int] | None = None
) -> np.ndarray:
    """Returns the central squares at `size` pixels a side, antialiased.

    A pixel is the same as if its image had been resized alone. Together it is
    several times faster for small images, since Pillow spends most of the time
    on the weights of the filter.

    Args:
      images: uint8 (N, height, width, 3).
      size: in pixels.
      full: height and width of images that were decoded at a fraction of them;
        None if `images` are as large as they were.

    Returns:
      uint8 (N, size, size, 3).
    """
    box = None
    if full is None:
        images = central_square(images)
    else:
        images, box = _cut(images, full)
    count, height, width = images.shape[:3]
    if box is None and height == size:
        return np.ascontiguousarray(images)
    left, top, right, bottom = box or (0, 0, width, height)
    # Pillow widens the filter when it shrinks an image, so nothing aliases.
    # It resizes rows, then columns: a stack of images has rows of its own,
    # and images side by side have columns of their own.
    tall = _resize(
        images.reshape(count * height, width, 3),
        (size, count * height),
        (left, 0, right, count * height),
    )
    rows = tall.reshape(count, height, size, 3).transpose(1, 0, 2, 3)
    wide = _resize(
        rows.reshape(height, count * size, 3),
        (count * size, size),
        (0, top, count * size, bottom),
    )
    squares = wide.reshape(size, count, size, 3).transpose(1, 0, 2, 3)
    return np.ascontiguousarray(squares)


def _resize(pixels: np.ndarray, size: tuple, box: tuple) -> np.ndarray:
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(picture.resize(size, Image.Resampling.LANCZOS, box))


def _cut(images: np.ndarray, full: tuple[int, int]):
    """Returns images cut near their central square, and its exact box."""
    # Sides are rounded up when they are decoded at a half, a quarter, ...
    scale = round(max(full) / max(images.shape[1:3]))
    side = min(full)
    spans = []
    for length in full:
        start = (length - side) // 2
        spans.append((start / scale, (start + side) / scale))
    (top, bottom), (left, right) = spans
    y, x = math.floor(top), math.floor(left)
    images = images[:, y : math.ceil(bottom), x : math.ceil(right)]
    return images, (left - x, top - y, right - x, bottom - y)
