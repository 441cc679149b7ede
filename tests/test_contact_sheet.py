"""Contact sheets and thumbnails show the pixels that they were given."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from smartgrowth.rendering.contact_sheet import (
    GAP,
    cut,
    data_uri,
    file_uri,
    grid,
)
from smartgrowth.rendering.theme import THEMES

COLORS = np.array(
    [[200, 0, 0], [0, 200, 0], [0, 0, 200], [200, 200, 0], [0, 200, 200]]
)


def flat(side: int = 8) -> np.ndarray:
    """Five images, each of one color."""
    pixels = np.broadcast_to(COLORS[:, None, None], (5, side, side, 3))
    return pixels.astype(np.uint8)


def read(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def decode(uri: str) -> Image.Image:
    head, content = uri.split(",")
    assert head in ("data:image/png;base64", "data:image/jpeg;base64")
    return Image.open(io.BytesIO(base64.b64decode(content)))


@pytest.mark.parametrize("theme", THEMES)
def test_a_grid_goes_row_after_row_on_the_themes_paper(theme):
    sheet = read(grid(flat(), list("abcde"), columns=3, side=40, theme=theme))
    paper = np.array(
        [int(THEMES[theme].paper[i : i + 2], 16) for i in (1, 3, 5)], np.uint8
    )
    np.testing.assert_array_equal(sheet[0, 0], paper)
    assert sheet.shape[1] == GAP + 3 * (40 + GAP)
    cell = (sheet.shape[0] - GAP) // 2  # two rows
    for index, color in enumerate(COLORS):
        row, column = divmod(index, 3)
        top, left = GAP + row * cell, GAP + column * (40 + GAP)
        picture = sheet[top : top + 40, left : left + 40]
        assert (picture == color).all()
    np.testing.assert_array_equal(sheet[-GAP - 1, -GAP - 1], paper)  # no sixth


def test_captions_are_drawn_and_stay_within_their_cell():
    blank = np.full((2, 8, 8, 3), 255, np.uint8)
    empty = read(grid(blank, ["", ""], columns=2, side=60))
    assert (empty == 255).all()
    words = "anunbrokenwordthatislong and more of them, a great many more"
    sheet = read(grid(blank, [words, ""], columns=2, side=60))
    ink = np.argwhere((sheet < 128).all(axis=2))
    assert len(ink) > 50
    assert ink[:, 0].min() >= GAP + 60  # below the picture
    assert ink[:, 1].max() < GAP + 60 + GAP
    assert sheet.shape[0] < 60 + 2 * GAP + 80


def test_fewer_pictures_than_columns_make_a_narrow_sheet():
    assert read(grid(flat()[:2], ["", ""], 9, side=40)).shape[1] == 40 * 2 + 36


def test_pictures_keep_their_shape():
    tall = np.zeros((1, 30, 10, 3), np.uint8)
    sheet = read(grid(tall, [""], 1, side=60))
    dark = np.argwhere((sheet == 0).all(axis=2))
    height, width = dark.max(axis=0) - dark.min(axis=0) + 1
    assert (height, width) == (60, 20)


def test_the_pictures_of_a_sheet_can_be_cut_out_again():
    images = flat(8)
    captions = ["a", "b\nc", "d", "e " * 40, ""]
    pictures = cut(grid(images, captions, columns=3, side=40))
    assert len(pictures) == 5
    for image, picture in zip(images, pictures, strict=True):
        assert picture.shape == (40, 40, 3)
        assert (picture == image[0, 0]).all()


def test_nothing_is_cut_out_of_another_picture():
    with io.BytesIO() as file:
        Image.new("RGB", (90, 90)).save(file, "PNG")
        assert cut(file.getvalue()) == []
    with pytest.raises(ValueError, match="no picture"):
        cut(b"no picture")


def test_a_file_wider_than_the_page_is_shrunk():
    with io.BytesIO() as file:
        Image.new("RGB", (90, 60)).save(file, "PNG")
        content = file.getvalue()
    assert decode(file_uri(content, 30)).size == (30, 20)
    assert decode(file_uri(content, 200)).size == (90, 60)
    with pytest.raises(ValueError, match="no picture"):
        file_uri(content[:40], 30)


@pytest.mark.parametrize("captions", [[], ["a"] * 4])
def test_a_grid_wants_a_caption_for_every_image(captions):
    with pytest.raises(ValueError, match=f"got {len(captions)} and 5"):
        grid(flat(), captions, 2)


def test_a_thumbnail_is_shrunk_but_never_enlarged():
    noise = np.random.default_rng(0).integers(0, 256, (90, 60, 3), np.uint8)
    assert decode(data_uri(noise, 30)).size == (20, 30)
    assert decode(data_uri(noise, 200)).size == (60, 90)


def test_a_thumbnail_is_the_smaller_of_jpeg_and_png():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert data_uri(noise, 64).startswith("data:image/jpeg")
    plain = flat(64)[0]
    assert data_uri(plain, 64).startswith("data:image/png")
    np.testing.assert_array_equal(decode(data_uri(plain, 64)), plain)
