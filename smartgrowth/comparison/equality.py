"""The kinds of equal cost: each with its figures and the words for them.

`--equal` names a kind. Every table, plot and sentence takes its words here.
"""

import dataclasses


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
