"""Variants that hide parts of an image behind mid-gray: one mask for all."""

import tensorflow as tf

from smartgrowth.data.augment.variant import Variant, uniform

MIN_SIDE, MAX_SIDE = 0.1, 0.4
MIN_SQUARE, MAX_SQUARE = 0.3, 0.5
GRAY = 128


def _draw_cutout(seed, batch, size, strength):
    low, high = strength * MIN_SIDE, strength * MAX_SIDE
    return uniform(seed, batch, [low, low, 0.0, 0.0], [high, high, 1.0, 1.0])


def _draw_grid(seed, batch, size, strength):
    low, high = strength * MIN_SQUARE, strength * MAX_SQUARE
    return uniform(seed, batch, [1 / 4, low, 0.0, 0.0], [1 / 2, high, 1.0, 1.0])


# Parameters, in order: cutout: height, width, and the center's y and x, as
# fractions of the side. grid_mask: the spacing of the squares as a fraction of
# the side; their side, and the first one's y and x, as fractions of the
# spacing. A pixel is hidden if its center is.
VARIANTS = {
    # DeVries and Taylor 2017, arXiv 1708.04552
    "cutout": Variant(
        f"a rectangle, {MIN_SIDE:.0%} to {MAX_SIDE:.0%} of the side high and "
        "wide, its middle anywhere, hidden; half of the images",
        (0.0, 0.0, 0.5, 0.5),
        _draw_cutout,
        share=0.5,
    ),
    # Chen et al. 2020, arXiv 2001.04086
    "grid_mask": Variant(
        f"a grid of squares, 2 to 4 a side, {MIN_SQUARE:.0%} to "
        f"{MAX_SQUARE:.0%} as wide as their spacing, hidden; a tenth of the "
        "images",
        (0.5, 0.0, 0.0, 0.0),
        _draw_grid,
        share=0.1,
    ),
}


def hide(images, parameters: dict):
    """Applies cutout and grid mask if sampled.

    Args:
      images: uint8 (batch, size, size, 3).
      parameters: name -> float32 (batch, n); other names are ignored.
    """
    batch, size = images.shape[:2]
    middles = (tf.range(size, dtype=tf.float32) + 0.5) / size
    holes = []
    if "cutout" in parameters:
        height, width, y, x = tf.split(parameters["cutout"], 4, axis=1)
        rows = tf.abs(middles - y) < height / 2
        holes.append((rows, tf.abs(middles - x) < width / 2))
    if "grid_mask" in parameters:
        spacing, side, y, x = tf.split(parameters["grid_mask"], 4, axis=1)
        rows = tf.math.floormod(middles / spacing - y, 1.0) < side
        holes.append(
            (rows, tf.math.floormod(middles / spacing - x, 1.0) < side)
        )
    if not holes:
        return images
    # Channels within the rows: twice as fast as a mask of one channel.
    masks = [
        rows[:, :, tf.newaxis] & tf.repeat(columns, 3, axis=1)[:, tf.newaxis]
        for rows, columns in holes
    ]
    hidden = masks[0] if len(masks) == 1 else masks[0] | masks[1]
    flat = tf.reshape(images, hidden.shape)
    flat = tf.where(hidden, tf.constant(GRAY, tf.uint8), flat)
    return tf.reshape(flat, images.shape)
