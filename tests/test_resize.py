"""Stored squares are those of a plain antialiased resize, or very near."""

import functools
import io
import pickle

import numpy as np
import pytest
from PIL import Image

from smartgrowth.data.census import examine
from smartgrowth.data.resize import fit_squares, scaled_side
from smartgrowth.data.source import TRAIN, Encoded, Refusal
from smartgrowth.data.sources import glyphs
from smartgrowth.data.sources.decode import decode

ORIENTATION = 0x0112


def plain(pixels: np.ndarray, size: int) -> np.ndarray:
    """Pillow's resize of the central square alone."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    square = Image.fromarray(pixels[top : top + side, left : left + side])
    return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))


@pytest.mark.parametrize("size", [8, 21, 32, 40])
def test_images_resized_together_are_pillows_own_resizes(size):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (5, 32, 45, 3), np.uint8)
    np.testing.assert_array_equal(
        fit_squares(images, size, (32, 45)),
        [plain(image, size) for image in images],
    )


def make_photo(width: int, height: int, orientation: int = 1) -> bytes:
    """Colors with edges and noise, as photos have them, as a JPEG."""
    random = np.random.default_rng(width)
    shapes = np.repeat(
        np.repeat(random.integers(0, 256, (9, 12, 3)), 8, 0), 8, 1
    )
    image = Image.fromarray(np.uint8(shapes)).resize((width, height))
    noisy = np.asarray(image) + random.normal(0, 12, (height, width, 1))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    file = io.BytesIO()
    image = Image.fromarray(np.uint8(np.clip(noisy, 0, 255)))
    image.save(file, "JPEG", quality=90, exif=exif)
    return file.getvalue()


def store_one(encoded: bytes, sizes):
    (found,) = examine([Encoded("a.jpg", TRAIN, 0, encoded)], sizes)
    return found


def square(found, size: int) -> np.ndarray:
    return np.frombuffer(found.squares[size], np.uint8).reshape(size, size, 3)


@pytest.mark.parametrize(
    ("width", "height", "orientation", "fraction"),
    [
        (500, 375, 1, 4),
        (375, 501, 1, 4),
        (1031, 770, 1, 8),
        (200, 150, 1, 2),
        (127, 127, 1, 1),
        (504, 376, 6, 4),
        (504, 376, 3, 4),
        (501, 375, 6, 1),  # a part of a column would be at another side
    ],
)
def test_a_photo_is_decoded_at_a_fraction_and_hardly_differs(
    width, height, orientation, fraction
):
    photo = make_photo(width, height, orientation)
    whole, _, full = decode(photo)
    pixels, _, size = decode(photo, scaled_side(32))
    assert full == size == whole.shape[:2]
    assert pixels.shape[:2] == tuple(-(-side // fraction) for side in size)
    found = store_one(photo, (16, 24, 32))
    assert found.size == size
    top, left = ((length - min(size)) // 2 for length in size)
    box = (left, top, left + min(size), top + min(size))
    for side in (16, 24, 32):
        expected = plain(whole, side).astype(int)
        difference = np.abs(square(found, side) - expected)
        assert difference.mean() < 1.5
        assert difference.max() < 15
        if fraction == 1:
            assert not difference.any()
        # What the tolerance is for: every k-th pixel, with nothing averaged.
        picture = Image.fromarray(whole).crop(box)
        aliased = picture.resize((side, side), Image.Resampling.NEAREST)
        assert np.abs(aliased - expected).mean() > 6
    # Of the same image, a bit smoother.
    inner = np.asarray(Image.fromarray(whole).crop(box))
    np.testing.assert_allclose(
        found.means[0], inner.mean(axis=(0, 1)), atol=0.6
    )


def test_a_size_is_the_same_whatever_else_is_stored():
    photo = make_photo(700, 525)
    sizes = (16, 48, 64, 100, 300)
    together = store_one(photo, sizes)
    for size in sizes:
        alone = store_one(photo, (size,))
        assert alone.squares[size] == together.squares[size]
        assert alone._replace(squares=0, means=0) == together._replace(
            squares=0, means=0
        )
        np.testing.assert_array_equal(alone.means, together.means)
    whole, *_ = decode(photo)
    np.testing.assert_array_equal(square(together, 300), plain(whole, 300))


def test_images_of_other_shapes_and_refusals_keep_their_places():
    random = np.random.default_rng(1)
    encoded = []
    for index, side in enumerate((20, 20, 33, 20, 33, 33)):
        file = io.BytesIO()
        pixels = random.integers(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(pixels).save(file, "PNG")
        content = b"torn" if index == 1 else file.getvalue()
        encoded.append(Encoded(str(index), TRAIN, index, content))
    found = examine(encoded, (8, 20))
    assert [each.id for each in found] == list("012345")
    assert isinstance(found[1], Refusal)
    for each, given in zip(found, encoded, strict=True):
        if each is not found[1]:
            assert [each] == [
                alone._replace(means=each.means)
                for alone in examine([given], (8, 20))
            ]


def test_what_a_worker_gets_and_gives_can_be_sent():
    """A glyph is drawn by the worker; a file is read by it."""
    first = next(iter(glyphs.make_source().examples()))
    function = functools.partial(examine, sizes=(16,))
    function, given = pickle.loads(pickle.dumps((function, [first])))
    (found,) = pickle.loads(pickle.dumps(function(given)))
    drawn = glyphs.draw(0, TRAIN, "chess_king", 0)
    np.testing.assert_array_equal(square(found, 16), plain(drawn, 16))
