"""A `Chart` within a page, as SVG whose colors follow the screen by CSS.

No script and no file; points tell their values to a pointer. What is computed
here is where things lie; templates/chart.html.jinja2 writes them.
"""

import dataclasses
import math

from markupsafe import Markup

from smartgrowth.rendering import html
from smartgrowth.rendering.chart import STROKES, Chart, Line

WIDTH, HEIGHT = 560, 320  # units of the drawing, about CSS pixels on a laptop
LOW = 190  # the height of a chart with others below it
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 24, 46
DASHES = {"-": "", "--": "7 4", ":": "2 4", "-.": "8 3 2 3"}
# Paths around (0, 0): disc, square, triangle, diamond, triangle upside down.
MARKS = {
    "o": "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0",
    "s": "m-2.7-2.7h5.4v5.4h-5.4z",
    "^": "m0-3.4l3.2 5.8h-6.4z",
    "D": "m0-3.6l3.6 3.6l-3.6 3.6l-3.6-3.6z",
    "v": "m0 3.4l3.2-5.8h-6.4z",
    "P": "m-1.1-3.3h2.2v2.2h2.2v2.2h-2.2v2.2h-2.2v-2.2h-2.2v-2.2h2.2z",
}


@dataclasses.dataclass(frozen=True)
class _Text:
    """A text and its place, anchored at its "start", "middle" or "end"."""

    x: float
    y: float
    anchor: str
    text: str


@dataclasses.dataclass(frozen=True)
class _Curve:
    """A line's path, and its marks as (path, tip)."""

    style: int
    dash: str
    path: str
    marks: list[tuple[str, str]]


def draw(chart: Chart, height: int = HEIGHT) -> Markup:
    """Returns a chart as HTML: a legend if there are several lines, the SVG.

    Args:
      height: of the drawing; it is `WIDTH` wide.
    """
    layout = _Layout(chart, height)
    return html.render(
        "rendering/templates/chart.html.jinja2",
        alt=chart.alt,
        width=WIDTH,
        height=height,
        bands=[layout.band(band.low, band.high) for band in chart.bands[::2]],
        grid=[layout.level(value) for value, _ in chart.y.ticks],
        edge=f"M{LEFT} {layout.floor}H{WIDTH - RIGHT}",
        texts=layout.texts(),
        curves=[layout.curve(line) for line in chart.lines],
        legend=_legend(chart) if len(chart.lines) > 1 else [],
    )


class _Layout:
    """The places of a chart's parts in a drawing of a given height."""

    def __init__(self, chart: Chart, height: int):
        self.chart, self.height = chart, height
        self.floor = height - BOTTOM

    def across(self, value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * self.chart.x.share(value)

    def down(self, value: float) -> float:
        return self.floor - (self.floor - TOP) * self.chart.y.share(value)

    def band(self, low: float, high: float) -> str:
        left, right = self.across(low), self.across(high)
        return f"M{left:.1f} {TOP}H{right:.1f}V{self.floor}H{left:.1f}z"

    def level(self, value: float) -> str:
        return f"M{LEFT} {self.down(value):.1f}H{WIDTH - RIGHT}"

    def texts(self) -> list[_Text]:
        chart, floor = self.chart, self.floor
        texts = [
            _Text(self.across(middle), TOP - 7, "middle", name)
            for middle, name in chart.band_names()
        ]
        texts += [
            _Text(LEFT - 7, self.down(value) + 4.5, "end", text)
            for value, text in chart.y.ticks
        ]
        texts += [
            _Text(self.across(value), floor + 18, "middle", text)
            for value, text in chart.x.ticks
        ]
        bottom = self.height - 5
        texts.append(_Text((LEFT + WIDTH) / 2, bottom, "middle", chart.x.label))
        if not chart.lines:
            middle = (WIDTH / 2, self.height / 2)
            texts.append(_Text(*middle, "middle", chart.empty))
        return texts

    def curve(self, line: Line) -> _Curve:
        path, pen, marks = "", "M", []
        tips = line.tips or [""] * len(line.x)
        for x, y, tip in zip(line.x, line.y, tips, strict=True):
            if not (math.isfinite(x) and math.isfinite(y)):
                pen = "M"
                continue
            place = f"{self.across(x):.1f} {self.down(y):.1f}"
            path += f"{pen}{place}"
            pen = "L"
            if line.mark:
                marks.append((f"M{place}{MARKS[line.mark]}", tip))
        return _Curve(line.style, DASHES[line.stroke], path, marks)


def _legend(chart: Chart) -> list[tuple[str, _Curve]]:
    """Returns each line's label, and a short piece of it with its mark."""
    pieces = []
    for line in chart.lines:
        mark = f"M15 6{MARKS[STROKES[line.style][0]]}"
        dash = DASHES[line.stroke]
        piece = _Curve(line.style, dash, "M0 6H30", [(mark, "")])
        pieces.append((line.label, piece))
    return pieces
