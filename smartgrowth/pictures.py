"""Pictures of images: contact sheets, and thumbnails for a page.

Pillow alone; plots with axes are in plots.py.
"""

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from smartgrowth.plots import THEMES

GAP = 12  # pixels between the cells of a contact sheet
FONT_SIZE = 14
CAPTION_LINES = 3


def grid(
    images: np.ndarray,
    captions: Sequence[str],
    columns: int,
    side: int = 128,
    theme: str = "light",
) -> bytes:
    """A captioned contact sheet as the bytes of a PNG, row after row.

    Args:
      images: uint8 (N, height, width, 3), N at least 1.
      captions: N texts. Each is wrapped to the picture's width and cut after
        three lines; "\\n" begins a new one.
      columns: pictures a row.
      side: pixels of a picture's longer side, enlarged or shrunk to it.
      theme: a key of `plots.THEMES`.
    """
    if len(images) != len(captions) or not len(images):
        raise ValueError(
            f"as many `captions` as `images` and one at least; got "
            f"{len(captions)} and {len(images)}"
        )
    paper, ink = THEMES[theme].split()[:2]
    font = ImageFont.load_default(FONT_SIZE)
    pictures = [_fit(image, side, enlarge=True) for image in images]
    texts = [_wrap(caption, font, side) for caption in captions]
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    line = FONT_SIZE + 3
    height = pictures[0].height + 4 + line * max(map(len, texts))
    sheet = Image.new(
        "RGB",
        (GAP + columns * (side + GAP), GAP + rows * (height + GAP)),
        paper,
    )
    draw = ImageDraw.Draw(sheet)
    for index, (picture, text) in enumerate(zip(pictures, texts, strict=True)):
        left = GAP + index % columns * (side + GAP)
        top = GAP + index // columns * (height + GAP)
        sheet.paste(picture, (left, top))
        for number, words in enumerate(text):
            place = (left, top + picture.height + 4 + number * line)
            draw.text(place, words, fill=ink, font=font)
    with io.BytesIO() as file:
        sheet.save(file, "PNG")
        return file.getvalue()


def data_uri(image: np.ndarray, size: int) -> str:
    """An image as the source of an `img`, as JPEG or PNG: what is smaller.

    image: uint8 (height, width, 3). size: pixels of the longer side at most.
    """
    picture = _fit(image, size, enlarge=False)
    kinds = {}
    for kind, options in (("jpeg", {"quality": 85}), ("png", {})):
        with io.BytesIO() as file:
            picture.save(file, kind, optimize=True, **options)
            kinds[kind] = file.getvalue()
    kind = min(kinds, key=lambda kind: len(kinds[kind]))
    return f"data:image/{kind};base64,{base64.b64encode(kinds[kind]).decode()}"


def _fit(image: np.ndarray, size: int, enlarge: bool) -> Image.Image:
    """The image with a longer side of `size`, or unchanged if smaller."""
    picture = Image.fromarray(np.ascontiguousarray(image))
    scale = size / max(picture.size)
    if scale > 1 and not enlarge:
        return picture
    sides = [max(round(scale * side), 1) for side in picture.size]
    return picture.resize(sides, Image.Resampling.LANCZOS)


def _wrap(caption: str, font, width: int) -> list[str]:
    """Lines that fit a width in pixels."""
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
