"""What a network is shown, as pictures: each variant alone, then batches."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from smartgrowth.data.augment import preview
from smartgrowth.data.augment.policy import Augmentation
from smartgrowth.data.store import Data
from smartgrowth.experiment import Experiment
from smartgrowth.rendering import contact_sheet
from smartgrowth.training.batches import stage_batches

STRENGTHS = (Fraction(1, 3), Fraction(2, 3), Fraction(1))
SHOWN = 12  # images of each stage
SIDE = 88  # of a picture on a sheet, in pixels

Captioned = tuple[np.ndarray, str]  # a picture and what it is


def variants(data: Data, size: int, names: Sequence[str]) -> list[Captioned]:
    """Returns a training image under variants of augmentation.

    Each at a third, two thirds and the whole of its strength.

    Args:
      size: of the image, in pixels; the store must have it.
      names: of `policy.VARIANTS`.
    """
    part = data.train
    stored = part.images(data.stored_size(size))
    image = np.array(stored[part.rows[len(part.rows) // 2]])
    sheet = preview.variant_sheet(
        image, names, [float(strength) for strength in STRENGTHS]
    )
    return [
        (picture, f"{name} {strength}")
        for name, images in sheet
        for picture, strength in zip(images, STRENGTHS, strict=True)
    ]


def first_batches(
    experiment: Experiment, augmentation: Augmentation
) -> list[Captioned]:
    """Returns the first images of each stage, as the network sees them."""
    pictures = []
    for stage in experiment.plan.stages:
        batches = stage_batches(experiment, stage, augmentation)
        first = batches(stage.first_step, stage.first_step + 1)
        [(images, _)] = first.as_numpy_iterator()
        caption = f"stage {stage.index + 1}, {images.shape[1]} px"
        pictures += [(image, caption) for image in images[:SHOWN]]
    return pictures


def run_sheet(experiment: Experiment, augmentation: Augmentation) -> bytes:
    """Returns a run's variants and first batches as one PNG."""
    pictures = variants(
        experiment.data, experiment.config.final_size, augmentation.variants
    ) + first_batches(experiment, augmentation)
    return contact_sheet.grid(
        [image for image, _ in pictures],
        [caption for _, caption in pictures],
        columns=SHOWN,
        side=SIDE,
    )
