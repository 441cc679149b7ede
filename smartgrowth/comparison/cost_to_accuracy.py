"""Figures from curves: the cost of an accuracy, aligned curves, the saving."""

import math
from collections.abc import Sequence

import numpy as np

ROUNDING = 1e-6  # log.csv has six digits; a run must reach its own accuracy


def cost_to_reach(
    costs: Sequence[float], accuracies: Sequence[float], target: float
) -> float:
    """Returns the cost at which a run first reached an accuracy.

    It is interpolated linearly between evaluations. If the first evaluation
    already reached the target, it is the cost there: nothing earlier is known.

    Args:
      costs: (evaluations,), rising.
      accuracies: (evaluations,).
      target: the accuracy to reach.

    Returns:
      The cost; NaN if the target was never reached.
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
    """Interpolates the curves of several seeds at the costs of the first one.

    Args:
      runs: (costs, values) of each run; at least one.

    Returns:
      Costs (points,) and values (runs, points), within the range that all runs
      cover, linear between evaluations.
    """
    first = np.asarray(runs[0][0], float)
    low = max(costs[0] for costs, _ in runs)
    high = min(costs[-1] for costs, _ in runs)
    # Seeds' costs differ by rounding, which must not cut off a curve's ends.
    slack = 1e-3 * high
    grid = first[(first >= low - slack) & (first <= high + slack)]
    return grid, np.array([np.interp(grid, *run) for run in runs])


def times_less(
    whole: float,
    target: float,
    costs: Sequence[float],
    accuracies: Sequence[float],
) -> tuple[float, str]:
    """Returns how many times less than the baseline an arm costs.

    Args:
      whole: the baseline's cost.
      target: the accuracy that the baseline ended with.
      costs: (budgets,) of the arm, rising, each trained to its own end.
      accuracies: (budgets,) of the arm.

    Returns:
      The ratio, and how to read it. "=": interpolated, linear in the logarithm
      of the cost. "at least": the smallest budget already reaches the target.
      "less than": even the largest budget does not.
    """
    if accuracies[0] >= target:
        return whole / costs[0], "at least"
    cost = cost_to_reach(np.log(costs), accuracies, target)
    if math.isnan(cost):
        return whole / costs[-1], "less than"
    return whole / math.exp(cost), "="
