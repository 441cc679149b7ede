"""Verdicts: what the paired figures of an arm allow to claim."""

import dataclasses
import math
from collections.abc import Mapping

from smartgrowth.comparison.significance import (
    EQUAL,
    LEVEL,
    Paired,
    detectable,
    holm,
)

ENOUGH = 5  # seeds; with fewer a comparison calls itself exploratory
HELPS, HURTS = "helps", "hurts"
UNSEEN, UNTESTED = "no difference seen", "not tested"
CHOSEN = "chosen after results had been seen"
UNKNOWN = (math.nan, math.nan)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The verdict on an arm, with the figures that support it.

    Attributes:
      word: one of the four above.
      sentence: the verdict and its figures as text.
      paired: the arm against the baseline.
      p: corrected for the number of arms; NaN if there was no test.
      visible: the difference that 4 of 5 such comparisons would find.
      wider: 95% interval for other validation images too; NaN if unknown.
      exploratory: why the test confirms nothing, or "".
    """

    word: str
    sentence: str
    paired: Paired
    p: float
    visible: float
    wider: tuple[float, float] = UNKNOWN
    exploratory: str = ""

    @property
    def label(self) -> str:
        """The word, and whether it is exploratory."""
        return f"{self.word}, exploratory" if self.exploratory else self.word


def judge(
    pairs: dict[str, Paired],
    baseline: str,
    wider: Mapping[str, tuple[float, float]] | None = None,
    chosen: str = "",
) -> dict[str, Verdict]:
    """Returns a verdict for each arm.

    Args:
      pairs: arm -> its figures against the baseline, in shares of images (0 to
        1); larger is better. They are one family: the risk of any false
        'helps' or 'hurts' among them is 5%.
      baseline: its name.
      wider: arm -> its interval for other validation images too.
      chosen: which runs were asked for after results had been seen, or "".
    """
    corrected = holm([pair.p for pair in pairs.values()])
    verdicts = {}
    for (arm, pair), p in zip(pairs.items(), corrected, strict=True):
        visible = detectable(pair.deviation, pair.count, len(pairs))
        if not pair.tested:
            word = UNTESTED
        elif p >= LEVEL:
            word = UNSEEN
        else:
            word = HELPS if pair.mean > 0 else HURTS
        ends = (wider or {}).get(arm, UNKNOWN)
        sentence = _sentence(word, arm, baseline, pair, p, visible, ends)
        reasons = [f"{pair.count} seeds"] if pair.count < ENOUGH else []
        reasons += [CHOSEN] if chosen else []
        why = ", ".join(reasons) if pair.count > 1 else ""
        if why:
            sentence = f"exploratory, {why}: {sentence}"
        if not sentence.startswith(arm):  # a name keeps its spelling
            sentence = sentence[0].upper() + sentence[1:]
        verdicts[arm] = Verdict(
            word, f"{sentence}.", pair, float(p), visible, ends, why
        )
    return verdicts


def points(share: float) -> str:
    """Returns a difference of shares in percentage points, with its sign."""
    if math.isnan(share):
        return "–"
    return f"{100 * share:+.2f}".replace("-", "−")


def p_value(p: float) -> str:
    """Returns p with three decimals, never as 0."""
    if math.isnan(p):
        return "–"
    return "below 0.001" if p < 0.001 else f"{p:.3f}"


def interval(low: float, high: float) -> str:
    """Returns an interval of shares in percentage points."""
    return "–" if math.isnan(low) else f"{points(low)} to {points(high)}"


def _sentence(word, arm, baseline, pair, p, visible, wider) -> str:
    change = f"{points(pair.mean)} points of accuracy"
    if word == UNTESTED:
        if pair.count == 1:
            return (
                f"{arm} was trained with one seed: {change} against "
                f"{baseline}; one seed has no spread, so nothing can be claimed"
            )
        return (
            f"{arm}: {change} against {baseline}, the same in all "
            f"{pair.count} seeds to the last image; their spread is unknown, "
            "so nothing can be claimed: add seeds"
        )
    other = ""
    if not math.isnan(wider[0]):
        other = f" (also for other validation images: {interval(*wider)}"
        if word != UNSEEN and wider[0] <= 0 <= wider[1]:
            other += ", which includes 0"
        other += ")"
    figures = (
        f"interval {interval(pair.low, pair.high)}{other}, corrected p "
        f"{p_value(p)}"
    )
    if word != UNSEEN:
        return f"{arm} {word}: {change} against {baseline}, {figures}"
    if pair.deviation < EQUAL:
        return (
            f"no difference seen between {arm} and {baseline}: their "
            f"accuracies are equal in all {pair.count} seeds"
        )
    seen = (
        f"a true one of {100 * visible:.2f} points would have been seen by 4 "
        "of 5 such comparisons"
    )
    if visible > 1:
        seen = "at this spread and so few seeds, none would have been seen"
    return (
        f"no difference seen between {arm} and {baseline}: {change}, "
        f"{figures}; {seen}"
    )
