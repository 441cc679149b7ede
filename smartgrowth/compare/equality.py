"""The kinds of equal cost: each with its figures and the words for them.

`--equal` names a kind. Every table, plot and sentence takes its words here.
"""

import dataclasses
import math
from typing import TYPE_CHECKING

from smartgrowth.rendering.text import show

if TYPE_CHECKING:  # with pandas; --help reads the kinds' names
    from smartgrowth.compare.summary import Figures


@dataclasses.dataclass(frozen=True)
class Equality:
    """What every arm gets the same of.

    Attributes:
      column: of comparison.csv.
      metric: the same figure in metrics.json; also says its unit.
      less: heads how many times less of it buys the same accuracy.
      axis: names it for whole runs on an axis.
      tolerance: relative difference up to which arms count as equal.
      same: that they are, with a place for the figure as text.
      unequal: that they are not.
    """

    column: str
    metric: str
    less: str
    axis: str
    tolerance: float
    same: str
    unequal: str


KINDS = {
    "gflops": Equality(
        "gflops",
        "gflops",
        "Times less cost",
        "cost of the whole run, GFLOPs",
        0.01,
        "at the same training cost of {} a run",
        "not at equal cost",
    ),
    "images": Equality(
        "images_seen",
        "images_seen",
        "Times fewer images",
        "images shown in the whole run",
        0.01,
        "with the same {} images shown in a run",
        "not with equally many images",
    ),
    "seconds": Equality(
        "seconds",
        "train_seconds",
        "Times less time",
        "training time of the whole run, seconds",
        0.1,
        "in about the same training time of {} a run",
        "not in equal training time",
    ),
}


def compare_costs(figures: "Figures") -> tuple[bool, str]:
    """Returns whether the arms cost the same, and in which unit, as text.

    The kind that `--equal` asked for comes first: finished runs may be equal
    in another one.
    """
    asked = KINDS[figures.equal]
    means = figures.whole.groupby("arm", observed=True)[
        [kind.column for kind in KINDS.values()]
    ].mean()
    spread = means.max() / means.min() - 1
    # A plan has whole steps, so costs can differ by one step.
    step = max(
        stage["gflops"] / stage["steps"] / run.figures["gflops"]
        for run in figures.runs.values()
        for stage in run.stages
    )
    for kind in (asked, *KINDS.values()):
        if spread[kind.column] <= kind.tolerance + step:
            value = show(kind.metric, means[kind.column].mean())
            return True, kind.same.format(value)
    costs = ", ".join(
        f"{arm} {'–' if math.isnan(cost) else show(asked.metric, cost)}"
        for arm, cost in means[asked.column].items()
    )
    return False, f"{asked.unequal}: {costs}"
