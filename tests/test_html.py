"""What all pages have in common: their colors, templates and escaping."""

import configparser
import dataclasses
import pathlib
import re

import jinja2
import numpy as np
import pytest
from html_page import section

import smartgrowth
from smartgrowth.rendering import html
from smartgrowth.rendering.html import Frame, Gallery, Picture, Table, Tile
from smartgrowth.rendering.theme import THEMES

PACKAGE = pathlib.Path(smartgrowth.__file__).parent
PARTS = "rendering/templates/parts.html.jinja2"
TEMPLATES = sorted(
    path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.jinja2")
)


def luminance(color: str) -> float:
    """Of a color "#rrggbb", by WCAG 2: 0 to 1."""
    values = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(
        values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4
    )
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_a_theme_can_be_read(theme):
    """Text at a contrast of 4.5 to 1, curves at 3 to 1, and no two alike."""
    for text in (theme.ink, theme.soft):
        assert contrast(text, theme.paper) >= 4.5
        assert contrast(text, theme.tile) >= 4.5
    for curve in theme.curves:
        assert contrast(curve, theme.paper) >= 3
    assert len(set(theme.curves)) == len(theme.curves) == 7


def test_a_theme_names_its_colors_for_css():
    variables = THEMES["dark"].variables()
    assert variables["paper"] == "#1b1f24"
    assert variables["c0"] == THEMES["dark"].curves[0] == "#56b4e9"
    assert variables["c6"] == THEMES["dark"].curves[6]
    assert variables.keys() == THEMES["light"].variables().keys()
    for color in variables.values():
        assert re.fullmatch("#[0-9a-f]{6}", color)
    with pytest.raises(dataclasses.FrozenInstanceError):
        THEMES["dark"].paper = "#000000"


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_compiles_and_every_color_in_it_is_the_themes(template):
    html.environment().get_template(template)
    text = (PACKAGE / template).read_text("utf-8")
    assert not re.search("#[0-9a-fA-F]{3,6};", text)
    known = {*THEMES["light"].variables(), "share"}  # of a bar
    assert set(re.findall(r"var\(--(\w+)\)", text)) <= known


def test_templates_are_part_of_an_installed_package():
    settings = configparser.ConfigParser()
    settings.read(PACKAGE.parent / "setup.cfg")
    pattern = settings["options.package_data"]["*"]
    packages = [path.parent for path in PACKAGE.rglob("__init__.py")]
    installed = {
        path.relative_to(PACKAGE).as_posix()
        for package in packages
        for path in package.glob(pattern)
    }
    assert installed == set(TEMPLATES)
    assert len(TEMPLATES) > 5


def test_a_value_that_is_missing_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="'legend' is undefined"):
        html.render("rendering/templates/chart.html.jinja2", width=1)


@pytest.mark.parametrize(
    "folder", ["report", "explore", "comparison", "evaluation"]
)
def test_python_leaves_html_to_the_templates(folder):
    for path in (PACKAGE / folder).glob("*.py"):
        text = path.read_text("utf-8")
        assert not re.search(r"</\w+>|<(p|h\d|li|div|b|td|img)\b", text), path
        assert "escape" not in text, path


def test_the_parts_of_a_page_escape_what_they_are_given():
    hostile = "<script>{{7*7}}&"
    escaped = "&lt;script&gt;{{7*7}}&amp;"
    tile = Tile(hostile, hostile, hostile)
    picture = Picture("data:image/png;base64,AA+/", hostile)
    gallery = Gallery([Frame([picture, picture], hostile)], hostile)
    for macro, value, count in (
        ("tiles", [tile], 3),
        ("html_table", Table([hostile], [[hostile], [hostile]]), 3),
        ("gallery", gallery, 4),
    ):
        made = section(PARTS, macro, value)
        assert "<script" not in made.source
        assert made.source.count(escaped) == count
        assert hostile in made.text or hostile in made.rows[0]


def test_a_caption_may_be_wrapped_within_a_path():
    frame = Frame([Picture("data:,", "a")], "val/<i>_3.png")
    made = section(PARTS, "gallery", Gallery([frame]))
    assert "val/<wbr>&lt;i&gt;_<wbr>3.png</figcaption>" in made.source


def test_a_gallery_of_pairs_says_so_and_has_both_pictures():
    pair = Frame([Picture("data:,1", "one"), Picture("data:,2", "two")])
    made = section(PARTS, "gallery", Gallery([pair], kind="pairs"))
    assert ("div", {"class": "gallery pairs"}) in made.tags
    assert made.images == [
        {"src": "data:,1", "alt": "one"},
        {"src": "data:,2", "alt": "two"},
    ]
    assert "figcaption" not in made.source and "<h3>" not in made.source
