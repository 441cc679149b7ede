"""What a network is shown, as pictures: each variant alone, then batches."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from smartgrowth.data.augment import preview
from smartgrowth.data.store import Data
from smartgrowth.plan import Plan
from smartgrowth.rendering import contact_sheet
from smartgrowth.training.batches import Batches

STRENGTHS = (Fraction(1, 3), Fraction(2, 3), Fraction(1))
SHOWN = 12  # images of each stage
SIDE = 88  # of a picture on a sheet, in pixels

# A picture and what it is.
Captioned = tuple[np.ndarray, str]


def variants(data: Data, size: int, names: Sequence[str]) -> list[Captioned]:
    """A training image under variants at a third, two thirds and the whole of
    their strength.

    size: of the image, in pixels; the store must have it.
    """
    part = data.train
    stored = part.images(data.stored_size(size))
    image = np.array(stored[part.rows[len(part.rows) // 2]])
    sheet = preview.variant_sheet(
        image, names, [float(strength) for strength in STRENGTHS]
    )
    return [
        (shown, f"{name} {strength}")
        for name, images in sheet
        for shown, strength in zip(images, STRENGTHS, strict=True)
    ]


def batches(shown: Batches, plan: Plan) -> list[Captioned]:
    """The first images of each stage's first batch, as they are shown."""
    found = []
    for stage in plan.stages:
        first = shown.of(stage, stage.first_step, stage.first_step + 1)
        [(images, _)] = first.as_numpy_iterator()
        caption = f"stage {stage.index + 1}, {images.shape[1]} px"
        found += [(image, caption) for image in images[:SHOWN]]
    return found


def png(shown: Sequence[Captioned]) -> bytes:
    """Captioned pictures as one PNG."""
    return contact_sheet.grid(
        [image for image, _ in shown],
        [caption for _, caption in shown],
        columns=SHOWN,
        side=SIDE,
    )
