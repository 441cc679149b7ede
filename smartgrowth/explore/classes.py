"""The order in which classes become active, and how similar they are."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from smartgrowth.curriculum import orders
from smartgrowth.data.store import Data
from smartgrowth.explore import drawing
from smartgrowth.rendering.figure import Plot, make_plot
from smartgrowth.rendering.text import short_name
from smartgrowth.stages import Plan

LEAVES = 150  # of the tree; with more classes, the first in the order
NAMES = 200  # listed for each stage


def entering_stages(plan: Plan, order: np.ndarray) -> list[int | None]:
    """Returns the index of the first stage in which each class is active.

    Args:
      plan: has the stages.
      order: the class order, int64 (C,).

    Returns:
      An index for each class; None for a class that never becomes active.
    """
    stages: list[int | None] = [None] * len(order)
    for stage in reversed(plan.stages):
        for label in order[: stage.num_classes]:
            stages[label] = stage.index
    return stages


def stage_names(stages: Sequence[int | None]) -> list[str]:
    """Returns "stage 1" for 0; "never" for None."""
    return [
        "never" if stage is None else f"stage {stage + 1}" for stage in stages
    ]


@dataclasses.dataclass(frozen=True)
class ClassOrder:
    """The tree of classes, each with its stage, and the list by stage.

    Attributes:
      flag: value of --class_order.
      plot: the tree.
      stages: (heading, class names) of each.
    """

    flag: str
    plot: Plot
    stages: list[tuple[str, str]]


def class_order(
    data: Data,
    features: np.ndarray,
    stages: Sequence[int | None],
    order: np.ndarray,
    flag: str,
) -> ClassOrder:
    """Returns which classes are similar, and which become active together.

    Args:
      data: has the class names and labels.
      features: descriptors of the training images, (N, D).
      stages: of `entering_stages`.
      order: the class order, int64 (C,).
      flag: value of --class_order.
    """
    chosen = order[:LEAVES]
    means = orders.centroids(features, data.train.labels)[chosen]
    names = [short_name(name) for name in data.class_names]
    words = stage_names(stages)
    labels = [f"{names[label]} ({words[label]})" for label in chosen]
    note = "average linkage of the classes' mean features"
    if len(order) > LEAVES:
        note += f"; the first {LEAVES} of {len(order):,} classes in order"
    plot = make_plot(
        "Which classes are similar",
        lambda figure: drawing.draw_dendrogram(
            figure, means, labels, [stages[label] for label in chosen]
        ),
        note,
    )
    lists = []
    for stage in dict.fromkeys(stages[label] for label in order):
        members = [label for label in order if stages[label] == stage]
        listed = ", ".join(names[label] for label in members[:NAMES])
        if len(members) > NAMES:
            listed += f", and {len(members) - NAMES:,} more"
        heading = words[members[0]].capitalize()
        lists.append((f"{heading}: {len(members):,} classes", listed))
    return ClassOrder(flag, plot, lists)
