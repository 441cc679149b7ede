"""What the study answers, in sentences: each follows from its tests alone."""

from collections.abc import Sequence

import pandas as pd
import protocol
from analysis import FAMILIES, Test, pool
from protocol import BUDGETS, FEW_BUDGETS

from smartgrowth.comparison.significance import EQUAL
from smartgrowth.comparison.verdicts import (
    HELPS,
    HURTS,
    UNSEEN,
    interval,
    points,
)

HERE = "benchmarks/study"  # from the root of the repository
# What one has -> the comparisons that tell what to use.
NEEDS = {
    f"About {passes} over {images} images": (kind, budget)
    for kind, budgets, images, counts in (
        ("growth", BUDGETS, "10,000", ("1 pass", "3 passes", "10 passes")),
        ("few", FEW_BUDGETS, "1,000", ("3 passes", "10 passes")),
    )
    for budget, passes in zip(budgets, counts, strict=True)
}


def sum_up(tests: Sequence[Test]) -> str:
    """Returns one sentence for the tests of one question.

    It counts comparisons; a test that is not finished counts for nothing.
    """
    finished = [test for test in tests if test.paired is not None]
    if not finished:
        return f"Not yet: none of {len(tests)} comparisons is finished."
    of = f"of {len(finished)}"
    parts = []
    for verdict in (HELPS, HURTS):
        if own := [test for test in finished if test.verdict == verdict]:
            means = [test.paired.mean for test in own]
            parts.append(f"{verdict} in {len(own)} {of} ({span(means)} points)")
    same = [test for test in finished if test.paired.deviation < EQUAL]
    own = [test for test in finished if test.verdict == UNSEEN]
    if own := [test for test in own if test not in same]:
        parts.append(f"no difference seen in {len(own)} {of}{would_see(own)}")
    if same:
        parts.append(f"the same runs in {len(same)} {of}")
    if len(finished) > 1:
        mean, *ends = pool(finished)
        parts.append(f"mean {points(mean)} ({interval(*ends)})")
    left = len(tests) - len(finished)
    text = "; ".join(parts) + (f"; {left} not finished" if left else "")
    return f"{text[0].upper()}{text[1:]}."


def span(shares: Sequence[float]) -> str:
    """Returns the range of differences, in points."""
    low, high = points(min(shares)), points(max(shares))
    return low if low == high else f"{low} to {high}"


def would_see(tests: Sequence[Test]) -> str:
    """Returns which differences such tests would have found."""
    sizes = [100 * test.visible for test in tests if test.visible < 1]
    if not sizes:
        return ""
    low, high = f"{min(sizes):.1f}", f"{max(sizes):.1f}"
    size = low if low == high else f"{low} to {high}"
    return f", where one of {size} points would have been"


def answer(tests: Sequence[Test], detailed: bool = False) -> str:
    """Returns a line for each question that these tests ask.

    detailed: with a line for each comparison below.
    """
    questions = {}
    for test in tests:
        questions.setdefault((test.arm, test.against), []).append(test)
    lines = []
    for (name, against), own in questions.items():
        arm = own[0].comparison.by_name[name]
        asks = arm.asks if against == arm.against else "is it better?"
        lines.append(f"- {name} against {against}: {asks} **{sum_up(own)}**")
        if detailed:
            lines += [
                f"  - {test.comparison.title}: {test.sentence()}"
                for test in own
                if test.seeds
            ]
    return "\n".join(lines)


def table(tests: Sequence[Test]) -> str:
    """Returns the answers of the hypotheses as a table."""
    questions = {}
    for test in tests:
        if test.family == protocol.HYPOTHESES:
            questions.setdefault(test.arm, []).append(test)
    lines = ["| question | answer so far |", "|---|---|"]
    for name, own in questions.items():
        asks = own[0].comparison.by_name[name].asks
        lines.append(f"| {asks[0].upper()}{asks[1:]} | {sum_up(own)} |")
    return "\n".join(lines)


def advise(tests: Sequence[Test]) -> str:
    """Returns what to use: of the arms that are confirmed, the one with the
    largest difference from the baseline; the baseline where there is none.
    """
    lines = []
    for need, place in NEEDS.items():
        found = []
        for comparison in protocol.COMPARISONS:
            if (comparison.kind, comparison.budget) != place:
                continue
            own = [
                test
                for test in tests
                if test.comparison == comparison
                and test.against == "baseline"
                and test.paired is not None
                and not comparison.by_name[test.arm].in_seconds
            ]
            if own:
                found.append(f"{comparison.dataset.name}: {_choose(own)}")
        lines.append(f"- {need}: {'; '.join(found) or 'not known yet'}.")
    return "\n".join(lines)


def _choose(tests: Sequence[Test]) -> str:
    arms = f"{len(tests)} arm{'s' if len(tests) > 1 else ''}"
    helpful = [test for test in tests if test.verdict == HELPS]
    if not helpful:
        return f"the baseline, since none of {arms} is confirmed to be better"
    best = max(helpful, key=lambda test: test.paired.mean)
    path = best.comparison.flagfile(best.arm).removeprefix(f"{HERE}/")
    gain = points(best.paired.mean)
    return f"[{best.arm}]({path}), {gain} points, the best of {arms} tested"


def admit(tests: Sequence[Test]) -> str:
    """Returns what was not answered, and how large an effect was missed."""
    lines = []
    for family in FAMILIES:
        own = [test for test in tests if test.family == family]
        finished = [test for test in own if test.paired is not None]
        unseen = [test for test in finished if test.verdict == UNSEEN]
        line = f"- {family}: {len(finished)} of {len(own)} tests are finished"
        if unseen:
            sizes = pd.Series([100 * test.visible for test in unseen])
            line += (
                f"; {len(unseen)} saw no difference, and 4 of 5 such tests "
                f"would have seen one of {sizes.median():.1f} points in the "
                f"median ({sizes.min():.1f} to {sizes.max():.1f})"
            )
        lines.append(f"{line}.")
    return "\n".join(lines)
