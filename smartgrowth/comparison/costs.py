"""Whether the arms of a comparison cost the same, and in which unit."""

import math

from smartgrowth.comparison.equality import KINDS
from smartgrowth.comparison.summary import Figures
from smartgrowth.rendering.text import show


def compare_costs(figures: Figures) -> tuple[bool, str]:
    """Returns whether the arms cost the same, and in which unit, as text.

    The kind that `--equal` asked for comes first: finished runs may be equal
    in another one.
    """
    asked = KINDS[figures.equal]
    means = figures.whole.groupby("arm", observed=True)[
        [kind.column for kind in KINDS.values()]
    ].mean()
    spread = means.max() / means.min() - 1
    # A plan has whole steps, so costs can differ by one step. Of the largest
    # budget, as the means are: of a smaller one a step is a larger part.
    step = max(
        stage["gflops"] / stage["steps"] / run.figures["gflops"]
        for (_, budget, _), run in figures.runs.items()
        if budget == figures.budgets[-1]
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
