"""The report in a real browser: silent, offline, and the choice of axis."""

import io
import json

import browser
import numpy as np
import pytest
from PIL import Image
from test_predict_page import labeled, render
from test_report import write_confused, write_finished, write_hardest

from smartgrowth.notebooks.cells import frame
from smartgrowth.report.write import write_report

CHROMIUM = browser.find()
pytestmark = pytest.mark.skipif(
    not CHROMIUM, reason="no Chromium or Chrome is installed"
)
AXES = ("step", "images", "gflops", "seconds")
SHOWN = """Object.fromEntries(['step', 'images', 'gflops', 'seconds'].map(
    axis => [axis, [...document.querySelectorAll('.by.' + axis)].filter(
    each => each.offsetHeight > 50).length]))"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    directory = write_finished(tmp_path_factory.mktemp("browsed"))
    write_hardest(directory, 23)
    write_confused(directory, [0, 1, 2, 5])
    return write_report(directory)


@pytest.fixture(scope="module")
def chromium():
    with browser.started(CHROMIUM) as started:
        yield started


def complaints(chromium):
    """What its console would show."""
    logged = [
        each["entry"]["text"] for each in chromium.named("Log.entryAdded")
    ]
    called = chromium.named("Runtime.consoleAPICalled")
    thrown = chromium.named("Runtime.exceptionThrown")
    return logged + called + thrown


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_opens_silently_without_the_network_and_fits_the_screen(
    chromium, page, width, dark
):
    chromium.open(page, width, dark=dark)
    assert complaints(chromium) == []
    asked = chromium.named("Network.requestWillBeSent")
    schemes = {each["request"]["url"].partition(":")[0] for each in asked}
    assert schemes <= {"file", "data"}
    assert "file" in schemes  # requests are seen
    wide = chromium.evaluate("document.documentElement.scrollWidth")
    assert wide <= width
    broken = "[...document.images].filter(each => !each.naturalWidth).length"
    assert chromium.evaluate(broken) == 0
    paper = chromium.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(27, 31, 36)" if dark else "rgb(255, 255, 255)")


def test_an_error_would_be_seen(chromium, tmp_path):
    """The test above can fail."""
    path = tmp_path / "bad.html"
    path.write_text(
        "<script>nothing.there()</script><img src='http://0.0.0.0'>"
    )
    chromium.open(path)
    assert complaints(chromium)
    asked = chromium.named("Network.requestWillBeSent")
    assert any(each["request"]["url"].startswith("http:") for each in asked)


@pytest.mark.parametrize("axis", AXES)
def test_a_click_chooses_the_axis_of_every_curve(chromium, page, axis):
    chromium.open(page)
    assert chromium.evaluate(SHOWN) == dict.fromkeys(AXES, 0) | {"step": 3}
    chromium.click(f"label[for=axis-{axis}]")
    assert chromium.evaluate(SHOWN) == dict.fromkeys(AXES, 0) | {axis: 3}


def test_the_keyboard_reaches_the_choice_and_sees_where_it_is(chromium, page):
    chromium.open(page)
    chromium.press("Tab", 9)
    focused = "document.activeElement.id"
    assert chromium.evaluate(focused) == "axis-step"
    outline = "getComputedStyle(document.querySelector({})).outlineStyle"
    label = json.dumps("input:focus + label")
    assert chromium.evaluate(outline.format(label)) == "solid"
    chromium.press("ArrowRight", 39)
    chromium.press("ArrowRight", 39)
    assert chromium.evaluate(focused) == "axis-gflops"
    assert chromium.evaluate(SHOWN)["gflops"] == 3


def test_the_curves_of_another_axis_look_different(chromium, page):
    chromium.open(page)
    chromium.click("label[for=axis-step]")
    pictures = []
    for axis in ("step", "gflops", "step"):
        chromium.evaluate(f"document.getElementById('axis-{axis}').click()")
        picture = Image.open(io.BytesIO(chromium.screenshot()))
        pictures.append(np.asarray(picture.convert("RGB"), int))
    steps, gflops, again = pictures
    assert (np.abs(steps - gflops).max(axis=2) > 100).mean() > 0.002
    np.testing.assert_allclose(steps, again, atol=2)  # as it rounds


def test_every_picture_has_a_text_and_every_text_enough_contrast(
    chromium, page
):
    """4.5 to 1 at least, of the page's own words on its own paper."""
    for dark in (False, True):
        chromium.open(page, dark=dark)
        nameless = (
            "[...document.querySelectorAll('img, svg[role=img]')].filter(e => "
            "!(e.alt || e.getAttribute('aria-label'))).length"
        )
        assert chromium.evaluate(nameless) == 0
        colors = chromium.evaluate(
            "['p', 'dt', 'dd', 'td', 'label', 'figcaption', '.legend li', "
            "'.axes > input:checked + label', '.key'].map(name => {"
            "const e = document.querySelector(name); let b = e; "
            "while (getComputedStyle(b).backgroundColor == 'rgba(0, 0, 0, 0)')"
            "  b = b.parentElement; "
            "return [name, getComputedStyle(e).color, "
            "getComputedStyle(b).backgroundColor]})"
        )
        assert len(colors) == 9
        for name, ink, paper in colors:
            assert contrast(ink, paper) >= 4.5, (name, ink, paper, dark)


@pytest.mark.parametrize("width", [1280, 390])
def test_a_click_on_a_cell_shows_its_images(chromium, page, width):
    chromium.open(page, width)
    chromium.click(".areas a:last-of-type")
    assert chromium.evaluate("location.hash") == "#errors-1-2"
    left, top, right, bottom = chromium.evaluate(
        "(r => [r.left, r.top, r.right, r.bottom])"
        "(document.querySelector(':target').getBoundingClientRect())"
    )
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= 900
    middle = f"{(left + right) / 2}, {(top + bottom) / 2}"
    seen = f"document.elementFromPoint({middle}).closest('section').id"
    assert chromium.evaluate(seen) == "errors-1-2"


def test_a_cell_leads_to_its_images_in_the_frame_of_a_notebook(
    chromium, page, tmp_path
):
    notebook = tmp_path / "notebook.html"
    notebook.write_text(frame(page.read_text("utf-8")), "utf-8")
    chromium.open(notebook)
    inside = "document.querySelector('iframe').contentDocument"
    chromium.evaluate(f"{inside}.querySelector('.areas a').click()")
    target = f"{inside}.querySelector(':target').id"
    assert chromium.evaluate(target) == "errors-0-1"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_labeled_images_fit_the_screen_too(chromium, tmp_path, width, dark):
    path = tmp_path / "predict.html"
    name = "a_very/" * 12 + "x" * 120 + ".png"
    path.write_text(render(labeled(name, 0.4), labeled("b.png", 0.9)).source)
    chromium.open(path, width, dark=dark)
    assert complaints(chromium) == []
    assert chromium.evaluate("document.documentElement.scrollWidth") <= width
    broken = "[...document.images].filter(each => !each.naturalWidth).length"
    assert chromium.evaluate(broken) == 0
    too_wide = (
        "[...document.querySelectorAll('.cards figure')].filter("
        "e => e.scrollWidth > e.clientWidth + 1).length"
    )
    assert chromium.evaluate(too_wide) == 0


def contrast(one: str, other: str) -> float:
    """Of two CSS colors, "rgb(r, g, b)", by WCAG 2: 1 to 21."""
    found = []
    for color in (one, other):
        values = np.array(color[4:-1].split(","), float) / 255
        linear = np.where(
            values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4
        )
        found.append(linear @ (0.2126, 0.7152, 0.0722) + 0.05)
    return max(found) / min(found)


def test_black_on_white_is_the_whole_contrast():
    assert contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == pytest.approx(21)
