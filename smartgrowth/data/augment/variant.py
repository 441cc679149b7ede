"""What a variant of augmentation is, and how its numbers are drawn.

The variants themselves stand in geometry, color, pixels and occlusion.
"""

import dataclasses
import zlib
from collections.abc import Callable

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Variant:
    """One kind of augmentation, drawn for every image of a batch.

    about: what it does at full strength, with its range.
    identity: the parameters that change nothing, one number each.
    draw: (seed, batch, size, strength) -> float32 (batch, len(identity)), the
      identity at strength 0; seed int (2,), size the image side in pixels.
    share: how many of the images it is applied to at full strength; times the
      strength. None: to all.
    """

    about: str
    identity: tuple[float, ...]
    draw: Callable
    share: float | None = None

    def sample(self, seed, batch: int, size: int, strength: float, chosen=None):
        """Parameters of a batch, float32 (batch, len(identity)).

        chosen: bool (batch,), the images to apply it to, instead of its share.
        """
        hit_seed, draw_seed = seed, seed
        if self.share is not None:
            draw_seed = tf.random.split(seed, 1)[0]
        drawn = self.draw(draw_seed, batch, size, strength)
        share = self.share
        if chosen is not None and share is not None:
            share = 1.0  # already chosen; its strength is how often
        if share is not None:
            chance = tf.random.stateless_uniform((batch,), hit_seed)
            hit = chance < share * strength
            chosen = hit if chosen is None else chosen & hit
        if chosen is None:
            return drawn
        return tf.where(chosen[:, tf.newaxis], drawn, [self.identity])


def named_seed(seed, name: str):
    """Returns the seed of one named use of a batch's seed, int (2,).

    By the name and not by a place in a list, so that what is added draws
    nothing anew for what was there. Whoever changes what is drawn for a seed
    raises `AUGMENTATION_DRAWS` in runs/identity.py.
    """
    return tf.random.fold_in(seed, zlib.crc32(name.encode()) % 2**31)


def uniform(seed, batch: int, low, high):
    """Float32 (batch, len(low)), column i from low[i] up to high[i]."""
    low, high = tf.constant(low, tf.float32), tf.constant(high, tf.float32)
    unit = tf.random.stateless_uniform((batch, len(low)), seed)
    return low + (high - low) * unit


def around_zero(*reaches: float) -> Callable:
    """A `Variant.draw`: column i up to reaches[i] both ways."""

    def draw(seed, batch, size, strength):
        high = [strength * reach for reach in reaches]
        return uniform(seed, batch, [-reach for reach in high], high)

    return draw


def switch(seed, batch, size, strength):
    """A `Variant.draw` of what is on or off: always on; a share decides."""
    return tf.ones((batch, 1))
