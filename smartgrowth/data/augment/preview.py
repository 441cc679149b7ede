"""Examples of every augmentation variant, as arrays for pages and sheets.

Nothing here trains or draws a figure.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from smartgrowth.data.augment import policy
from smartgrowth.data.augment.variant import named_seed

STRENGTHS = (1 / 3, 2 / 3, 1.0)
DRAWS = 32


def variant_sheet(
    image: np.ndarray,
    names: Sequence[str] = tuple(policy.VARIANTS),
    strengths: Sequence[float] = STRENGTHS,
    seed: int = 0,
) -> list[tuple[str, list[np.ndarray]]]:
    """Returns an image under each variant alone, at several strengths.

    Of `DRAWS` draws, the one that changes the image most is shown: about the
    strongest in training. A variant that training applies to a share of the
    images is always applied here.

    Args:
      image: uint8 (size, size, 3).
      names: of the variants.
      strengths: 0 to 1.
      seed: of the draws.

    Returns:
      (name, images) of each variant; an image uint8 (size, size, 3) for each
      strength.
    """
    size = len(image)
    batch = tf.tile(tf.constant(image)[tf.newaxis], (DRAWS, 1, 1, 1))
    sheet = []
    for name in names:
        strongest = []
        for strength in strengths:
            key = named_seed(tf.constant([seed, 0], tf.int64), name)
            drawn = policy.VARIANTS[name].draw(key, DRAWS, size, strength)
            made = policy.apply(batch, {name: drawn}, key).numpy()
            change = np.abs(made.astype(int) - image).sum(axis=(1, 2, 3))
            strongest.append(made[change.argmax()])
        sheet.append((name, strongest))
    return sheet
