"""Statistics of paired samples: interval, test, correction, power.

Arrays in, numbers out. A pair is an arm and the baseline trained with the same
seed. verdicts.py turns the numbers into sentences.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
from scipy import optimize, stats

LEVEL = 0.05  # of the tests; the intervals cover 1 - LEVEL
POWER = 0.8  # probability of finding the detectable difference
# Shares of the same images: smaller differences are rounding.
EQUAL = 1e-9


@dataclasses.dataclass(frozen=True)
class Paired:
    """An arm against the baseline, over the seeds that both have.

    Attributes:
      count: seeds.
      mean: of the differences, arm - baseline.
      deviation: their standard deviation (n - 1); NaN with one seed.
      low, high: 95% t interval of the mean; NaN if there is none.
      p: of the two-sided paired t test; NaN if it is not defined.
    """

    count: int
    mean: float
    deviation: float
    low: float
    high: float
    p: float

    @property
    def tested(self) -> bool:
        """Whether there was a test."""
        return not math.isnan(self.p)


def compare_pairs(arm: Sequence[float], baseline: Sequence[float]) -> Paired:
    """Returns the paired statistics of two samples.

    With one seed, or differences that are equal in all seeds but not 0, there
    is neither interval nor test. Runs that are equal in all seeds have p = 1.

    Args:
      arm: (seeds,).
      baseline: (seeds,), of the same seeds in the same order.

    Raises:
      ValueError: the samples are empty or of different lengths.
    """
    arm, baseline = np.asarray(arm, float), np.asarray(baseline, float)
    if arm.shape != baseline.shape or not arm.size:
        raise ValueError(f"no pairs: {arm.shape} against {baseline.shape}")
    differences = arm - baseline
    mean, count = float(differences.mean()), differences.size
    if count == 1:
        return Paired(count, mean, *[math.nan] * 4)
    if np.ptp(differences) < EQUAL:
        # Accuracies are counts: equal differences of a few seeds are chance,
        # and the t test would divide by their zero spread.
        if abs(mean) < EQUAL:
            return Paired(count, 0.0, 0.0, 0.0, 0.0, 1.0)
        return Paired(count, mean, 0.0, *[math.nan] * 3)
    test = stats.ttest_rel(arm, baseline)
    interval = test.confidence_interval(1 - LEVEL)
    return Paired(
        count,
        mean,
        float(differences.std(ddof=1)),
        float(interval.low),
        float(interval.high),
        float(test.pvalue),
    )


def holm(values: Sequence[float]) -> np.ndarray:
    """Returns p values corrected for their number; NaN stays NaN.

    Holm, "A simple sequentially rejective multiple test procedure",
    Scandinavian Journal of Statistics 6 (1979): the smallest of m is
    multiplied by m, the next by m - 1, ..., none below the one before it.
    SciPy corrects the false discovery rate only.

    Args:
      values: (tests,).

    Returns:
      float64 (tests,), at most 1.
    """
    values = np.asarray(values, float)
    # An undefined test counts as a test that is not significant.
    known = np.where(np.isnan(values), 1.0, values)
    order = np.argsort(known, kind="stable")
    steps = known[order] * (known.size - np.arange(known.size))
    corrected = np.empty_like(known)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return np.where(np.isnan(values), math.nan, corrected)


def detectable(deviation: float, count: int, comparisons: int = 1) -> float:
    """Returns the smallest true difference found with a power of 0.8.

    By a two-sided paired t test, corrected for the number of comparisons as in
    Holm's first step, the strictest.

    Args:
      deviation: standard deviation of the paired differences.
      count: seeds.
      comparisons: tests that the correction is for.

    Returns:
      The difference, in the unit of `deviation`; NaN for fewer than 2 seeds.
    """
    if count < 2:
        return math.nan
    return deviation * _noncentrality(count, comparisons) / math.sqrt(count)


def bootstrap_band(values) -> tuple[np.ndarray, np.ndarray]:
    """Returns a 95% bootstrap band of the mean over seeds, for plots only.

    At 3 to 5 seeds it is too narrow to support a claim.

    Args:
      values: (seeds, points).

    Returns:
      Low and high, (points,) each; with one seed, both are its values.
    """
    values = np.asarray(values, float)
    if len(values) < 2:
        return values[0], values[0]
    band = stats.bootstrap(
        (values,),
        np.mean,
        axis=0,
        n_resamples=999,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return band.low, band.high


@functools.cache
def _noncentrality(count: int, comparisons: int) -> float:
    """Returns the noncentrality at which the test has a power of `POWER`.

    That is the true mean divided by its standard error.
    """
    freedom = count - 1
    bound = stats.t.isf(LEVEL / comparisons / 2, freedom)

    def missing(shift):
        # Without the other tail, where the sign would be wrong.
        return stats.nct.sf(bound, freedom, shift) - POWER

    high = 1.0
    while missing(high) < 0:
        high *= 2
    return float(optimize.brentq(missing, 0.0, high))
