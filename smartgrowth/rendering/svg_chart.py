"""Line charts as SVG within a page: colours follow the screen's theme by CSS.

No script and no file; points tell their values to a pointer. Charts that are
files of their own are drawn in plots.py.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from html import escape

from smartgrowth.rendering.figure import THEMES

WIDTH, HEIGHT = 560, 320  # units of the drawing, about CSS pixels on a laptop
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 24, 46
DASHES = ("", "", "7 4", "2 4", "8 3 2 3")
# Around (0, 0): disc, square, triangle, diamond, triangle upside down.
MARKS = (
    "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0",
    "m-2.7-2.7h5.4v5.4h-5.4z",
    "m0-3.4l3.2 5.8h-6.4z",
    "m0-3.6l3.6 3.6l-3.6 3.6l-3.6-3.6z",
    "m0 3.4l3.2-5.8h-6.4z",
)
CURVES = len(MARKS)
MARKED = 120  # points; a longer line is drawn without


@dataclasses.dataclass(frozen=True)
class Line:
    """One curve. place: which colour, stroke and mark. tips: of its points.

    A y that is not finite lifts the pen.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    place: int = 0
    tips: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Axis:
    """A range, its ticks as (value, text), and what it measures."""

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    label: str
    log: bool = False

    def share(self, value: float) -> float:
        """Where a value lies: 0 at the low end, 1 at the high one."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = map(math.log, (low, high, max(value, 1e-12)))
        return (value - low) / ((high - low) or 1)


def linear(
    low: float, high: float, label: str, show: Callable[[float], str], count=6
) -> Axis:
    """An axis with about `count` round ticks."""
    high = high if high > low else low + 1
    step = 10 ** math.floor(math.log10((high - low) / count))
    step *= min(
        (f for f in (1, 2, 2.5, 5, 10) if (high - low) / (f * step) <= count),
        default=10,
    )
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    values = [number * step for number in range(first, last + 1)]
    return Axis(low, high, [(value, show(value)) for value in values], label)


def logarithmic(low: float, high: float, label: str) -> Axis:
    """An axis from above 0, with ticks at 1, 2 and 5 times powers of ten."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    ticks = [(value, f"{value:g}") for value in values if low <= value <= high]
    return Axis(low, high, ticks, label, log=True)


def draw(
    lines: Sequence[Line],
    x: Axis,
    y: Axis,
    alt: str,
    bands: Sequence[tuple[float, float, str]] = (),
    height: int = HEIGHT,
) -> str:
    """A chart as HTML: the SVG, and a legend if there are several lines.

    alt: plain text that says the same. bands: (from, to, name) along x.
    """

    def across(value):
        return LEFT + (WIDTH - LEFT - RIGHT) * x.share(value)

    def down(value):
        return height - BOTTOM - (height - BOTTOM - TOP) * y.share(value)

    parts, floor = [], height - BOTTOM
    last = -math.inf
    for number, (low, high, name) in enumerate(bands):
        left, right = across(low), across(high)
        if number % 2 == 0:
            parts.append(
                f'<path class="band" d="M{left:.1f} {TOP}H{right:.1f}'
                f'V{floor}H{left:.1f}z"/>'
            )
        middle = (left + right) / 2
        if middle - last > 18:  # or the numbers would overlap
            parts.append(_text(middle, TOP - 7, "middle", name))
            last = middle
    for value, text in y.ticks:
        parts.append(
            f'<path class="grid" d="M{LEFT} {down(value):.1f}'
            f'H{WIDTH - RIGHT}"/>'
        )
        parts.append(_text(LEFT - 7, down(value) + 4.5, "end", text))
    parts.append(f'<path class="edge" d="M{LEFT} {floor}H{WIDTH - RIGHT}"/>')
    for value, text in x.ticks:
        parts.append(_text(across(value), floor + 18, "middle", text))
    parts.append(_text((LEFT + WIDTH) / 2, height - 5, "middle", x.label))
    for line in lines:
        parts.append(_line(line, across, down))
    if not lines:
        parts.append(
            _text(WIDTH / 2, height / 2, "middle", "no evaluation yet")
        )
    svg = (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(alt)}">{"".join(parts)}</svg>\n'
    )
    return (_legend(lines) if len(lines) > 1 else "") + svg


def _line(line, across, down) -> str:
    path, pen = "", "M"
    points = list(zip(line.x, line.y, strict=True))
    marks = ""
    for index, (a, b) in enumerate(points):
        if not (math.isfinite(a) and math.isfinite(b)):
            pen = "M"
            continue
        place = f"{across(a):.1f} {down(b):.1f}"
        path += f"{pen}{place}"
        pen = "L"
        if len(points) <= MARKED:
            tip = line.tips[index] if line.tips else ""
            tip = tip and f"<title>{escape(tip)}</title>"
            marks += (
                f'<path class="mark c{line.place}" '
                f'd="M{place}{MARKS[line.place]}">{tip}</path>'
            )
    dash = DASHES[line.place]
    dash = dash and f' stroke-dasharray="{dash}"'
    return f'<path class="line c{line.place}"{dash} d="{path}"/>{marks}'


def _legend(lines) -> str:
    items = ""
    for line in lines:
        dash = DASHES[line.place]
        dash = dash and f' stroke-dasharray="{dash}"'
        items += (
            '<li><svg viewBox="0 0 30 12" aria-hidden="true">'
            f'<path class="line c{line.place}"{dash} d="M0 6H30"/>'
            f'<path class="mark c{line.place}" d="M15 6{MARKS[line.place]}"/>'
            f"</svg>{escape(line.label)}</li>\n"
        )
    return f'<ul class="legend">\n{items}</ul>\n'


def _text(x: float, y: float, anchor: str, text: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


def _colours(theme: str) -> str:
    """The theme's colours as CSS variables."""
    _, _, band, edge, *curves = THEMES[theme].split()
    named = {"band": band, "edge": edge}
    named |= {
        f"c{place}": colour for place, colour in enumerate(curves[:CURVES])
    }
    return " ".join(f"--{name}: {colour};" for name, colour in named.items())


STYLE = f""":root {{ {_colours("light")} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_colours("dark")} }} }}
svg {{ display: block; height: auto; width: 100%; }}
svg text {{ fill: var(--ink); font-size: 13px; }}
@media (max-width: 34rem) {{ svg text {{ font-size: 17px; }} }}
.band {{ fill: var(--band); }}
.grid, .edge {{ fill: none; stroke: var(--edge); stroke-width: 1; }}
.grid {{ opacity: .45; }}
.line {{ fill: none; stroke-linejoin: round; stroke-width: 2; }}
.mark {{ stroke: transparent; stroke-width: 8; }}
{"".join(f".line.c{n} {{ stroke: var(--c{n}); }} " for n in range(CURVES))}
{"".join(f".mark.c{n} {{ fill: var(--c{n}); }} " for n in range(CURVES))}
.legend {{ display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; list-style: none;
  font-size: .875rem; margin: 0 0 .3rem; padding: 0; }}
.legend svg {{ display: inline-block; height: .75rem; width: 1.9rem;
  margin-right: .4rem; }}
"""
