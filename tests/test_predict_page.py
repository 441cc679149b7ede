"""What a network says of new images, as a page for a person."""

import html_page
import numpy as np
import pytest

from smartgrowth.evaluation import predict_page
from smartgrowth.evaluation.predict_page import Labeled, UnsureImages

HEAT = np.array([[0.0, 1.0], [0.0, 0.5]])
HOSTILE = "<img src='http://evil/'>\u202e&.png"


def labeled(name, probability, heat=HEAT):
    rest = (1 - probability) / 2
    image = np.full((128, 128, 3), 40, np.uint8)
    return Labeled(
        name, ["sun", "moon", "rook"], [probability, rest, rest], image, heat
    )


def render(*images, skipped=0):
    added = UnsureImages()
    for image in images:
        added.add(image)
    page = predict_page.render(added, skipped, "run", "resnet on glyphs", 0.825)
    return html_page.Page(page)


def names(page):
    return [
        fields["alt"] for fields in page.images if "Heat" not in str(fields)
    ]


def test_the_least_sure_image_comes_first_and_ties_keep_their_order():
    given = {"a": 0.9, "b": 0.4, "c": 0.7, "d": 0.4, "e": 0.5}
    page = render(*(labeled(*each) for each in given.items()))
    assert names(page) == ["b", "d", "e", "c", "a"]
    assert "Images labeled 5 Unsure 2" in page.text


def test_the_first_classes_have_bars():
    page = render(labeled("a", 0.875), skipped=1234)
    bars = [fields["style"] for tag, fields in page.tags if tag == "i"]
    assert bars == ["--share: 87.5%", "--share: 6.2%", "--share: 6.2%"]
    assert "sun 87.5% moon 6.2% rook 6.2%" in page.text
    assert "Files skipped 1,234" in page.text
    assert "resnet on glyphs, validation accuracy 82.5%" in page.text


@pytest.mark.parametrize("most", [2, 3])
def test_of_many_images_the_unsure_ones_are_shown(monkeypatch, most):
    monkeypatch.setattr(predict_page, "MOST", most)
    given = {"a": 0.9, "b": 0.7, "c": 0.8, "d": 0.3, "e": 0.3}
    page = render(*(labeled(*each) for each in given.items()))
    assert names(page) == ["d", "e", "b"][:most]
    assert f"Shown are the {most} images" in page.text
    assert "labels.csv has all" in page.text
    assert "Images labeled 5" in page.text


def test_all_of_few_images_are_shown():
    assert "labels.csv" not in render(labeled("a", 0.9)).text


def test_a_network_without_maps_is_said_to_have_none():
    page = render(labeled("a", 0.9, None), labeled("b", 0.8, None))
    assert len(page.images) == 2
    assert "There are no heat maps" in page.text
    assert "orange" not in page.text
    mapped = render(labeled("a", 0.9))
    assert len(mapped.images) == 2
    assert "no heat maps" not in mapped.text


def test_names_are_escaped_and_no_request_leaves_the_page():
    page = render(labeled(HOSTILE, 0.4))
    html_page.check_offline(
        html_page.Page(page.source.replace("http://evil/", ""))
    )
    assert page.images[0]["alt"] == HOSTILE.replace("\u202e", r"\u202e")
    assert page.images[1]["alt"].startswith("Heat map of sun. <img")
    assert all(each["src"].startswith("data:") for each in page.images)
    assert "<img src='" not in page.source
