"""Charts, as SVG and as PNG: ticks, gaps and places worked out by hand."""

import math
import re

import pytest

from smartgrowth.rendering import svg_chart
from smartgrowth.rendering.chart import (
    STROKES,
    Band,
    Chart,
    Line,
    linear,
    logarithmic,
)
from smartgrowth.rendering.figure import draw_charts, render


def plain(value):
    return f"{value:.10g}"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 572, [0, 100, 200, 300, 400, 500]),
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 0.008, [0, 0.002, 0.004, 0.006, 0.008]),
        (0, 219_200, [0, 50_000, 100_000, 150_000, 200_000]),
        (3, 3, [3, 3.2, 3.4, 3.6, 3.8, 4]),
        (-2, 4, [-2, -1, 0, 1, 2, 3, 4]),
    ],
)
def test_ticks_are_round(low, high, expected):
    axis = linear(low, high, "x", plain)
    assert [value for value, _ in axis.ticks] == pytest.approx(expected)


def test_a_logarithmic_axis_has_ticks_at_one_two_and_five():
    axis = logarithmic(0.15, 30, "loss")
    texts = [text for _, text in axis.ticks]
    assert texts == ["0.2", "0.5", "1", "2", "5", "10", "20"]
    assert axis.share(0.15) == 0
    assert axis.share(30) == 1
    assert axis.share(math.sqrt(0.15 * 30)) == pytest.approx(0.5)


def chart_of(lines, bands=()) -> Chart:
    x = linear(0, 10, "step", plain)
    y = linear(0, 1, "share", plain)
    return Chart(lines, x, y, "all of <it>", bands, "nothing yet")


def draw(lines, **more):
    return svg_chart.draw(chart_of(lines), **more)


def path_of(svg):
    [path] = re.findall(r'<path class="line c0" d="(.*?)"', svg)
    return path


def test_a_line_goes_from_the_lower_left_to_the_upper_right():
    path = path_of(draw([Line("one", [0, 10], [0, 1])], height=320))
    floor, ceiling = 320 - svg_chart.BOTTOM, svg_chart.TOP
    right = svg_chart.WIDTH - svg_chart.RIGHT
    assert path == f"M{svg_chart.LEFT}.0 {floor}.0L{right}.0 {ceiling}.0"


def test_what_is_not_finite_lifts_the_pen():
    y = [0.1, math.nan, 0.3, math.inf, 0.5, 0.6]
    path = path_of(draw([Line("one", range(6), y)]))
    assert re.findall("[ML]", path) == ["M", "M", "M", "L"]


def test_points_say_their_values_until_there_are_too_many():
    few = Line("one", [1, 2], [0, 1], tips=["<a>", "b"])
    assert "<title>&lt;a&gt;</title>" in draw([few])
    many = Line("one", range(999), [0.5] * 999)
    assert "mark" not in draw([many])


def test_a_chart_has_an_alt_text_and_only_several_lines_a_legend():
    one = Line("one", [1], [1])
    assert 'role="img" aria-label="all of &lt;it&gt;"' in draw([one])
    assert "legend" not in draw([one])
    both = draw([one, Line("two & more", [1], [0], style=2)])
    assert "two &amp; more</li>" in both
    assert 'stroke-dasharray="7 4"' in both


def test_bands_are_shaded_in_turn_and_numbered_where_there_is_room():
    bands = [
        Band(0, 5, "1"),
        Band(5, 5.1, "2"),
        Band(5.1, 5.2, "3"),
        Band(5.2, 10, "4"),
    ]
    svg = svg_chart.draw(chart_of([], bands))
    assert svg.count('class="band"') == 2
    above = re.findall(rf'y="{svg_chart.TOP - 7:.1f}"[^>]*>(\d)<', svg)
    assert above == ["1", "2", "4"]
    assert "nothing yet" in svg


# The same chart, drawn twice


WHOLE = Chart(
    [
        Line("one & only", [0, 2.5, 5, 10], [0, 0.5, math.nan, 1]),
        Line("two", [1, 9], [0.25, 0.75], style=2),
    ],
    linear(0, 10, "step", plain),
    linear(0, 1, "share", lambda value: f"{100 * value:g}%"),
    "a chart",
    [Band(0, 4, "1", "small"), Band(4, 10, "2", "large")],
)


def drawn_by_matplotlib(*charts):
    """The figure, whose axes and texts can be asked."""
    figures = []

    def draw_into(figure):
        figures.append(figure)
        return draw_charts(figure, charts)

    png, alt = render(draw_into, "light")
    assert png.startswith(b"\x89PNG")
    assert alt == " ".join(chart.alt for chart in charts)
    return figures[0]


def points_of(path: str) -> list[tuple[float, float]]:
    """The values at the points of an SVG path, of a chart of 0-10 and 0-1."""
    width = svg_chart.WIDTH - svg_chart.LEFT - svg_chart.RIGHT
    floor = svg_chart.HEIGHT - svg_chart.BOTTOM
    return [
        (
            10 * (float(across) - svg_chart.LEFT) / width,
            (floor - float(down)) / (floor - svg_chart.TOP),
        )
        for across, down in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)
    ]


def test_the_page_and_the_file_have_the_same_points():
    svg = svg_chart.draw(WHOLE)
    (axis,) = drawn_by_matplotlib(WHOLE).axes
    for line, drawn in zip(WHOLE.lines, axis.lines, strict=True):
        [path] = re.findall(
            rf'class="line c{line.style}"[^>]* d="(M(?!0 6H)[^"]*)"', svg
        )
        file = [
            (x, y)
            for x, y in zip(*drawn.get_data(), strict=True)
            if math.isfinite(y)
        ]
        expected = [
            (x, y)
            for x, y in zip(line.x, line.y, strict=True)
            if math.isfinite(y)
        ]
        assert file == expected
        for point, value in zip(points_of(path), expected, strict=True):
            assert point == pytest.approx(value, abs=0.01)


def test_the_page_and_the_file_have_the_same_words():
    svg = svg_chart.draw(WHOLE)
    figure = drawn_by_matplotlib(WHOLE)
    (axis,) = figure.axes
    names, key = (
        [text.get_text() for text in legend.get_texts()]
        for legend in figure.legends
    )
    assert names == ["one & only", "two"]
    assert re.findall("</svg>(.*?)</li>", svg) == ["one &amp; only", "two"]
    assert key == ["1: small", "2: large"]
    for text in ("20%", "40%", "2", "10", "step"):
        assert f">{text}</text>" in svg
    ticks = [
        [text.get_text() for text in each.get_ticklabels()]
        for each in (axis.xaxis, axis.yaxis)
    ]
    assert ticks == [
        [text for _, text in each.ticks] for each in (WHOLE.x, WHOLE.y)
    ]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("step", "share")
    assert [text.get_text() for text in axis.texts] == ["1", "2"]
    assert (axis.get_xlim(), axis.get_ylim()) == ((0, 10), (0, 1))


def test_charts_below_one_another_share_their_axis_in_a_file():
    empty = Chart([], WHOLE.x, WHOLE.y, "empty", WHOLE.bands, "nothing yet")
    upper, lower = drawn_by_matplotlib(WHOLE, empty).axes
    assert (upper.get_xlabel(), lower.get_xlabel()) == ("", "step")
    assert [text.get_text() for text in lower.texts] == ["nothing yet"]
    assert upper.get_position().y0 > lower.get_position().y1


def test_a_logarithmic_chart_is_one_in_a_file():
    y = logarithmic(0.1, 20, "loss")
    line = Line("one", [1, 2], [0.1, math.inf])
    (axis,) = drawn_by_matplotlib(Chart([line], WHOLE.x, y, "loss")).axes
    assert axis.get_yscale() == "log"
    assert axis.get_ylim() == (0.1, 20)
    texts = [text.get_text() for text in axis.yaxis.get_ticklabels()]
    assert texts == ["0.1", "0.2", "0.5", "1", "2", "5", "10", "20"]


@pytest.mark.parametrize("style", range(len(STROKES)))
def test_every_stroke_can_be_drawn_both_ways(style):
    line = Line("one", [1, 2], [0, 1], style)
    chart = Chart([line], WHOLE.x, WHOLE.y, "one")
    assert f'class="mark c{style}"' in svg_chart.draw(chart)
    (axis,) = drawn_by_matplotlib(chart).axes
    (drawn,) = axis.lines
    assert (drawn.get_marker(), drawn.get_linestyle()) == (
        line.mark,
        line.stroke,
    )
