"""What the study answers, in sentences: each follows from its tests alone."""

import statistics
from collections.abc import Sequence

import protocol
from analysis import FAMILIES, Test, pool
from protocol import BUDGETS, FEW_BUDGETS, FLAGS

from smartgrowth.comparison.significance import EQUAL
from smartgrowth.comparison.verdicts import (
    HELPS,
    HURTS,
    UNSEEN,
    UNTESTED,
    interval,
    points,
)

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
    finished = _finished(tests)
    if not finished:
        return f"Not yet: none of {len(tests)} comparisons is finished."
    of = f"of {len(finished)}"
    parts = []
    for verdict in (HELPS, HURTS):
        if own := [test for test in finished if test.verdict == verdict]:
            means = span([points(test.paired.mean) for test in own])
            parts.append(f"{verdict} in {len(own)} {of} ({means} points)")
    if own := _unseen(finished):
        parts.append(f"no difference seen in {len(own)} {of}{would_see(own)}")
    if own := [test for test in finished if _is_same(test)]:
        parts.append(f"the same runs in {len(own)} {of}")
    if own := [test for test in finished if test.verdict == UNTESTED]:
        parts.append(f"not tested in {len(own)} {of}")
    if left := len(tests) - len(finished):
        parts.append(f"{left} not finished")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def span(values: Sequence[str]) -> str:
    """Returns the range of numbers, as they are written."""
    ordered = sorted(
        set(values), key=lambda value: float(value.replace("−", "-"))
    )
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"


def would_see(tests: Sequence[Test]) -> str:
    """Returns which differences such tests find, where they saw none."""
    sizes = [f"{100 * test.visible:.1f}" for test in tests if test.visible < 1]
    blind = len(tests) - len(sizes)
    text = ""
    if sizes:
        by_test = ", depending on the test" if len(set(sizes)) > 1 else ""
        text = f" (80% power for {span(sizes)} points{by_test})"
    if blind:
        text += f", {blind} of which could find none"
    return text


def answer(tests: Sequence[Test], detailed: bool = False) -> str:
    """Returns a line for each question that these tests ask.

    detailed: with a line for each comparison below.
    """
    lines = []
    for (name, against), own in _by_question(tests).items():
        arm = own[0].comparison.by_name[name]
        asks = arm.asks if against == arm.against else "is it better?"
        line = f"- {name} against {against}: {asks} **{sum_up(own)}**"
        if len(finished := _finished(own)) > 1:
            pair = pool(finished)
            ends = interval(pair.low, pair.high)
            line += f" Exploratory mean: {points(pair.mean)} points ({ends})."
        lines.append(line)
        if detailed:
            lines += [
                f"  - {test.comparison.title}: {test.sentence()}"
                for test in own
                if test.seeds
            ]
    return "\n".join(lines)


def table(tests: Sequence[Test]) -> str:
    """Returns the answers of the hypotheses as a table."""
    lines = ["| question | answer so far |", "|---|---|"]
    own = [test for test in tests if test.family == protocol.HYPOTHESES]
    for (name, _), asked in _by_question(own).items():
        asks = asked[0].comparison.by_name[name].asks
        lines.append(f"| {asks[0].upper()}{asks[1:]} | {sum_up(asked)} |")
    return "\n".join(lines)


def advise(tests: Sequence[Test]) -> str:
    """Returns what to use: of the arms that are confirmed, the one with the
    largest difference from the baseline at equal GFLOPs.

    The baseline where there is none, once all hypotheses are tested.
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
                and not comparison.by_name[test.arm].in_seconds
            ]
            if _finished(own):
                found.append(f"{comparison.dataset.name}: {_choose(own)}")
        lines.append(f"- {need}: {'; '.join(found) or 'not known yet'}.")
    return "\n".join(lines)


def _choose(tests: Sequence[Test]) -> str:
    finished = _finished(tests)
    tested = f"{len(finished)} of {len(tests)} arms tested"
    helpful = [test for test in finished if test.verdict == HELPS]
    if helpful:
        best = max(helpful, key=lambda test: test.paired.mean)
        folder = FLAGS.rpartition("/")[0]
        path = best.comparison.flagfile(best.arm).removeprefix(f"{folder}/")
        gain = points(best.paired.mean)
        return f"[{best.arm}]({path}), {gain} points ({tested})"
    if any(
        test.comparison.by_name[test.arm].primary
        for test in tests
        if test.paired is None
    ):
        return f"not known yet ({tested})"
    return f"the baseline, since no arm is confirmed to be better ({tested})"


def admit(tests: Sequence[Test]) -> str:
    """Returns what was not answered, and how large an effect was missed."""
    lines = []
    for family in FAMILIES:
        own = [test for test in tests if test.family == family]
        finished = _finished(own)
        line = f"- {family}: {len(finished)} of {len(own)} tests are finished"
        if unseen := _unseen(finished):
            line += f"; {len(unseen)} saw no difference{would_see(unseen)}"
            middle = statistics.median(test.visible for test in unseen)
            if middle < 1:
                line += f", {100 * middle:.1f} in the median"
        lines.append(f"{line}.")
    return "\n".join(lines)


def _by_question(tests: Sequence[Test]) -> dict[tuple[str, str], list[Test]]:
    """Returns the tests by arm and what it is tested against."""
    questions = {}
    for test in tests:
        questions.setdefault((test.arm, test.against), []).append(test)
    return questions


def _finished(tests: Sequence[Test]) -> list[Test]:
    return [test for test in tests if test.paired is not None]


def _is_same(test: Test) -> bool:
    """Returns whether all its pairs got the same images right."""
    return test.verdict == UNSEEN and test.paired.deviation < EQUAL


def _unseen(tests: Sequence[Test]) -> list[Test]:
    """Returns the tests of different runs that saw no difference."""
    return [
        test for test in tests if test.verdict == UNSEEN and not _is_same(test)
    ]
