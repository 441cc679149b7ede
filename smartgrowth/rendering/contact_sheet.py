"""Pictures of images: contact sheets, and thumbnails for a page.

Pillow alone, and a font; plots with axes are in figure.py.
"""

import base64
import functools
import io
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from smartgrowth.rendering.theme import THEMES

GAP = 12  # pixels between the cells of a contact sheet
FONT_SIZE = 14
CAPTION_LINES = 3
CELLS = "smartgrowth cells"  # of a sheet's own text chunks


def grid(
    images: np.ndarray,
    captions: Sequence[str],
    columns: int,
    side: int = 128,
    theme: str = "light",
) -> bytes:
    """Draws a captioned contact sheet, row after row.

    The file says where its pictures lie, for `cut`.

    Args:
      images: uint8 (N, height, width, 3), N at least 1.
      captions: N texts. Each is wrapped to the picture's width and cut after
        three lines; "\\n" begins a new one.
      columns: pictures in a row.
      side: pixels of a picture's longer side, enlarged or shrunk to it.
      theme: a key of `THEMES`.

    Returns:
      The bytes of a PNG.

    Raises:
      ValueError: there are not as many captions as images, or none.
    """
    if len(images) != len(captions) or not len(images):
        raise ValueError(
            f"as many `captions` as `images` and one at least; got "
            f"{len(captions)} and {len(images)}"
        )
    colors = THEMES[theme]
    font = _load_font()
    pictures = [fit(image, side, enlarge=True) for image in images]
    texts = [_wrap(caption, font, side) for caption in captions]
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    line = FONT_SIZE + 3
    height = pictures[0].height + 4 + line * max(map(len, texts))
    sheet = Image.new(
        "RGB",
        (GAP + columns * (side + GAP), GAP + rows * (height + GAP)),
        colors.paper,
    )
    draw = ImageDraw.Draw(sheet)
    for index, (picture, text) in enumerate(zip(pictures, texts, strict=True)):
        left = GAP + index % columns * (side + GAP)
        top = GAP + index // columns * (height + GAP)
        sheet.paste(picture, (left, top))
        for number, words in enumerate(text):
            place = (left, top + picture.height + 4 + number * line)
            draw.text(place, words, fill=colors.ink, font=font)
    places = PngImagePlugin.PngInfo()
    cells = (len(pictures), columns, side + GAP, height + GAP)
    places.add_text(CELLS, " ".join(map(str, (*cells, *pictures[0].size))))
    with io.BytesIO() as file:
        # Half the time of Pillow's own level, 6, for a file 0.5% larger.
        sheet.save(file, "PNG", pnginfo=places, compress_level=4)
        return file.getvalue()


def cut(sheet: bytes) -> list[np.ndarray]:
    """Cuts the pictures out of the bytes of a `grid`.

    Returns:
      The pictures, as large as they are in it, uint8 (height, width, 3); none
      of a picture that is no such sheet.

    Raises:
      ValueError: it is no picture at all.
    """
    try:
        with Image.open(io.BytesIO(sheet)) as picture:
            cells = picture.info.get(CELLS)
            pixels = np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise ValueError(f"no picture: {error}") from error
    if not cells:
        return []
    count, columns, across, down, width, height = map(int, cells.split())
    pictures = []
    for index in range(count):
        left = GAP + index % columns * across
        top = GAP + index // columns * down
        pictures.append(pixels[top : top + height, left : left + width])
    return pictures


def data_uri(image: np.ndarray, size: int) -> str:
    """Returns an image as the source of an `img`: the smaller of JPEG and PNG.

    Args:
      image: uint8 (height, width, 3).
      size: pixels of the longer side, at most.
    """
    return _smallest_uri(fit(image, size, enlarge=False))


def file_uri(content: bytes, width: int) -> str:
    """Returns a picture's file as the source of an `img`.

    Args:
      content: of the file.
      width: in pixels, to which a wider picture is shrunk.

    Raises:
      ValueError: it is no picture.
    """
    try:
        with Image.open(io.BytesIO(content)) as file:
            picture = file.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise ValueError(f"no picture: {error}") from error
    if picture.width > width:
        height = max(round(picture.height * width / picture.width), 1)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    return _smallest_uri(picture)


def jpeg(image: np.ndarray, size: int) -> bytes:
    """Returns the bytes of a JPEG of an image.

    Args:
      image: uint8 (height, width, 3).
      size: pixels of the longer side, at most.
    """
    return _encode(fit(image, size, enlarge=False), "jpeg", quality=85)


def uri_of(content: bytes, kind: str) -> str:
    """Returns a picture's bytes as the source of an `img`; kind: "jpeg"."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _smallest_uri(picture: Image.Image) -> str:
    kinds = {
        "jpeg": _encode(picture, "jpeg", quality=85),
        "png": _encode(picture, "png"),
    }
    kind = min(kinds, key=lambda kind: len(kinds[kind]))
    return uri_of(kinds[kind], kind)


def _encode(picture: Image.Image, kind: str, **options) -> bytes:
    with io.BytesIO() as file:
        picture.save(file, kind, optimize=True, **options)
        return file.getvalue()


@functools.cache
def _load_font():
    """Returns DejaVu Sans, which comes with matplotlib.

    Pillow's own font has few letters beyond English.
    """
    import matplotlib

    path = pathlib.Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")
    return ImageFont.truetype(str(path), FONT_SIZE - 2)  # as wide as Pillow's


def fit(image: np.ndarray, size: int, enlarge: bool) -> Image.Image:
    """Returns an image with a longer side of `size` pixels.

    One that is smaller stays as it is, but for `enlarge`.
    """
    picture = Image.fromarray(np.ascontiguousarray(image))
    scale = size / max(picture.size)
    if scale > 1 and not enlarge:
        return picture
    sides = [max(round(scale * side), 1) for side in picture.size]
    return picture.resize(sides, Image.Resampling.LANCZOS)


def _wrap(caption: str, font, width: int) -> list[str]:
    """Returns a caption in lines that fit a width in pixels."""
    lines = []
    for paragraph in caption.split("\n"):
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    cut = len(lines) > CAPTION_LINES
    lines = lines[:CAPTION_LINES]
    if cut:
        lines[-1] += "…"
    return [_shorten(line, font, width) for line in lines]


def _shorten(line: str, font, width: int) -> str:
    while len(line) > 1 and font.getlength(line) > width:
        line = f"{line.removesuffix('…')[:-1]}…"
    return line
