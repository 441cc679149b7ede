"""Encoded images become RGB, and what was repaired is said."""

import io
import struct
import sys
import types

import numpy as np
import pytest
from PIL import AvifImagePlugin, EpsImagePlugin, Image, PngImagePlugin

from smartgrowth.data.source import DIGEST, TRAIN, Encoded, Refusal
from smartgrowth.data.sources import decode as module
from smartgrowth.data.sources.decode import decode, decode_example

RED = (200, 30, 40)


def encode(image: Image.Image, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def decode_one(*fields):
    return decode_example(Encoded(*fields))


def halves() -> Image.Image:
    """6 wide, 4 high: red on the left, white on the right."""
    image = Image.new("RGB", (6, 4), "white")
    image.paste(RED, (0, 0, 3, 4))
    return image


def test_an_ordinary_image_is_neither_changed_nor_noted():
    pixels, note, _ = decode(encode(halves()))
    np.testing.assert_array_equal(pixels, np.asarray(halves()))
    assert (pixels.dtype, pixels.shape, note) == (np.uint8, (4, 6, 3), "")


def test_a_path_decodes_like_its_content(tmp_path):
    path = tmp_path / "a.jpg"
    halves().save(path)
    from_path, from_bytes = decode(path), decode(path.read_bytes())
    np.testing.assert_array_equal(from_path[0], from_bytes[0])


def test_grayscale_has_three_equal_channels():
    pixels, note, _ = decode(encode(Image.new("L", (5, 5), 77), "JPEG"))
    assert note == "grayscale"
    assert pixels.shape == (5, 5, 3)
    assert set(pixels.ravel()) == {77}


def test_transparency_is_put_on_white():
    image = Image.new("RGBA", (2, 1), (*RED, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    pixels, note, _ = decode(encode(image))
    assert note == "alpha"
    assert pixels.tolist() == [[list(RED), [255, 255, 255]]]


def test_half_transparency_mixes_with_white():
    pixels, *_ = decode(encode(Image.new("RGBA", (1, 1), (0, 0, 0, 128))))
    assert pixels[0, 0].tolist() == [127, 127, 127]


@pytest.mark.parametrize("transparent", [False, True])
def test_a_palette_is_resolved(transparent):
    image = halves().quantize(2)
    options = {"transparency": image.getpixel((0, 0))} if transparent else {}
    pixels, note, _ = decode(encode(image, **options))
    assert note == ("palette, alpha" if transparent else "palette")
    assert pixels[0, 0].tolist() == ([255] * 3 if transparent else list(RED))
    assert pixels[0, 5].tolist() == [255, 255, 255]


def test_16_bits_are_scaled_not_clipped():
    values = np.array([[0, 257, 25700, 65535]], np.uint16)
    pixels, note, _ = decode(encode(Image.fromarray(values)))
    assert note == "16-bit, grayscale"
    assert pixels[0, :, 0].tolist() == [0, 1, 100, 255]


def test_cmyk_becomes_rgb():
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # red
    pixels, note, _ = decode(encode(image, "JPEG", quality=95))
    assert note == "CMYK"
    assert np.abs(pixels.astype(int) - (255, 0, 0)).max() < 8


@pytest.mark.parametrize(
    ("tag", "corner"),
    [(1, "tl"), (2, "tr"), (3, "br"), (4, "bl"), (6, "tr"), (8, "bl")],
)
def test_exif_orientation_is_applied(tag, corner):
    image = Image.new("RGB", (6, 4), "white")
    image.putpixel((0, 0), RED)
    exif = Image.Exif()
    exif[0x0112] = tag
    pixels, note, _ = decode(encode(image, exif=exif))
    assert note == ("" if tag == 1 else "rotated")
    assert pixels.shape == ((6, 4, 3) if tag > 4 else (4, 6, 3))
    row = 0 if corner[0] == "t" else -1
    column = 0 if corner[1] == "l" else -1
    assert pixels[row, column].tolist() == list(RED)


def test_of_an_animation_the_first_frame_is_used():
    frames = [Image.new("RGB", (4, 4), c) for c in ("red", "blue")]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    pixels, note, _ = decode(data)
    assert "animation" in note
    assert pixels[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    "format", ["JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF"]
)
def test_each_format_is_read(format):
    image = Image.new("RGB", (16, 8), RED)
    pixels, *_ = decode(encode(image, format))
    assert pixels.shape == (8, 16, 3)
    assert np.abs(pixels.astype(int) - RED).max() < 8


@pytest.mark.skipif("AVIF" not in module.list_formats(), reason="no AVIF here")
def test_avif_is_read_where_pillow_reads_it():
    pixels, *_ = decode(encode(Image.new("RGB", (16, 8), RED), "AVIF"))
    assert np.abs(pixels.astype(int) - RED).max() < 8


@pytest.mark.parametrize(
    ("brand", "format", "package"),
    [
        (b"heic", "HEIF", "pillow-heif"),
        (b"mif1", "HEIF", "pillow-heif"),
        (b"avif", "AVIF", "pillow-avif-plugin"),
    ],
)
def test_a_photo_that_needs_a_plug_in_says_which(
    tmp_path, monkeypatch, brand, format, package
):
    photo = b"\0\0\0\x18ftyp" + brand + bytes(40)
    (tmp_path / "a.jpg").write_bytes(photo)
    monkeypatch.setattr(module, "list_formats", lambda: ("JPEG", "PNG"))
    for encoded in (photo, tmp_path / "a.jpg"):
        refusal = decode_one("a.jpg", TRAIN, 0, encoded)
        assert f"pip install {package}" in refusal.reason
    monkeypatch.setattr(module, "list_formats", lambda: ("JPEG", format))
    monkeypatch.setattr(
        module, "open_image", lambda _: Image.open(io.BytesIO())
    )
    refusal = decode_one("a.jpg", TRAIN, 0, photo)
    assert refusal.reason == "not an image that can be read"


@pytest.mark.parametrize("package", ["pillow_heif", "pi_heif"])
def test_heic_is_read_where_a_plug_in_is_installed(monkeypatch, package):
    def register_heif_opener():
        monkeypatch.setitem(Image.OPEN, "HEIF", Image.OPEN["PNG"])

    for name in ("pillow_heif", "pi_heif"):
        monkeypatch.setitem(sys.modules, name, None)  # not installed
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    list_formats = module.list_formats.__wrapped__  # it is asked once
    assert "HEIF" not in list_formats()
    plug_in = types.SimpleNamespace(register_heif_opener=register_heif_opener)
    monkeypatch.setitem(sys.modules, package, plug_in)
    assert "HEIF" in list_formats()


def test_a_format_that_pillow_was_built_without_is_not_tried(monkeypatch):
    """Pillow would warn of it at every image."""
    monkeypatch.setattr(AvifImagePlugin, "SUPPORTED", False)
    monkeypatch.setitem(sys.modules, "pillow_avif", None)
    assert "AVIF" not in module.list_formats.__wrapped__()
    plug_in = types.ModuleType("pillow_avif")
    monkeypatch.setitem(sys.modules, "pillow_avif", plug_in)
    assert "AVIF" in module.list_formats.__wrapped__()


def test_megabytes_of_text_in_a_png_are_passed_over():
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", "x" * 1_200_000, zip=True)
    pixels, note, _ = decode(encode(halves(), pnginfo=text))
    np.testing.assert_array_equal(pixels, np.asarray(halves()))
    assert note == ""


def header(width: int, height: int) -> bytes:
    """A bitmap without its pixels."""
    return b"BM" + struct.pack(
        "<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, *[0] * 6
    )


def test_a_large_photo_is_opened_without_a_warning():
    """Warnings are errors here."""
    with module.open_image(io.BytesIO(header(12_000, 9000))) as image:
        assert image.size == (12_000, 9000)


def test_a_photo_beyond_the_limit_is_refused_with_its_size():
    refusal = decode_one("a.bmp", TRAIN, 0, header(16_320, 12_240))
    assert refusal.reason.startswith("16320 x 12240 px are 200 megapixels")
    assert "more than the 179" in refusal.reason


def test_postscript_is_never_handed_to_a_program(monkeypatch):
    monkeypatch.setattr(
        EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("started")
    )
    postscript = encode(halves(), "EPS")
    assert decode_one("a.jpg", TRAIN, 0, postscript) == Refusal(
        "a.jpg", "not an image that can be read", TRAIN, 0
    )


def test_fractions_are_refused_since_their_range_is_unknown():
    values = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
    tiff = encode(Image.fromarray(values), "TIFF")
    refusal = decode_one("a.tif", TRAIN, 0, tiff)
    assert refusal.reason == "its pixels are fractions; make it 8-bit"


def test_what_cannot_be_decoded_is_refused_with_a_reason():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    jpeg = encode(Image.fromarray(noise), "JPEG")
    text = decode_one("a.jpg", TRAIN, 0, b"not an image")
    half = decode_one("b.jpg", TRAIN, 0, jpeg[: len(jpeg) // 2])
    empty = decode_one("c.jpg", TRAIN, 0, b"")
    assert text == Refusal("a.jpg", "not an image that can be read", TRAIN, 0)
    assert isinstance(half, Refusal)
    assert "truncated" in half.reason
    assert empty == Refusal(
        "c.jpg", "empty, or damaged in its archive", TRAIN, 0
    )


def test_a_file_s_bytes_stand_for_it_where_decoders_differ(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    image = Image.fromarray(noise)

    def digest(encoded):
        (tmp_path / "file").write_bytes(encoded)
        found = decode_one("a", TRAIN, 0, encoded)
        path = decode_one("a", TRAIN, 0, tmp_path / "file")
        assert found.digest == path.digest
        return found.digest

    for kind in "JPEG", "WEBP", "TIFF":
        fine, coarse = (encode(image, kind, quality=q) for q in (90, 50))
        assert len(digest(fine)) == DIGEST
        assert (digest(fine) == digest(coarse)) == (fine == coarse)
    # However it is compressed, a PNG has the same pixels, and those count.
    for kind in "PNG", "BMP", "GIF":
        assert digest(encode(image, kind)) == b""


def test_a_fraction_is_told_from_the_whole_file(tmp_path):
    photo = Image.fromarray(np.full((256, 320, 3), 99, np.uint8))
    given = Encoded("a", TRAIN, 0, encode(photo, "JPEG"))
    whole, fraction, enough = (
        decode_example(given, shortest) for shortest in (None, 64, 200)
    )
    assert fraction.image.shape == (64, 80, 3)
    assert whole.digest == enough.digest != fraction.digest
    assert len(fraction.digest) == DIGEST


def test_what_a_dataset_declares_is_not_noted():
    data = encode(Image.new("L", (2, 2)))
    declared = decode_one("a", TRAIN, 0, data, ("grayscale",))
    assert declared.note == ""
    assert decode_one("a", TRAIN, 0, data).note == "grayscale"
