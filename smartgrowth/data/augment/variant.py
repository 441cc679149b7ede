"""What a variant of augmentation is, and how its numbers are drawn.

The variants themselves are in geometry, color, pixels and occlusion.
"""

import dataclasses
import zlib
from collections.abc import Callable

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Variant:
    """One kind of augmentation, drawn for every image of a batch.

    Attributes:
      about: what it does at full strength, with its range.
      identity: the parameters that change nothing, one number each.
      draw: (seed, batch, size, strength) -> float32 (batch, len(identity)),
        the identity at strength 0; seed is int (2,), size the image side in
        pixels.
      share: share of the images that it is applied to, at full strength; it
        is multiplied by the strength. None for all images.
    """

    about: str
    identity: tuple[float, ...]
    draw: Callable
    share: float | None = None

    def sample(self, seed, batch: int, size: int, strength: float, chosen=None):
        """Draws parameters of a batch, float32 (batch, len(identity)).

        Args:
          seed: int (2,), the batch's.
          batch: images in the batch.
          size: of the images, in pixels.
          strength: 0 to 1.
          chosen: bool (batch,), images to apply it to, instead of its share.
        """
        hit_seed, draw_seed = seed, seed
        if self.share is not None:
            draw_seed = tf.random.split(seed, 1)[0]
        drawn = self.draw(draw_seed, batch, size, strength)
        share = self.share
        if chosen is not None and share is not None:
            share = 1.0  # already chosen; strength scales the share
        if share is not None:
            chance = tf.random.stateless_uniform((batch,), hit_seed)
            hit = chance < share * strength
            chosen = hit if chosen is None else chosen & hit
        if chosen is None:
            return drawn
        return tf.where(chosen[:, tf.newaxis], drawn, [self.identity])


def named_seed(seed, name: str):
    """Derives the seed of one named use from a batch's seed, int (2,).

    It depends on the name, not on a position in a list, so that new variants
    do not change the draws of old ones. A change to the draws of a seed must
    raise `AUGMENTATION_DRAWS` in runs/identity.py.
    """
    return tf.random.fold_in(seed, zlib.crc32(name.encode()) % 2**31)


def uniform(seed, batch: int, low, high):
    """Draws float32 (batch, len(low)), column i from low[i] to high[i]."""
    low, high = tf.constant(low, tf.float32), tf.constant(high, tf.float32)
    unit = tf.random.stateless_uniform((batch, low.shape[0]), seed)
    return low + (high - low) * unit


def around_zero(*reaches: float) -> Callable:
    """Returns a `Variant.draw`: column i between -reaches[i] and reaches[i]."""

    def draw(seed, batch, size, strength):
        high = [strength * reach for reach in reaches]
        return uniform(seed, batch, [-reach for reach in high], high)

    return draw


def switch(seed, batch, size, strength):
    """Returns ones: a `Variant.draw` for variants that are on or off.

    The share decides which images get it.
    """
    return tf.ones((batch, 1))
