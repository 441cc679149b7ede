"""What a line chart shows, apart from how it is drawn.

svg_chart.py draws it within a page, figure.py as a PNG.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

# Mark and stroke of a line, in matplotlib's notation, so that lines differ
# without their colors too.
STROKES = ("o-", "s-", "^--", "D:", "v-.", "P-")
MARKED = 120  # points; a longer line has no marks
ROOM = 0.037  # of the width, for the name of a band


@dataclasses.dataclass(frozen=True)
class Line:
    """One curve of a chart.

    Attributes:
      label: what the legend calls it.
      x, y: of its points; one that is not finite lifts the pen.
      style: index of its color among `Theme.curves`, and of `STROKES`.
      tips: of its points, what a pointer reads there; none, or one for each.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    style: int = 0
    tips: Sequence[str] = ()

    @property
    def mark(self) -> str:
        """The mark of its points, of those in `STROKES`; "" for none."""
        return STROKES[self.style][0] if len(self.x) <= MARKED else ""

    @property
    def stroke(self) -> str:
        """How it is dashed: "-", "--", ":" or "-."."""
        return STROKES[self.style][1:]


@dataclasses.dataclass(frozen=True)
class Axis:
    """A range, its ticks as (value, text), and what it measures."""

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    label: str
    log: bool = False

    def share(self, value: float) -> float:
        """Returns where a value lies: 0 at the low end, 1 at the high one."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = map(math.log, (low, high, max(value, 1e-12)))
        return (value - low) / ((high - low) or 1)


@dataclasses.dataclass(frozen=True)
class Band:
    """A part of the x axis, such as a stage: its name, and what it is."""

    low: float
    high: float
    name: str = ""
    summary: str = ""


@dataclasses.dataclass(frozen=True)
class Chart:
    """Lines over bands, between two axes.

    Attributes:
      alt: plain text that says the same.
      empty: what stands there while there are no lines.
    """

    lines: Sequence[Line]
    x: Axis
    y: Axis
    alt: str
    bands: Sequence[Band] = ()
    empty: str = ""

    def band_names(self) -> list[tuple[float, str]]:
        """Returns (x, name) at the middles of bands, where there is room."""
        names, last = [], -math.inf
        for band in self.bands:
            middle = (band.low + band.high) / 2
            if band.name and self.x.share(middle) - last > ROOM:
                names.append((middle, band.name))
                last = self.x.share(middle)
        return names


def linear(
    low: float, high: float, label: str, text: Callable[[float], str], count=6
) -> Axis:
    """Returns an axis with about `count` round ticks; text: of a value."""
    high = high if high > low else low + 1
    step = 10 ** math.floor(math.log10((high - low) / count))
    step *= min(
        (f for f in (1, 2, 2.5, 5, 10) if (high - low) / (f * step) <= count),
        default=10,
    )
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    values = [number * step for number in range(first, last + 1)]
    return Axis(low, high, [(value, text(value)) for value in values], label)


def logarithmic(low: float, high: float, label: str) -> Axis:
    """Returns an axis from above 0, ticks at 1, 2 and 5 times powers of ten."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    ticks = [(value, f"{value:g}") for value in values if low <= value <= high]
    return Axis(low, high, ticks, label, log=True)
