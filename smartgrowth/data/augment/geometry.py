"""Geometric variants, composed into one warp of every image.

A point is (x, y, 1), x to the right and y down, in pixels from the image's
center. Every variant is a 3x3 matrix from a point of the result to its point in
the original; their product is applied.
"""

import math

import tensorflow as tf

from smartgrowth.data.augment.variant import (
    Variant,
    around_zero,
    switch,
    uniform,
)

MAX_SHIFT = 1 / 8
MAX_DEGREES = 20
MAX_ZOOM = 1.25
MAX_ASPECT = 4 / 3
MAX_SHEAR = 0.2
MIN_AREA = 0.5
MAX_TILT = 0.15


def _draw_shift(seed, batch, size, strength):
    reach = round(MAX_SHIFT * size * strength)
    whole = tf.random.stateless_uniform(
        (batch, 2), seed, -reach, reach + 1, tf.int32
    )
    return tf.cast(whole, tf.float32)


def _draw_crop(seed, batch, size, strength):
    """Fractions of the side: height, width, top, left; all within the image."""
    aspect = strength * math.log(MAX_ASPECT)
    drawn = uniform(
        seed,
        batch,
        [1 - (1 - MIN_AREA) * strength, -aspect, 0, 0],
        [1, aspect, 1, 1],
    )
    area, aspect, top, left = tf.unstack(drawn, axis=1)
    height = tf.minimum(tf.sqrt(area * tf.exp(-aspect)), 1.0)
    width = tf.minimum(tf.sqrt(area * tf.exp(aspect)), 1.0)
    return tf.stack(
        [height, width, top * (1 - height), left * (1 - width)], axis=1
    )


# Parameters, in order: flip: 1 if mirrored. shift: pixels down, to the right.
# rotation: radians counter-clockwise. zoom: log of the factor. aspect: log of
# width by height. shear: of x by y, of y by x. crop: see `_draw_crop`.
# perspective: how much nearer the right edge is than the center, and the lower.
VARIANTS = {
    "flip": Variant(
        "mirrored left to right; half of the images", (0.0,), switch, share=0.5
    ),
    "shift": Variant(
        "moved by whole pixels, up to an eighth of the side",
        (0.0, 0.0),
        _draw_shift,
    ),
    "rotation": Variant(
        f"turned by up to {MAX_DEGREES} degrees both ways",
        (0.0,),
        around_zero(math.radians(MAX_DEGREES)),
    ),
    "zoom": Variant(
        f"enlarged or shrunk by a factor of up to {MAX_ZOOM}",
        (0.0,),
        around_zero(math.log(MAX_ZOOM)),
    ),
    "aspect": Variant(
        "stretched one way, squeezed the other: up to 4 by 3 or 3 by 4",
        (0.0,),
        around_zero(math.log(MAX_ASPECT)),
    ),
    "shear": Variant(
        f"rows and columns slanted by up to {MAX_SHEAR} pixels a pixel",
        (0.0, 0.0),
        around_zero(MAX_SHEAR, MAX_SHEAR),
    ),
    "crop": Variant(
        "a random part, half to all of the area, 3 by 4 to 4 by 3, resized",
        (1.0, 1.0, 0.0, 0.0),
        _draw_crop,
    ),
    "perspective": Variant(
        f"tilted about both axes: an edge up to {MAX_TILT:.0%} nearer",
        (0.0, 0.0),
        around_zero(MAX_TILT, MAX_TILT),
    ),
}
# They move whole pixels: nothing is interpolated.
EXACT = {"flip", "shift"}


def warp(images, parameters: dict):
    """Applies the geometric variants among the parameters, all in one warp.

    Beyond the edge the image is reflected, its outermost pixels repeated.

    Args:
      images: uint8 (batch, size, size, 3).
      parameters: name -> float32 (batch, n); other names are ignored.

    Returns:
      The same shape; uint8 if nothing is interpolated, else float32.
    """
    names = [name for name in VARIANTS if name in parameters]
    if not names:
        return images
    exact = EXACT.issuperset(names)
    if not exact:
        # 11,300 images/s at 64 px; of uint8, 9,500, and cut off to whole
        # levels instead of rounded.
        images = tf.cast(images, tf.float32)
    size = images.shape[1]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=_transforms(parameters, size),
        output_shape=[size, size],
        fill_value=0.0,
        interpolation="NEAREST" if exact else "BILINEAR",
        fill_mode="REFLECT",
    )


def _transforms(parameters: dict, size: int):
    """Returns the op's eight numbers for every image, float32 (batch, 8)."""
    center = (size - 1) / 2
    matrix = _moved(center, center)
    # From the original outwards: cropped first, moved last.
    for name in (
        "crop",
        "zoom",
        "aspect",
        "shear",
        "rotation",
        "perspective",
        "flip",
        "shift",
    ):
        if name in parameters:
            numbers = tf.unstack(parameters[name], axis=1)
            matrix = matrix @ _MATRICES[name](size, *numbers)
    flat = tf.reshape(matrix @ _moved(-center, -center), (-1, 9))
    return flat[:, :8] / flat[:, 8:]


def _moved(x, y):
    return _matrix([1.0, 0.0, x], [0.0, 1.0, y])


def _matrix(first, second, third=(0.0, 0.0, 1.0)):
    """Returns (batch, 3, 3) from three rows of numbers or (batch,) tensors."""
    entries = [tf.convert_to_tensor(v) for v in (*first, *second, *third)]
    shape = max((entry.shape for entry in entries), key=len)
    entries = [tf.broadcast_to(entry, shape) for entry in entries]
    return tf.reshape(tf.stack(entries, axis=-1), (-1, 3, 3))


def _crop(size, height, width, top, left):
    half = size / 2
    return _matrix(
        [width, 0.0, half * (2 * left + width - 1)],
        [0.0, height, half * (2 * top + height - 1)],
    )


def _zoom(size, log):
    factor = tf.exp(-log)
    return _matrix([factor, 0.0, 0.0], [0.0, factor, 0.0])


def _aspect(size, log):
    return _matrix([tf.exp(-log / 2), 0.0, 0.0], [0.0, tf.exp(log / 2), 0.0])


def _shear(size, by_y, by_x):
    return _matrix([1.0, by_y, 0.0], [by_x, 1.0, 0.0])


def _rotation(size, angle):
    cos, sin = tf.cos(angle), tf.sin(angle)
    return _matrix([cos, -sin, 0.0], [sin, cos, 0.0])


def _perspective(size, right, down):
    return _matrix(
        [1.0, 0.0, 0.0],
        [0.0, 1.0, 0.0],
        [right * (2 / size), down * (2 / size), 1.0],
    )


def _flip(size, mirrored):
    return _matrix([1.0 - 2.0 * mirrored, 0.0, 0.0], [0.0, 1.0, 0.0])


def _shift(size, down, right):
    return _moved(-right, -down)


_MATRICES = {
    "crop": _crop,
    "zoom": _zoom,
    "aspect": _aspect,
    "shear": _shear,
    "rotation": _rotation,
    "perspective": _perspective,
    "flip": _flip,
    "shift": _shift,
}
