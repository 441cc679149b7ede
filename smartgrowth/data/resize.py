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
    """Returns the largest square around the middle, as a view.

    Args:
      images: (..., height, width, channels).
    """
    height, width = images.shape[-3:-1]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return images[..., top : top + side, left : left + side, :]


def fit_squares(
    images: np.ndarray, size: int, full: tuple[int, int]
) -> np.ndarray:
    """Returns the central squares at `size` pixels a side, antialiased.

    Each is the same as if it had been resized alone, which takes a fifth more
    time for small images.

    Args:
      images: uint8 (N, height, width, 3).
      size: in pixels.
      full: height and width of the whole images; `images` were decoded at a
        half, a quarter or an eighth of them, rounded up, or at all of them.

    Returns:
      uint8 (N, size, size, 3).
    """
    if images.shape[1:3] == tuple(full):
        images = central_square(images)
        side = images.shape[1]
        if side == size:
            return np.ascontiguousarray(images)
        left, top, right, bottom = 0, 0, side, side
    else:
        images, (left, top, right, bottom) = _cut(images, full)
    count, height, width = images.shape[:3]
    # Pillow resizes rows, then columns: images on top of each other share no
    # row, and images side by side share no column.
    tall = _resize(
        images.reshape(count * height, width, 3),
        (size, count * height),
        (left, 0, right, count * height),
    )
    rows = tall.reshape(count, height, size, 3).swapaxes(0, 1)
    wide = _resize(
        rows.reshape(height, count * size, 3),
        (count * size, size),
        (0, top, count * size, bottom),
    )
    squares = wide.reshape(size, count, size, 3).swapaxes(0, 1)
    return np.ascontiguousarray(squares)


def _resize(pixels: np.ndarray, size: tuple, box: tuple) -> np.ndarray:
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    # Pillow widens the filter when it shrinks an image, so nothing aliases.
    return np.asarray(picture.resize(size, Image.Resampling.LANCZOS, box))


def _cut(
    images: np.ndarray, full: tuple[int, int]
) -> tuple[np.ndarray, tuple[float, ...]]:
    """Returns images cut near their central square, and its exact box."""
    scale = round(max(full) / max(images.shape[1:3]))
    side = min(full)
    spans = []
    for length in full:
        start = (length - side) // 2
        spans.append((start / scale, (start + side) / scale))
    (top, bottom), (left, right) = spans
    y, x = math.floor(top), math.floor(left)
    parts = images[:, y : math.ceil(bottom), x : math.ceil(right)]
    return parts, (left - x, top - y, right - x, bottom - y)
