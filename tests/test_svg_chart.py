"""Charts as SVG: ticks, gaps and places worked out by hand."""

import math
import re

import pytest

from smartgrowth.rendering import svg_chart
from smartgrowth.rendering.svg_chart import Line


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
    axis = svg_chart.linear(low, high, "x", plain)
    assert [value for value, _ in axis.ticks] == pytest.approx(expected)


def test_a_logarithmic_axis_has_ticks_at_one_two_and_five():
    axis = svg_chart.logarithmic(0.15, 30, "loss")
    texts = [text for _, text in axis.ticks]
    assert texts == ["0.2", "0.5", "1", "2", "5", "10", "20"]
    assert axis.share(0.15) == 0
    assert axis.share(30) == 1
    assert axis.share(math.sqrt(0.15 * 30)) == pytest.approx(0.5)


def draw(lines, **more):
    x = svg_chart.linear(0, 10, "step", plain)
    y = svg_chart.linear(0, 1, "share", plain)
    return svg_chart.draw(lines, x, y, "all of <it>", **more)


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


def test_a_chart_has_a_text_and_only_several_lines_a_legend():
    one = Line("one", [1], [1])
    assert 'role="img" aria-label="all of &lt;it&gt;"' in draw([one])
    assert "legend" not in draw([one])
    both = draw([one, Line("two & more", [1], [0], place=2)])
    assert "two &amp; more</li>" in both
    assert 'stroke-dasharray="7 4"' in both


def test_bands_are_shaded_in_turn_and_numbered_where_there_is_room():
    bands = [(0, 5, "1"), (5, 5.1, "2"), (5.1, 5.2, "3"), (5.2, 10, "4")]
    svg = draw([], bands=bands)
    assert svg.count('class="band"') == 2
    above = re.findall(rf'y="{svg_chart.TOP - 7:.1f}"[^>]*>(\d)<', svg)
    assert above == ["1", "2", "4"]
    assert "no evaluation yet" in svg
