"""Linear color variants, composed into one matrix and offset an image.

A pixel is its levels (red, green, blue), 0 to 255. The result is
`matrix @ pixel + offset`: cut to 0..255 once, after everything.
"""

import math

import numpy as np
import tensorflow as tf

from smartgrowth.data.augment.variant import Variant, around_zero, switch

MAX_BRIGHTNESS = 0.15
MAX_CONTRAST = 1.4
MAX_SATURATION = 1.6
MAX_TURN = 0.05
MAX_WARMTH = 0.12

# Rec. 601, as JPEG, Pillow and tf.image have it.
LUMA = np.float32([0.299, 0.587, 0.114])
_TO_YIQ = np.float64(
    [
        [0.299, 0.587, 0.114],
        [0.59590059, -0.27455667, -0.32134392],
        [0.21153661, -0.52273617, 0.31119955],
    ]
)
_GRAY = np.tile(LUMA, (3, 1))
_CHROMA = np.eye(3, dtype=np.float32) - _GRAY
# The chroma turned by a quarter of the color circle.
_TURNED = np.float32(
    np.linalg.inv(_TO_YIQ) @ [[0, 0, 0], [0, 0, -1], [0, 1, 0]] @ _TO_YIQ
)


def _draw_order(seed, batch, size, strength):
    order = tf.argsort(tf.random.stateless_uniform((batch, 3), seed))
    return tf.cast(order, tf.float32)


# Parameters, in order: brightness: added, of the full range. contrast,
# saturation: log of the factor. hue: radians. grayscale: 1 if so. temperature:
# log of the gain of red, and of the loss of blue. channel_shuffle: the channel
# that becomes red, green and blue.
VARIANTS = {
    "brightness": Variant(
        f"lighter or darker by up to {MAX_BRIGHTNESS:.0%} of the full range",
        (0.0,),
        around_zero(MAX_BRIGHTNESS),
    ),
    "contrast": Variant(
        "levels spread from the image's mean luma by a factor of up to "
        f"{MAX_CONTRAST}, or drawn toward it",
        (0.0,),
        around_zero(math.log(MAX_CONTRAST)),
    ),
    "saturation": Variant(
        f"colors stronger by a factor of up to {MAX_SATURATION}, or weaker",
        (0.0,),
        around_zero(math.log(MAX_SATURATION)),
    ),
    "hue": Variant(
        f"colors turned by up to {MAX_TURN} of the color circle both ways",
        (0.0,),
        around_zero(2 * math.pi * MAX_TURN),
    ),
    "grayscale": Variant(
        "without color; a tenth of the images", (0.0,), switch, share=0.1
    ),
    "temperature": Variant(
        f"warmer or cooler: red and blue apart by up to {2 * MAX_WARMTH:.0%}, "
        "the luma of white as it was",
        (0.0,),
        around_zero(MAX_WARMTH),
    ),
    "channel_shuffle": Variant(
        "red, green and blue in another order; a twentieth of the images",
        (0.0, 1.0, 2.0),
        _draw_order,
        share=0.05,
    ),
}


def recolor(images, parameters: dict):
    """Applies the linear color variants among the parameters, in one product.

    Args:
      images: (batch, size, size, 3), levels 0..255, uint8 or float32.
      parameters: name -> float32 (batch, n); other names are ignored.

    Returns:
      Float32 of the same shape, not yet cut to 0..255; the images themselves
      if there is nothing to do.
    """
    if not any(name in parameters for name in VARIANTS):
        return images
    matrix, offset = _compose(parameters)
    images = tf.cast(images, tf.float32)
    if "contrast" in parameters:
        # Around mid-gray, bright images would turn white and dark ones black.
        mean = tf.reduce_mean(images, axis=(1, 2)) @ LUMA[:, np.newaxis]
        offset += mean * (1.0 - tf.exp(parameters["contrast"]))
    pixels = tf.reshape(images, (images.shape[0], -1, 3))
    # 50,500 images/s at 64 px; with tf.einsum, 24,100.
    pixels = tf.matmul(pixels, matrix, transpose_b=True)
    return tf.reshape(pixels + offset[:, tf.newaxis], images.shape)


def _compose(parameters: dict):
    """Returns matrices (batch, 3, 3), and offsets (batch, 1) but contrast's."""

    def get(name):
        return parameters.get(name, tf.constant([VARIANTS[name].identity]))

    # Hue rotates and saturation scales the same plane: one matrix does both.
    chroma = tf.exp(get("saturation")) * (1.0 - get("grayscale"))
    hue = get("hue")
    scaled = (chroma * tf.cos(hue))[..., tf.newaxis]
    turned = (chroma * tf.sin(hue))[..., tf.newaxis]
    matrix = _GRAY + scaled * _CHROMA + turned * _TURNED
    gains = tf.exp(get("temperature") * tf.constant([[1.0, 0.0, -1.0]]))
    gains /= tf.reduce_sum(gains * LUMA, axis=1, keepdims=True)
    matrix = gains[..., tf.newaxis] * matrix
    order = tf.one_hot(tf.cast(get("channel_shuffle"), tf.int32), 3)
    contrast = tf.exp(get("contrast"))
    matrix = contrast[..., tf.newaxis] * (order @ matrix)
    return matrix, 255.0 * get("brightness")
