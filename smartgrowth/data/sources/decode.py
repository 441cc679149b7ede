"""Encoded image -> uint8 RGB, and what had to be repaired.

Every dataset's images are decoded here, so that a grayscale JPEG or a broken
file is treated alike in all of them.
"""

import contextlib
import functools
import hashlib
import importlib
import io
import pathlib
import warnings

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from smartgrowth.data.source import DIGEST, Encoded, Example, Refusal

# Of images that Pillow reads only with a library or a plug-in.
OPTIONAL = (".heic", ".heif", ".avif")
# What `decode` reads. The suffix selects files; the content sets the format.
SUFFIXES = (
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp")
    + (".tif", ".tiff")
    + OPTIONAL
)
MAX_PIXELS = 178_956_970  # where Pillow stops too: 540 MB in memory
SMALL = 2**26  # bytes of a file that is read at once

# Other formats of Pillow are not for photos, and some start programs: an EPS
# is run by Ghostscript.
_FORMATS = (
    "JPEG",
    "PNG",
    "BMP",
    "DIB",
    "GIF",
    "WEBP",
    "TIFF",
    "PPM",
    "JPEG2000",
) + ("AVIF", "HEIF")
_MODULES = ("Avif", "Bmp", "Gif", "Jpeg", "Jpeg2K", "Mpo", "Png", "Ppm") + (
    ("Tiff", "WebP")
)

# Pillow warns with lines of its own code at half of MAX_PIXELS, and at EXIF
# that it cannot read; `open_image` refuses what is too large.
Image.MAX_IMAGE_PIXELS = None
warnings.filterwarnings("ignore", module=r"PIL\.")
# Editors write megabytes of their history into a PNG; 1 MB is Pillow's limit.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY

_ORIENTATION = 0x0112  # the EXIF tag
_TURNS = (Image.Transpose.TRANSPOSE, Image.Transpose.TRANSVERSE) + (
    (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270)
)
_GRAYSCALE = ("1", "L", "LA", "I", "I;16", "I;16B")
_ALPHA = ("LA", "PA", "RGBA")
# How files begin that every decoder reads alike: PNG, GIF, BMP, PPM.
_EXACT = (b"\x89PNG", b"GIF8", b"BM", b"P1", b"P2", b"P3", b"P4", b"P5", b"P6")
# Brands in the header of a file, as iPhones and browsers write them.
_AVIF = (b"avif", b"avis")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


@functools.cache
def list_formats() -> tuple[str, ...]:
    """Returns Pillow's names of the formats that are read on this machine."""
    missing = set()
    for name in _MODULES:
        try:
            module = importlib.import_module(f"PIL.{name}ImagePlugin")
        except ImportError:  # an older Pillow
            continue
        if not getattr(module, "SUPPORTED", True):
            missing.add(name.upper())
    for name in ("pillow_heif", "pi_heif"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name).register_heif_opener()
            break
    if "AVIF" in missing:
        with contextlib.suppress(ImportError):
            importlib.import_module("pillow_avif")  # registers itself
            missing.remove("AVIF")
    return tuple(f for f in _FORMATS if f in Image.OPEN and f not in missing)


def open_image(encoded: pathlib.Path | io.BytesIO) -> Image.Image:
    """Opens an image of `list_formats` and at most `MAX_PIXELS`.

    Raises:
      ValueError: it has more pixels.
      Exception: of many kinds, as Pillow does on a broken image.
    """
    image = Image.open(encoded, formats=list_formats())
    width, height = image.size
    if width * height > MAX_PIXELS:
        image.close()
        raise ValueError(
            f"{width} x {height} px are {width * height / 1e6:.0f} megapixels, "
            f"more than the {MAX_PIXELS / 1e6:.0f} that are read; shrink it"
        )
    return image


def decode(
    encoded: bytes | pathlib.Path, shortest: int | None = None
) -> tuple[np.ndarray, str, tuple[int, int]]:
    """Decodes one image.

    Args:
      encoded: the content of an image file, or the path of one.
      shortest: a JPEG is decoded at an eighth, a quarter or a half of its
        size if its shorter side then has at least so many pixels; that is
        antialiased, and takes half the time. None never does.

    Returns:
      A uint8 array (height, width, 3) in RGB, a note, and height and width of
      the whole image. The note is of what was repaired, comma separated, of
      "rotated" (an EXIF orientation was applied), "animation" (only its first
      frame is used), "palette", "16-bit", "grayscale", "alpha" (put on white)
      and the names of other color spaces, such as "CMYK". An ordinary image
      has the note "".

    Raises:
      Exception: of many kinds, as Pillow does on a broken image.
    """
    if isinstance(encoded, bytes):
        encoded = io.BytesIO(encoded)
    with open_image(encoded) as image:
        notes = []
        if image.mode == "F":
            raise ValueError("its pixels are fractions; make it 8-bit")
        orientation = _orientation(image)
        # An MPO is a photo with previews, as some cameras write.
        if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
            notes.append("animation")
        if image.mode in ("P", "PA"):
            notes.append("palette")
        # Pillow reads a 16-bit color PNG as 8-bit; only the tile shows it.
        deep = image.format != "JPEG" and ";16" in str(image.tile[:1])
        if image.mode.startswith("I") or deep:
            notes.append("16-bit")
        if image.mode in _GRAYSCALE:
            notes.append("grayscale")
        if image.mode in _ALPHA or "transparency" in image.info:
            notes.append("alpha")
        elif image.mode not in ("RGB", "P", *_GRAYSCALE):
            notes.append(image.mode)
        width, height = image.size
        if shortest:
            _shrink(image, shortest, orientation is not None)
        image = _to_rgb(image, "alpha" in notes)
        if orientation is not None:
            notes.insert(0, "rotated")
            image = image.transpose(orientation)
            if orientation in _TURNS:
                width, height = height, width
        return np.asarray(image), ", ".join(notes), (height, width)


def _shrink(image: Image.Image, shortest: int, rotated: bool) -> None:
    """Makes Pillow decode a JPEG at a fraction; others as they are."""
    for scale in 8, 4, 2:
        # A column that is only in part of the image is at its end, where
        # `resize` expects it, unless the image is rotated.
        whole = not any(side % scale for side in image.size)
        if min(image.size) >= scale * shortest and (whole or not rotated):
            image.draft(None, tuple(side // scale for side in image.size))
            return


def _orientation(image: Image.Image) -> Image.Transpose | None:
    """Returns the transposition that turns the image upright, None if it is."""
    if image.format == "JPEG" and not {"exif", "xmp"} & image.info.keys():
        return None  # as `getexif` finds, in half the time of decoding an icon
    try:
        tag = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - the image may be good, the EXIF not
        return None
    return {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(tag)


def _to_rgb(image: Image.Image, has_alpha: bool) -> Image.Image:
    if image.mode.startswith("I"):
        # 0..65535 to 0..255; Pillow's own conversion clips at 255.
        values = np.clip(np.asarray(image, np.int64), 0, 65535)
        image = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    elif has_alpha:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def decode_example(
    image: Encoded, shortest: int | None = None
) -> Example | Refusal:
    """Decodes one image into an `Example`, or a `Refusal` with the reason.

    Args:
      image: encoded.
      shortest: as in `decode`.
    """
    id, split, label = image.id, image.split, image.label
    encoded = image.content
    if callable(encoded):
        return Example(id, split, label, encoded())
    if encoded == b"":
        reason = "empty, or damaged in its archive"
        return Refusal(id, reason, split, label)
    try:
        is_path = isinstance(encoded, pathlib.Path)
        if is_path and encoded.stat().st_size <= SMALL:
            encoded = encoded.read_bytes()
        pixels, note, size = decode(encoded, shortest)
        digest = _digest(encoded, reduced=pixels.shape[:2] != size)
    except UnidentifiedImageError:
        return Refusal(id, _explain(encoded), split, label)
    except Exception as error:  # noqa: BLE001 - Pillow raises many kinds
        return Refusal(id, one_line(error), split, label)
    if note and image.expected:
        kept = (n for n in note.split(", ") if n not in image.expected)
        note = ", ".join(kept)
    return Example(id, split, label, pixels, note, digest, size)


def _digest(encoded: bytes | pathlib.Path, reduced: bool) -> bytes:
    """Returns what stands for an image on every machine, as in `Example`.

    Decoded at a fraction, a file has other pixels than decoded whole: a run
    that was trained on the one does not go on with the other.

    Decoders of JPEG and its like may differ in the last bit of a pixel, so
    their files' bytes count. Other pixels are exact, while their files are
    not: TFDS writes the PNGs of CIFAR itself, with the zlib at hand.
    """
    make = functools.partial(
        hashlib.blake2b,
        digest_size=DIGEST,
        person=b"reduced" if reduced else b"",
    )
    if isinstance(encoded, pathlib.Path):
        with encoded.open("rb") as file:
            if file.read(4).startswith(_EXACT):
                return b""
            file.seek(0)
            return hashlib.file_digest(file, make).digest()
    if encoded.startswith(_EXACT):
        return b""
    return make(encoded).digest()


def _explain(encoded: bytes | pathlib.Path) -> str:
    """Returns why an image is of no format that is read."""
    if isinstance(encoded, pathlib.Path):
        with encoded.open("rb") as file:
            encoded = file.read(12)
    kind, brand = encoded[4:8], encoded[8:12]
    formats = list_formats()
    if kind == b"ftyp" and brand in _AVIF and "AVIF" not in formats:
        return "AVIF is not read here; pip install pillow-avif-plugin"
    if kind == b"ftyp" and brand in _HEIC and "HEIF" not in formats:
        return "HEIC is not read here; pip install pillow-heif"
    return "not an image that can be read"


def one_line(error: BaseException) -> str:
    """Returns an exception's message in a line of at most 200 characters."""
    text = " ".join(str(error).split())[:200]
    return text or type(error).__name__
