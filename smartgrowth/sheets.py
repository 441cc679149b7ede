"""What a network is shown, as pictures: each variant alone, then batches."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from smartgrowth import curriculum, pictures
from smartgrowth.config import Config
from smartgrowth.data import augment, augment_sheet
from smartgrowth.data.store import Data
from smartgrowth.plan import Plan

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
    sheet = augment_sheet.variant_sheet(
        image, names, [float(strength) for strength in STRENGTHS]
    )
    return [
        (shown, f"{name} {strength}")
        for name, images in sheet
        for shown, strength in zip(images, STRENGTHS, strict=True)
    ]


def batches(
    config: Config,
    data: Data,
    plan: Plan,
    classes: np.ndarray,
    samples: Sequence[np.ndarray],
) -> list[Captioned]:
    """The first images of every stage's first batch, as the network sees them.

    classes, samples: the run's orders.
    """
    drawn = augment_sheet.stage_batches(
        data,
        plan.stages,
        [curriculum.stage_images(s, classes, samples) for s in plan.stages],
        classes,
        seed=config.seed,
        augmentation=augment.choose(config),
    )
    return [
        (image, f"stage {stage.index + 1}, {batch.shape[1]} px")
        for stage, batch in zip(plan.stages, drawn, strict=True)
        for image in batch[:SHOWN]
    ]


def png(shown: Sequence[Captioned]) -> bytes:
    """Captioned pictures as one PNG."""
    return pictures.grid(
        [image for image, _ in shown],
        [caption for _, caption in shown],
        columns=SHOWN,
        side=SIDE,
    )
