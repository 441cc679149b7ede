"""Variants that are no color matrix: filters of neighbors, and of levels.

Each needs its own pass over the pixels; blur and sharpness share one.
"""

import numpy as np
import tensorflow as tf

from smartgrowth.data.augment.variant import Variant, around_zero, uniform

MAX_SHARPNESS = 0.5
MAX_BLUR = 1 / 50
MAX_NOISE = 16
MAX_BITS = 4
MIN_THRESHOLD = 128


def _draw_blur(seed, batch, size, strength):
    return uniform(seed, batch, [0.0], [strength * MAX_BLUR * size])


def _draw_noise(seed, batch, size, strength):
    return uniform(seed, batch, [0.0], [strength * MAX_NOISE])


def _draw_bits(seed, batch, size, strength):
    return tf.round(uniform(seed, batch, [0.0], [strength * MAX_BITS]))


def _draw_threshold(seed, batch, size, strength):
    lowest = 256 - strength * (256 - MIN_THRESHOLD)
    return tf.round(uniform(seed, batch, [lowest], [256.0]))


# Parameters: sharpness: the share of fine detail that is added or removed.
# blur: standard deviation in pixels. noise: the same in levels. posterize: low
# bits dropped. solarize: the lowest level that is inverted.
VARIANTS = {
    "sharpness": Variant(
        f"rows and columns with up to {MAX_SHARPNESS:.0%} more or less of "
        "their detail finer than three pixels",
        (0.0,),
        around_zero(MAX_SHARPNESS),
    ),
    "blur": Variant(
        "Gaussian, of a standard deviation up to a fiftieth of the side",
        (0.0,),
        _draw_blur,
    ),
    "noise": Variant(
        f"normal, of a standard deviation up to {MAX_NOISE} of 255 levels",
        (0.0,),
        _draw_noise,
    ),
    "posterize": Variant(
        f"up to {MAX_BITS} of the 8 bits of every level dropped; a tenth of "
        "the images",
        (0.0,),
        _draw_bits,
        share=0.1,
    ),
    "solarize": Variant(
        f"levels from {MIN_THRESHOLD} or more on inverted; a twentieth of "
        "the images",
        (256.0,),
        _draw_threshold,
        share=0.05,
    ),
}


def filter_pixels(images, parameters: dict, noise_seed):
    """Applies sharpness, blur and noise if sampled.

    Args:
      images: (batch, size, size, 3), levels 0..255, uint8 or float32.
      parameters: name -> float32 (batch, n); other names are ignored.
      noise_seed: int (2,), of `make_noise`.

    Returns:
      Float32 of the same shape, not yet cut to 0..255; the images themselves
      if there is nothing to do.
    """
    if "sharpness" in parameters or "blur" in parameters:
        matrix = _neighbors(parameters, images.shape[1])
        images = _along_columns(tf.cast(images, tf.float32), matrix)
        images = _along_columns(tf.transpose(images, (0, 2, 1, 3)), matrix)
        images = tf.transpose(images, (0, 2, 1, 3))
    if "noise" in parameters:
        images = tf.cast(images, tf.float32)
        deviation = _for_each(parameters["noise"])
        images += deviation * make_noise(images.shape, noise_seed)
    return images


def make_noise(shape, seed):
    """Returns float32 noise from a standard normal distribution."""
    return tf.random.stateless_normal(shape, seed)


def quantize(images, parameters: dict):
    """Applies posterize and solarize, if sampled, to uint8 images."""
    if "posterize" in parameters:
        bits = tf.cast(_for_each(parameters["posterize"]), tf.uint8)
        kept = tf.bitwise.left_shift(tf.constant(255, tf.uint8), bits)
        images = tf.bitwise.bitwise_and(images, kept)
    if "solarize" in parameters:
        # A whole batch in eight bits: 256 is none, and 255 - x is ~x.
        threshold = _for_each(parameters["solarize"])
        lowest = tf.cast(tf.minimum(threshold, 255.0), tf.uint8)
        on = tf.cast(threshold < 256.0, tf.uint8)
        inverted = on * tf.cast(images >= lowest, tf.uint8) * np.uint8(255)
        images = tf.bitwise.bitwise_xor(images, inverted)
    return images


def _for_each(values):
    """Returns (batch, 1) values in a shape that broadcasts over images."""
    return values[:, :, tf.newaxis, tf.newaxis]


def _along_columns(images, matrix):
    """Multiplies every column of pixels by its image's (size, size) matrix."""
    batch, size = images.shape[:2]
    rows = tf.reshape(images, (batch, size, size * 3))
    return tf.reshape(tf.matmul(matrix, rows), images.shape)


def _neighbors(parameters: dict, size: int):
    """Returns blur and sharpness of a column, (batch, size, size).

    Edges are reflected.
    """
    near = np.arange(size)
    # A pixel, and its mirror images beyond both edges.
    distance = np.abs(
        [
            near[:, None] - near,
            near[:, None] + near + 1,
            2 * size - 1 - near[:, None] - near,
        ]
    ).astype(np.float32)
    matrix = tf.eye(size)[tf.newaxis]
    if "blur" in parameters:
        deviation = tf.maximum(_for_each(parameters["blur"]), 0.01)
        weights = tf.exp(-0.5 * tf.square(distance / deviation))
        weights = tf.reduce_sum(weights, axis=1)
        matrix = weights / tf.reduce_sum(weights, axis=2, keepdims=True)
    if "sharpness" in parameters:
        # A quarter, a half, a quarter.
        smooth = np.sum(np.clip(0.5 - distance / 4, 0, None), axis=0)
        detail = np.eye(size, dtype=np.float32) - smooth
        factor = parameters["sharpness"][..., tf.newaxis]
        matrix = (np.eye(size, dtype=np.float32) + factor * detail) @ matrix
    return matrix
