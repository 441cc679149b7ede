"""Test-time augmentation: several views of each image vote.

A view is one forward pass. Variants share views, so that each view is passed
only once.
"""

import dataclasses
import math
import time
from collections.abc import Iterable, Mapping

import numpy as np

from smartgrowth.data import pipeline
from smartgrowth.data.views import flip_and_shift
from smartgrowth.evaluation.evaluator import BATCH, Evaluator
from smartgrowth.metrics.scores import softmax

# FixRes (Touvron et al., 1906.06423): objects look larger in training than in
# tests at the same size, so a network does best on larger test images: at 160
# px if trained at 128, at 288 px if trained at 224.
LARGER, LARGEST = 1.25, 1.5
SHIFT = 1 / 32  # of the side: 1 px at 32 px


@dataclasses.dataclass(frozen=True, order=True)
class View:
    """What is done to an image before a forward pass.

    Attributes:
      size: in pixels.
      flip: whether it is mirrored left to right.
      shift: pixels down and to the right, with reflected edges.
    """

    size: int
    flip: bool = False
    shift: int = 0

    def apply(self, images):
        """Returns the view of a batch of images, (batch, size, size, 3)."""
        return flip_and_shift(images, self.flip, self.shift)


@dataclasses.dataclass(frozen=True)
class Passes:
    """Results of forward passes over a split.

    Attributes:
      probabilities: of each view, float64 (images, classes).
      seconds: of a pass over the split at each size, without compilation.
    """

    probabilities: Mapping[View, np.ndarray]
    seconds: Mapping[int, float]


def make_variants(
    size: int, stride: int, mirrored: bool
) -> dict[str, tuple[View, ...]]:
    """Returns the views of each variant, by name; one is "plain".

    Args:
      size: that the network was trained for, in pixels.
      stride: image sizes must be multiples of it.
      mirrored: whether mirror images keep their class and may vote.
    """
    larger = max(_multiple(LARGER * size, stride), size + stride)
    largest = max(_multiple(LARGEST * size, stride), larger + stride)
    step = max(round(SHIFT * size), 1)
    sides = (False, True) if mirrored else (False,)
    shifted = [
        View(size, side, shift) for shift in (0, -step, step) for side in sides
    ]
    sizes = [View(s, side) for s in (size, larger, largest) for side in sides]
    variants = {"plain": (View(size),)}
    if mirrored:
        variants["flip"] = tuple(View(size, side) for side in sides)
    variants["flip, shifts" if mirrored else "shifts"] = tuple(shifted)
    variants[f"{larger} px"] = (View(larger),)
    if mirrored:
        both = tuple(View(larger, side) for side in sides)
        variants[f"{larger} px, flip"] = both
    name = f"{size}, {larger}, {largest} px"
    variants[f"{name}, flip" if mirrored else name] = tuple(sizes)
    return variants


def sizes_of(variants: Mapping[str, Iterable[View]]) -> set[int]:
    """Returns the image sizes of all views, in pixels."""
    return {view.size for views in variants.values() for view in views}


def run(evaluator: Evaluator, split: str, views: Iterable[View]) -> Passes:
    """Passes all images of a split once for each view, in batches."""
    part = evaluator.data.split(split)
    by_size = {}
    for view in sorted(set(views)):
        by_size.setdefault(view.size, []).append(view)
    logits, seconds = {}, {}
    for size, same_size in by_size.items():
        times = []
        for view, rows, took in _forward(evaluator, part, size, same_size):
            logits.setdefault(view, []).append(rows)
            times.append(took)
        # The first one includes compilation.
        times = times[1:] or times
        batches = math.ceil(len(part.labels) / BATCH)
        seconds[size] = float(np.mean(times)) * batches
    count = len(part.labels)
    return Passes(
        {
            view: softmax(np.concatenate(rows)[:count])
            for view, rows in logits.items()
        },
        seconds,
    )


def vote(passes: Passes, views: Iterable[View]) -> np.ndarray:
    """Returns the mean of the views' probabilities, (images, classes)."""
    return np.mean([passes.probabilities[view] for view in views], axis=0)


def _forward(evaluator, part, size, views):
    """Yields (view, logits, seconds) of every batch and view of a size."""
    batches = pipeline.make_validation(evaluator.data, part, size, BATCH)
    # Prepared while the network processes the batch before.
    batches = batches.map(
        lambda images: tuple(view.apply(images) for view in views)
    ).prefetch(2)
    for batch in batches.as_numpy_iterator():
        for view, images in zip(views, batch, strict=True):
            began = time.perf_counter()
            logits = evaluator.forward(images)
            yield view, logits, time.perf_counter() - began


def _multiple(size: float, stride: int) -> int:
    return round(size / stride) * stride
