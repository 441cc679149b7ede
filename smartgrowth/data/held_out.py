"""Holds out a part of each class by the content of its images.

Adding, removing or renaming other images moves none, and identical copies are
never on both sides.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from smartgrowth import UserError
from smartgrowth.data.source import VALIDATION
from smartgrowth.data.sources.listing import name_some
from smartgrowth.data.store import Data

# Else a folder that was split by the same hash would have nothing to give.
SALT = b"--hold_out"


def hold_out(data: Data, share: float) -> Data:
    """Returns `data` that validates on a part of its training images.

    They are no longer trained on, and the validation images are left alone:
    what is chosen by them can still be judged afterwards. `mean` and
    `variance` stay those of all training images.

    Args:
      data: whose training images are divided.
      share: of each class, on average; see `bound`.

    Raises:
      UserError: a class has a single training image.
    """
    train = data.train
    if alone := np.flatnonzero(data.class_counts == 1).tolist():
        named = name_some([data.class_names[label] for label in alone])
        raise UserError(
            f"--hold_out: {named} has a single training image, too few to "
            "train and validate; add images, or leave the class out with "
            "--classes"
        )
    draws = np.array(
        [draw(hashlib.sha256(SALT + row.tobytes())) for row in train.digests]
    )
    is_held = np.zeros(len(draws), bool)
    for label in range(len(data.class_names)):
        own = train.labels == label
        is_held |= own & (draws < bound(draws[own], share))
    return data.with_splits(
        train.subset(~is_held), train.subset(is_held, VALIDATION)
    )


def draw(hashed) -> float:
    """Returns a number in [0, 1) made of a hash, as `hashlib` returns it."""
    return int.from_bytes(hashed.digest()[:8], "big") / 2**64


def bound(draws: Sequence[float], share: float) -> float:
    """Returns the number below which images of a class are validation.

    Of n images that is `share` of them, with a standard deviation of
    sqrt(share (1 - share) / n). A class of which none is below gives the lowest
    one; if all are, the highest goes to training. Only such an image may move
    when images are added or removed. A class of copies of one image is all
    training.

    Args:
      draws: of the images of a class, as `draw` returns them.
      share: in (0, 1).
    """
    values = sorted(set(draws))
    if len(values) < 2:  # copies of one image
        return 0.0
    # At least the lowest one is below it, and the highest is not.
    least = share if values[0] < share else values[1]
    return min(least, values[-1])
