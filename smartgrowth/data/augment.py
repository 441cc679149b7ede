"""Augmentation in place: sample the parameters of a batch, then apply them.

Every number is drawn from stateless generators, so that a batch is a pure
function of its seed. The number of images never grows.
"""

import tensorflow as tf

from smartgrowth import UserError

# name -> (what it does at full strength)
VARIANTS = {
    "flip": "mirrored left to right, half of the images",
    "shift": "moved by up to an eighth of the side, the edge reflected",
}
PRESETS = {"none": (), "basic": ("flip", "shift")}
MAX_SHIFT = 1 / 8


def choose_variants(names: tuple[str, ...]) -> tuple[str, ...]:
    """The variants that `--augment` means: a preset's, or those named."""
    if len(names) == 1 and names[0] in PRESETS:
        return PRESETS[names[0]]
    for name in names:
        if name not in VARIANTS:
            raise UserError(
                f"--augment: {name!r} is unknown; known are the presets "
                f"{', '.join(PRESETS)} and the variants {', '.join(VARIANTS)}"
            )
    return tuple(names)


def sample_parameters(
    variants: tuple[str, ...], strength: float, size: int, batch: int, seed
) -> dict:
    """Draws what happens to each image of a batch.

    Args:
      variants: of `VARIANTS`.
      strength: 0 (nothing happens) to 1.
      size: image side in pixels.
      batch: number of images.
      seed: int (2,) tensor.

    Returns:
      A dict of tensors: "flip" bool (batch,), "shift" float32 (batch, 2), whole
      pixels down and to the right. A variant that is off has no entry.
    """
    seeds = tf.random.split(seed, 2)
    parameters = {}
    if "flip" in variants:
        parameters["flip"] = (
            tf.random.stateless_uniform((batch,), seeds[0]) < 0.5 * strength
        )
    if "shift" in variants:
        reach = round(MAX_SHIFT * size * strength)
        parameters["shift"] = tf.cast(
            tf.random.stateless_uniform(
                (batch, 2), seeds[1], -reach, reach + 1, tf.int32
            ),
            tf.float32,
        )
    return parameters


def apply(images, parameters: dict):
    """Applies sampled parameters to uint8 (batch, size, size, 3) images.

    All geometric variants are composed into one warp. Returns the same shape
    and dtype.
    """
    if not parameters:
        return images
    batch, size = images.shape[0], images.shape[1]
    flip = parameters.get("flip", tf.zeros(batch, tf.bool))
    shift = parameters.get("shift", tf.zeros((batch, 2)))
    # The op maps output to input pixels: x_in = a x + c, y_in = y + f.
    a = tf.where(flip, -1.0, 1.0)
    c = tf.where(flip, size - 1.0, 0.0) - a * shift[:, 1]
    f = -shift[:, 0]
    zero, one = tf.zeros(batch), tf.ones(batch)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([a, zero, c, zero, one, f, zero, zero], axis=1),
        output_shape=[size, size],
        fill_value=0.0,
        interpolation="NEAREST",
        fill_mode="REFLECT",
    )
