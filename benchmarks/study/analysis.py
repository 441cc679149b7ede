"""The study's tests: from its runs to verdicts, corrected within a family."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import protocol
from tables import KEY, Table, unpack_correct

from smartgrowth.comparison import image_sampling
from smartgrowth.comparison.significance import (
    EQUAL,
    LEVEL,
    Paired,
    compare_pairs,
    detectable,
    holm,
)
from smartgrowth.comparison.verdicts import (
    HELPS,
    HURTS,
    UNSEEN,
    UNTESTED,
    interval,
    p_value,
    points,
)

UNFINISHED = "not finished"
FAMILIES = (protocol.HYPOTHESES, protocol.CONTROLS, "few", "networks")


@dataclasses.dataclass(frozen=True)
class Test:
    """One test of the protocol.

    Attributes:
      seeds: that both arms have, of those that the protocol asks for.
      wanted: how many it asks for.
      paired: their differences; None before all seeds are there.
      differences: of each seed.
      ends: 95% interval over seeds and images.
      p: corrected for all tests of its family.
      verdict: a word.
    """

    comparison: protocol.Comparison
    arm: str
    against: str
    seeds: int
    wanted: int
    paired: Paired | None
    ends: tuple[float, float]
    p: float
    verdict: str
    differences: tuple[float, ...] = ()

    @property
    def family(self) -> str:
        return self.comparison.family(self.arm)

    @property
    def visible(self) -> float:
        """The difference that 4 of 5 such tests would have found."""
        count = len(planned(self.family))
        return detectable(self.paired.deviation, self.paired.count, count)

    def sentence(self) -> str:
        """Returns the verdict with its figures."""
        if self.paired is None:
            return f"{UNFINISHED}: {self.seeds} of {self.wanted} seeds"
        return (
            f"{self.label}, {points(self.paired.mean)} points "
            f"({interval(*self.ends)})"
        )

    @property
    def label(self) -> str:
        """The verdict, its p, and what it would have seen."""
        if self.verdict in (UNFINISHED, UNTESTED):
            return self.verdict
        if self.paired.deviation < EQUAL:
            return "the same runs"
        text = f"{self.verdict}, p {p_value(self.p)}"
        if self.verdict == UNSEEN and self.visible < 1:
            text += f" ({100 * self.visible:.1f} points would have been seen)"
        return text


def planned(family: str) -> list[tuple[protocol.Comparison, str, str]]:
    """Returns the tests of a family: comparison, arm, against."""
    return [
        (comparison, *pair)
        for comparison in protocol.COMPARISONS
        for pair in comparison.tests
        if comparison.family(pair[0]) == family
    ]


def read_frame(table: Table) -> pd.DataFrame:
    """Returns the runs of the protocol, with numbers as numbers."""
    frame = pd.DataFrame(list(table.rows.values()), columns=table.columns)
    for name in ("budget", "seed", "accuracy"):
        frame[name] = pd.to_numeric(frame[name])
    wanted = {
        (comparison.dataset.name, comparison.budget, arm.name, seed)
        for comparison in protocol.COMPARISONS
        for arm in comparison.arms
        for seed in protocol.seeds(arm)
    }
    keys = zip(*(frame[name] for name in KEY), strict=True)
    return frame[np.array([key in wanted for key in keys], bool)]


def judge(frame: pd.DataFrame, correct: Table) -> list[Test]:
    """Returns every test of the study, finished or not."""
    by_arm = {
        key: part.set_index("seed")["accuracy"].sort_index()
        for key, part in frame.groupby(["dataset", "budget", "arm"])
    }
    tests = []
    for family in FAMILIES:
        made = [_compare(by_arm, correct, *each) for each in planned(family)]
        corrected = holm(
            [test.paired.p if test.paired else math.nan for test in made]
        )
        tests += [
            dataclasses.replace(
                test, p=float(p), verdict=_verdict(test.paired, p)
            )
            for test, p in zip(made, corrected, strict=True)
        ]
    return tests


def pool(tests: Sequence[Test]) -> Paired:
    """Returns the mean of comparisons' differences, as of one comparison.

    Every comparison counts alike, and each seed's mean is a sample: seeds have
    weights and draws in common between budgets. Uncorrected, over seeds alone:
    no verdict follows.

    tests: finished, of one question.
    """
    count = min(test.paired.count for test in tests)
    means = np.mean([test.differences[:count] for test in tests], axis=0)
    return compare_pairs(means, np.zeros(count))


def _compare(by_arm, correct: Table, comparison, arm, against) -> Test:
    """Returns a test, not yet corrected for the others of its family."""
    none = pd.Series(dtype=float)
    where = comparison.dataset.name, comparison.budget
    one, other = (by_arm.get((*where, name), none) for name in (arm, against))
    wanted = min(
        len(protocol.seeds(comparison.by_name[name])) for name in (arm, against)
    )
    seeds = [
        seed for seed in one.index.intersection(other.index) if seed < wanted
    ]
    pair, ends, differences = None, (math.nan, math.nan), ()
    if len(seeds) == wanted:  # no look before all are there
        pair = compare_pairs(one[seeds], other[seeds])
        differences = tuple(one[seeds] - other[seeds])
        ends = _interval(correct, where, (arm, against), seeds, pair)
    given = comparison, arm, against, len(seeds), wanted
    return Test(*given, pair, ends, math.nan, UNFINISHED, differences)


def _interval(correct: Table, where, names, seeds: Sequence[int], pair: Paired):
    """Returns the interval over seeds and images; NaN if there is none."""
    differences = []
    for seed in seeds:
        rows = [
            correct.rows[(*map(str, where), name, str(seed))] for name in names
        ]
        if rows[0]["images"] != rows[1]["images"]:
            raise ValueError(
                f"{where}, {names}, seed {seed}: other validation images"
            )
        one, other = (unpack_correct(row).astype(np.int8) for row in rows)
        differences.append(one - other)
    found = image_sampling.intervals({names[0]: pair}, {names[0]: differences})
    return found.get(names[0], (math.nan, math.nan))


def _verdict(pair: Paired | None, p: float) -> str:
    if pair is None:
        return UNFINISHED
    if not pair.tested:
        return UNTESTED
    if not p < LEVEL:
        return UNSEEN
    return HELPS if pair.mean > 0 else HURTS
