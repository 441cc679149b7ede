"""Figures as PNG files in the colors of a theme, drawn with matplotlib."""

import dataclasses
import functools
import io
import math
import re
import warnings
from collections.abc import Callable, Sequence

from smartgrowth.rendering.chart import Chart
from smartgrowth.rendering.theme import THEMES

WIDTH, HEIGHT = 5.0, 3.6  # inches: two abreast on a laptop, one on a phone


@dataclasses.dataclass(frozen=True)
class Box:
    """A part of a picture, as shares of its width and height from top left."""

    left: float = 0.0
    top: float = 0.0
    width: float = 1.0
    height: float = 1.0


@dataclasses.dataclass(frozen=True)
class Area:
    """A part of a picture that leads to another place on the page.

    target: the id of that place. label: what is there.
    """

    target: str
    label: str
    box: Box


@dataclasses.dataclass(frozen=True)
class Plot:
    """A figure in both themes as PNG, its title, its alt text and a note.

    box: where its first axes lie in it.
    """

    title: str
    light: bytes
    dark: bytes
    alt: str
    note: str = ""
    box: Box = Box()


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure as PNG, its alt text, and where its first axes lie in it."""

    png: bytes
    alt: str
    box: Box


def make_plot(title: str, draw_into: Callable, note: str = "") -> Plot:
    """Returns what `draw_into` draws, as `render` takes it, in both themes."""
    light, dark = (_draw_themed(draw_into, theme) for theme in THEMES)
    alt = f"{title}: {light.alt}."
    return Plot(title, light.png, dark.png, alt, note, light.box)


def render(draw_into: Callable, theme: str) -> tuple[bytes, str]:
    """Draws a figure in the colors of a theme.

    Args:
      draw_into: draws into an empty matplotlib figure, with colors from
        rcParams, and returns the alt text.
      theme: a key of `THEMES`.

    Returns:
      The bytes of a PNG, and the alt text.
    """
    drawing = _draw_themed(draw_into, theme)
    return drawing.png, drawing.alt


def _draw_themed(draw_into: Callable, theme: str) -> Drawing:
    import matplotlib

    colors = THEMES[theme]
    look = {
        "figure.facecolor": colors.paper,
        "axes.facecolor": colors.paper,
        "patch.facecolor": colors.band,
        "axes.edgecolor": colors.edge,
        "axes.labelcolor": colors.ink,
        "axes.prop_cycle": matplotlib.cycler(color=colors.curves),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "legend.frameon": False,
        "font.size": 9.5,
        "text.color": colors.ink,
        # A name with dollars in it is no formula.
        "text.parse_math": False,
        "xtick.color": colors.ink,
        "ytick.color": colors.ink,
    }
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever the user's matplotlibrc says
        matplotlib.rcParams.update(look)
        drawing, missing = _draw(draw_into)
        fonts = _fonts_with(missing)
        if fonts:
            family = [*matplotlib.rcParams["font.family"], *fonts]
            with matplotlib.rc_context({"font.family": family}):
                drawing, _ = _draw(draw_into)
        return drawing


def _draw(draw_into: Callable) -> tuple[Drawing, frozenset[int]]:
    """Draws a figure; also returns the characters that its fonts lack.

    matplotlib draws a box for each, and warns.
    """
    from matplotlib.figure import Figure

    with warnings.catch_warnings(record=True) as caught, io.BytesIO() as file:
        warnings.simplefilter("always")
        figure = Figure((WIDTH, HEIGHT), layout="constrained")
        alt = draw_into(figure)
        figure.savefig(file, dpi=180, metadata={"Software": None})
        # Known only now: the layout is made as the figure is drawn.
        left, bottom, width, height = figure.axes[0].get_position().bounds
        box = Box(left, 1 - bottom - height, width, height)
        drawing = Drawing(file.getvalue(), alt, box)
    missing = set()
    for each in caught:
        if found := re.match(r"Glyph (\d+) .* missing from", str(each.message)):
            missing.add(int(found[1]))
        else:
            warnings.warn_explicit(
                each.message, each.category, each.filename, each.lineno
            )
    return drawing, frozenset(missing)


@functools.cache
def _fonts_with(characters: frozenset[int]) -> list[str]:
    """Returns families of this machine's fonts that have them, or some."""
    from matplotlib import font_manager

    fonts, left = [], set(characters)
    for entry in sorted(font_manager.fontManager.ttflist, key=_plainness):
        if not left:
            break
        try:
            font = font_manager.get_font(entry.fname)
            found = left & set(font.get_charmap())
        except (OSError, RuntimeError):  # a file that is gone or damaged
            continue
        # Not bitmaps of emoji, nor a font that has a box for everything.
        if found and font.scalable and "Last Resort" not in entry.name:
            fonts.append(entry.name)
            left -= found
    return fonts


def _plainness(entry) -> tuple:
    """Sorts the regular fonts to the front, in an order that stays."""
    regular = entry.style == "normal" and entry.weight in (400, "normal")
    return not regular, entry.name, entry.fname


def chart_png(charts: Sequence[Chart], theme: str = "light") -> bytes:
    """Returns charts of one x axis, one below another, as a PNG."""
    png, _ = render(lambda figure: draw_charts(figure, charts), theme)
    return png


def draw_charts(figure, charts: Sequence[Chart]) -> str:
    """Draws charts of one x axis below one another.

    Their bands are named above the first chart, and summed up below the last.

    Returns:
      The alt text of all.
    """
    axes = figure.subplots(len(charts), 1, sharex=True, squeeze=False)[:, 0]
    for axis, chart in zip(axes, charts, strict=True):
        _draw_chart(figure, axis, chart)
    first, last = charts[0], charts[-1]
    axes[-1].set_xlabel(last.x.label)
    for middle, name in first.band_names():
        where = axes[0].get_xaxis_transform()
        axes[0].text(middle, 1.02, name, transform=where, ha="center")
    if any(band.summary for band in first.bands):
        _draw_key(figure, first)
    return " ".join(chart.alt for chart in charts)


def _draw_chart(figure, axis, chart: Chart) -> None:
    from matplotlib import rcParams

    axis.set_xlim(chart.x.low, chart.x.high)
    if chart.y.log:
        axis.set_yscale("log")
        axis.minorticks_off()
    axis.set_ylim(chart.y.low, chart.y.high)
    for ticks, place in (
        (chart.x.ticks, axis.set_xticks),
        (chart.y.ticks, axis.set_yticks),
    ):
        place([value for value, _ in ticks], [text for _, text in ticks])
    axis.set_ylabel(chart.y.label)
    for band in chart.bands[::2]:
        color = rcParams["patch.facecolor"]
        axis.axvspan(band.low, band.high, color=color, lw=0)
    for line in chart.lines:
        axis.plot(
            line.x,
            [y if math.isfinite(y) else math.nan for y in line.y],
            line.mark + line.stroke,
            color=f"C{line.style}",
            markersize=3,
            linewidth=1.4,
            clip_on=False,
            label=line.label,
        )
    if not chart.lines:
        where = {"transform": axis.transAxes, "ha": "center"}
        axis.text(0.5, 0.5, chart.empty, **where)
    if len(chart.lines) > 1:
        figure.legend(
            *axis.get_legend_handles_labels(), loc="outside upper left", ncols=2
        )


def _draw_key(figure, chart: Chart) -> None:
    """Draws a line of text for each band."""
    from matplotlib.lines import Line2D

    labels = [f"{band.name}: {band.summary}" for band in chart.bands]
    columns = 1 + (len(labels) > 3 and max(map(len, labels)) < 39)
    figure.set_figheight(HEIGHT + 0.15 * len(labels) / columns)
    figure.legend(
        [Line2D([], [], linestyle="") for _ in labels],
        labels,
        loc="outside lower left",
        ncols=columns,
        handlelength=0,
        fontsize=8,
    )
