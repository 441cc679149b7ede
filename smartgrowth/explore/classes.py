"""The order in which classes enter, and how alike they are."""

from collections.abc import Sequence
from html import escape

import numpy as np

from smartgrowth.curriculum import orders
from smartgrowth.data.store import Data
from smartgrowth.explore import drawing
from smartgrowth.explore.sections import plot
from smartgrowth.plan import Plan
from smartgrowth.rendering.text import short_name

LEAVES = 150  # of the tree; of more classes, the first to enter
NAMES = 200  # listed a stage


def entering_stages(plan: Plan, order: np.ndarray) -> list[int | None]:
    """The index of the stage at which each class enters, None for never.

    order: class indices in the order of entering, int64 (C,).
    """
    stages: list[int | None] = [None] * len(order)
    for stage in reversed(plan.stages):
        for label in order[: stage.num_classes]:
            stages[label] = stage.index
    return stages


def stage_names(stages: Sequence[int | None]) -> list[str]:
    """ "stage 1" for 0; "never" for None."""
    return [
        "never" if stage is None else f"stage {stage + 1}" for stage in stages
    ]


def section(
    data: Data,
    features: np.ndarray,
    stages: Sequence[int | None],
    order: np.ndarray,
    name: str,
) -> str:
    """The tree of classes, each with its stage, and the list by stage.

    features: of the training images, (N, D). stages: of `entering_stages`.
    name: of the order, as --class_order says it.
    """
    chosen = order[:LEAVES]
    means = orders.centroids(features, data.train.labels)[chosen]
    words = stage_names(stages)
    labels = [
        f"{short_name(data.class_names[label])} ({words[label]})"
        for label in chosen
    ]
    note = "average linkage of the classes' mean features"
    if len(order) > LEAVES:
        note += f"; the first {LEAVES} of {len(order):,} classes to enter"
    drawn = plot(
        "Which classes are alike",
        lambda figure: drawing.draw_dendrogram(
            figure, means, labels, [stages[label] for label in chosen]
        ),
        note,
    )
    lists = ""
    for stage in dict.fromkeys(stages[label] for label in order):
        members = [label for label in order if stages[label] == stage]
        entered = [
            short_name(data.class_names[label]) for label in members[:NAMES]
        ]
        more = f", and {len(members) - NAMES:,} more" * (len(members) > NAMES)
        title = words[members[0]].capitalize()
        lists += (
            f"<dt>{title}: {len(members):,} classes</dt>"
            f"<dd>{escape(', '.join(entered) + more)}</dd>\n"
        )
    return (
        f"<h2>Order of the classes</h2>\n<p>--class_order={escape(name)}</p>\n"
        f'<div class="plots">{drawn}<dl class="entering">\n{lists}</dl></div>'
    )
