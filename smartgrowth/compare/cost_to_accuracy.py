"""Reading off curves: the cost of an accuracy, the mean curve, the saving."""

import math
from collections.abc import Sequence

import numpy as np

ROUNDING = 1e-6  # log.csv holds six digits; a run must reach its own end


def cost_to_reach(
    costs: Sequence[float], accuracies: Sequence[float], target: float
) -> float:
    """The cost at which a run first reached an accuracy; NaN if it never did.

    Linear between evaluations. The first evaluation's cost if it was reached
    there: what was before is not known.

    costs, accuracies: (evaluations,), the costs rising.
    """
    costs, accuracies = np.asarray(costs), np.asarray(accuracies)
    reached = np.flatnonzero(accuracies >= target - ROUNDING)
    if not reached.size:
        return math.nan
    index = reached[0]
    if index == 0 or math.isnan(accuracies[index - 1]):
        return float(costs[index])
    low, high = accuracies[index - 1 : index + 1]
    part = min((target - low) / (high - low), 1.0)
    before, after = costs[index - 1 : index + 1]
    return float(before + part * (after - before))


def align(
    runs: Sequence[tuple[Sequence[float], Sequence[float]]],
) -> tuple[np.ndarray, np.ndarray]:
    """Curves of several seeds on the costs of the first one.

    runs: (costs, values) of each, at least one.

    Returns:
      Costs (points,) and values (runs, points), linear between evaluations,
      where all runs have some.
    """
    first = np.asarray(runs[0][0], float)
    low = max(costs[0] for costs, _ in runs)
    high = min(costs[-1] for costs, _ in runs)
    # Seeds differ by rounding, which must not cost a curve its ends.
    slack = 1e-3 * high
    grid = first[(first >= low - slack) & (first <= high + slack)]
    return grid, np.array([np.interp(grid, *run) for run in runs])


def times_less(
    whole: float,
    target: float,
    costs: Sequence[float],
    accuracies: Sequence[float],
) -> tuple[float, str]:
    """How many times less than `whole` an arm costs for an accuracy.

    Args:
      whole: what the baseline cost. target: the accuracy it ended with.
      costs, accuracies: (budgets,) of the arm, each trained to its own end,
        the costs rising.

    Returns:
      The ratio, and "=": read off by interpolation, linear in the logarithm
      of the cost; "at least": the smallest budget is already enough; "less
      than": even the largest is not.
    """
    if accuracies[0] >= target:
        return whole / costs[0], "at least"
    cost = cost_to_reach(np.log(costs), accuracies, target)
    if math.isnan(cost):
        return whole / costs[-1], "less than"
    return whole / math.exp(cost), "="
