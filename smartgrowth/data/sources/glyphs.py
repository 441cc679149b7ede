"""The embedded dataset: 60 symbols in 12 families, drawn from fonts.

matplotlib ships the fonts, so nothing is downloaded. Every image is a function
of its id and the seed alone.
"""

import functools
import hashlib
import itertools
import math
import pathlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from smartgrowth.data.source import TRAIN, VALIDATION, Encoded, Source

# Raise it when a change to the drawing code changes an image. Constants and
# fonts are part of the fingerprint anyway.
VERSION = 1

SIZE = 64  # pixels, the side of an image
TRAIN_PER_CLASS = 200
VALIDATION_PER_CLASS = 40

# Difficulty. The classes of a family differ in a few strokes, and a symbol
# takes a quarter to a half of the frame: at 16 px that leaves it 4 to 8 px.
SCALE = (0.3, 0.53)  # the longer side, with a slim margin, of the frame's
ROTATION = 20.0  # degrees, at most, either way
STRETCH = 0.2  # natural log of width over height, at most, either way
SHEAR = 0.25  # sideways shift over height, at most, either way
CONTRAST = (0.17, 0.63)  # symbol against background, of the luminance range
SATURATION = 0.35  # how far a color channel strays from gray, about
TEXTURE = 0.75  # gradient, blobs and stripes behind it, of the contrast
CLUTTER = (4, 11)  # strokes behind it, fewest and most
CLUTTER_STRENGTH = 0.95  # a stroke's largest luminance, of the contrast
NOISE = (0.03, 0.16)  # standard deviation per pixel, of the luminance range

# Family -> class -> symbol. Symbols of a family are similar but never equal,
# and none becomes another within the rotation. No two scripts share a shape.
# fmt: off
SYMBOLS = {
    "chess": {
        "chess_king": "♚", "chess_queen": "♛", "chess_rook": "♜",
        "chess_bishop": "♝", "chess_knight": "♞",
    },
    "dice": {
        "die_2": "⚁", "die_3": "⚂", "die_4": "⚃", "die_5": "⚄", "die_6": "⚅",
    },
    "zodiac": {
        "zodiac_cancer": "♋", "zodiac_leo": "♌", "zodiac_virgo": "♍",
        "zodiac_scorpio": "♏", "zodiac_capricorn": "♑",
    },
    "planets": {
        "planet_mercury": "☿", "planet_venus": "♀", "planet_earth": "♁",
        "planet_jupiter": "♃", "planet_saturn": "♄",
    },
    "arrows": {
        "arrow_two_headed": "↠", "arrow_with_tail": "↣", "arrow_from_bar": "↦",
        "arrow_with_loop": "↬", "arrow_with_stroke": "↛",
    },
    "weather": {
        "weather_cloud": "☁", "weather_umbrella": "☂", "weather_rain": "☔",
        "weather_snowman": "☃", "weather_snowflake": "❄",
    },
    "music": {
        "music_eighth": "♪", "music_beamed_eighths": "♫",
        "music_beamed_sixteenths": "♬", "music_natural": "♮",
        "music_sharp": "♯",
    },
    "trigrams": {
        "trigram_heaven": "☰", "trigram_lake": "☱", "trigram_fire": "☲",
        "trigram_wind": "☴", "trigram_water": "☵",
    },
    "greek": {
        "greek_zeta": "ζ", "greek_xi": "ξ", "greek_final_sigma": "ς",
        "greek_psi": "ψ", "greek_omega": "ω",
    },
    "cyrillic": {
        "cyrillic_sha": "Ш", "cyrillic_shcha": "Щ", "cyrillic_tse": "Ц",
        "cyrillic_zhe": "Ж", "cyrillic_yu": "Ю",
    },
    "georgian": {
        "georgian_tan": "თ", "georgian_man": "მ", "georgian_phar": "ფ",
        "georgian_shin": "შ", "georgian_jil": "ძ",
    },
    "armenian": {
        "armenian_gim": "Գ", "armenian_da": "Դ", "armenian_ech": "Ե",
        "armenian_za": "Զ", "armenian_ja": "Ձ",
    },
}
FONTS = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique",
    "DejaVuSans-BoldOblique", "DejaVuSansMono", "DejaVuSansMono-Bold",
    "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique", "DejaVuSerif",
    "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic",
    "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta",
)
# fmt: on

_CHARACTERS = dict(pair for names in SYMBOLS.values() for pair in names.items())
# Shapes are warped at twice the size and then averaged, for smooth edges.
_OVERSAMPLE = 2
_CANVAS = SIZE * _OVERSAMPLE
# A mask is as large as the middle scale needs: much larger ones would alias.
_MASK = math.ceil(sum(SCALE) / 2 * _CANVAS)
_LUMINANCE = np.array([0.30, 0.59, 0.11], np.float32)


def make_source(seed: int = 0) -> Source:
    """Returns the `glyphs` dataset: 60 classes in 12 groups, 64 x 64 pixels.

    Another seed draws other images of the same classes.
    """
    groups = {
        name: family for family, names in SYMBOLS.items() for name in names
    }
    return Source(
        name="glyphs",
        fingerprint=_fingerprint(seed),
        class_names=tuple(groups),
        native_size=SIZE,
        examples=functools.partial(_examples, seed),
        groups=groups,
    )


def draw(seed: int, split: str, name: str, index: int) -> np.ndarray:
    """Returns one image: uint8 (64, 64, 3).

    Every number comes from a generator keyed by the arguments, so an image does
    not depend on images drawn before it, and no two splits share an image.
    """
    key = f"glyphs/{seed}/{_id(split, name, index)}"
    digest = hashlib.sha256(key.encode()).digest()
    stream = np.random.Philox(key=int.from_bytes(digest[:16], "big"))
    rng = np.random.Generator(stream)
    contrast = rng.uniform(*CONTRAST)
    back, front = _two_colors(rng, contrast)
    texture = TEXTURE * _texture(rng) + CLUTTER_STRENGTH * _clutter(rng)
    image = back[:, None, None] + np.float32(contrast) * texture
    masks = _masks(_CHARACTERS[name])
    mask = _place(rng, masks[rng.integers(len(masks))])
    image += mask * (front[:, None, None] - image)
    noise = rng.standard_normal(image.shape, np.float32)
    image += np.float32(rng.uniform(*NOISE)) * noise
    image = np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(image.transpose(1, 2, 0))


def font_paths(character: str) -> list[pathlib.Path]:
    """Returns those of `FONTS` that have the character, in that order."""
    from matplotlib import ft2font

    return [
        path
        for path in _font_files()
        if ft2font.FT2Font(str(path)).get_char_index(ord(character))
    ]


def _examples(seed: int) -> Iterator[Encoded]:
    names = list(_CHARACTERS)
    for key in (
        *itertools.product([TRAIN], names, range(TRAIN_PER_CLASS)),
        *itertools.product([VALIDATION], names, range(VALIDATION_PER_CLASS)),
    ):
        drawn = functools.partial(draw, seed, *key)
        yield Encoded(_id(*key), key[0], names.index(key[1]), drawn)


def _id(split: str, name: str, index: int) -> str:
    return f"{split}/{name}/{index:04d}"


def _fingerprint(seed: int) -> str:
    """Returns a hash of all that images depend on, also matplotlib's fonts."""
    constants = (
        *(VERSION, seed, SIZE, TRAIN_PER_CLASS, VALIDATION_PER_CLASS),
        *(SCALE, ROTATION, STRETCH, SHEAR, CONTRAST, SATURATION, TEXTURE),
        *(CLUTTER, CLUTTER_STRENGTH, NOISE, SYMBOLS, FONTS),
    )
    digest = hashlib.sha256(repr(constants).encode())
    for path in _font_files():
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _font_files() -> list[pathlib.Path]:
    import matplotlib

    folder = pathlib.Path(matplotlib.get_data_path(), "fonts", "ttf")
    return [folder / f"{font}.ttf" for font in FONTS]


@functools.cache
def _masks(character: str) -> list:
    """Returns the symbol in each font that has it: PIL images, white on black.

    The longer side is `_MASK`, so that the size does not reveal the family.
    """
    masks, basic = [], ImageFont.Layout.BASIC
    for path in font_paths(character):
        font = ImageFont.truetype(str(path), 4 * _MASK, layout_engine=basic)
        mask = Image.new("L", (8 * _MASK, 8 * _MASK))
        pen = ImageDraw.Draw(mask)
        pen.text((4 * _MASK, 4 * _MASK), character, 255, font, anchor="mm")
        left, top, right, bottom = mask.getbbox()
        # Interpolation tears the edges of a symbol that fills its mask.
        mask = mask.crop((left - 8, top - 8, right + 8, bottom + 8))
        shrink = _MASK / max(mask.size)
        size = [max(1, round(side * shrink)) for side in mask.size]
        masks.append(mask.resize(size, Image.Resampling.BOX))
    return masks


def _two_colors(
    rng: np.random.Generator, contrast: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns colors of background and symbol, float32 (3,) each."""
    dark = rng.uniform(0.05, 0.95 - contrast)
    luminances = rng.permuted([dark, dark + contrast])
    chroma = rng.uniform(-SATURATION, SATURATION, (2, 3)).astype(np.float32)
    chroma -= (chroma @ _LUMINANCE)[:, None]
    return tuple(np.float32(luminances)[:, None] + chroma)


@functools.cache
def _spread(cells: int) -> np.ndarray:
    """Returns weights from `cells` values to pixels, float32 (SIZE, cells)."""
    where = np.linspace(0, cells - 1, SIZE)
    distance = np.abs(where[:, None] - np.arange(cells))
    # A smooth cosine bump per cell; the weights of a pixel sum to one.
    return np.float32(0.5 + 0.5 * np.cos(np.pi * np.minimum(distance, 1)))


def _texture(rng: np.random.Generator) -> np.ndarray:
    """Draws gradient, blobs, stripes: float32 (3, SIZE, SIZE), around -1..1."""
    texture = np.zeros((3, SIZE, SIZE), np.float32)
    for cells in 2, int(rng.integers(4, 10)):
        values = rng.uniform(-0.5, 0.5, (3, cells, cells))
        spread = _spread(cells)
        texture += spread @ values.astype(np.float32) @ spread.T
    angle = rng.uniform(0, np.pi)
    waves = 2 * np.pi * rng.uniform(2, 10) * np.linspace(0, 1, SIZE)
    x, y = np.cos(angle) * waves, np.sin(angle) * waves + rng.uniform(0, 7)
    # sin(x + y) as outer products: 64 sines per axis, not one per pixel.
    stripes = np.outer(np.sin(y), np.cos(x)) + np.outer(np.cos(y), np.sin(x))
    strengths = rng.uniform(0, 0.5) * rng.uniform(0.3, 1, (3, 1, 1))
    return texture + np.float32(strengths) * np.float32(stripes)


def _clutter(rng: np.random.Generator) -> np.ndarray:
    """Draws lines and arcs, dark and light: float32 (SIZE, SIZE), -1 to 1."""
    canvas = Image.new("L", (_CANVAS, _CANVAS), 127)
    pen = ImageDraw.Draw(canvas)
    for _ in range(rng.integers(CLUTTER[0], CLUTTER[1] + 1)):
        shade, width = int(rng.integers(255)), int(rng.integers(2, 9))
        x, y = rng.uniform(0, _CANVAS, 2)
        length, angle = rng.uniform(0.1, 0.5) * _CANVAS, rng.uniform(0, 360)
        if rng.random() < 0.5:
            half = length / 2
            box = (x - half, y - half, x + half, y + half)
            end = angle + rng.uniform(60, 360)
            pen.arc(box, angle, end, fill=shade, width=width)
        else:
            turn = math.radians(angle)
            end = (x + length * math.cos(turn), y + length * math.sin(turn))
            pen.line((x, y, *end), fill=shade, width=width)
    return np.asarray(canvas.reduce(_OVERSAMPLE), np.float32) / 127 - 1


def _place(rng: np.random.Generator, mask) -> np.ndarray:
    """Warps a whole mask into the frame: float32 (SIZE, SIZE), 0 to 1."""
    angle = math.radians(rng.uniform(-ROTATION, ROTATION))
    stretch = math.exp(rng.uniform(-STRETCH, STRETCH) / 2)
    shear = rng.uniform(-SHEAR, SHEAR)
    cos, sin = math.cos(angle), math.sin(angle)
    skew = np.array([[stretch, shear], [0, 1 / stretch]])
    warp = np.array([[cos, -sin], [sin, cos]]) @ skew
    # The warped box has the scale, so that no symbol leaves its range.
    warp *= rng.uniform(*SCALE) * _CANVAS / max(np.abs(warp) @ mask.size)
    half = np.abs(warp) @ mask.size / 2
    center = half + rng.random(2) * (_CANVAS - 2 * half)
    # PIL takes the inverse, from the canvas to the mask.
    back = np.linalg.inv(warp)
    shift = np.array(mask.size) / 2 - back @ center
    canvas = mask.transform(
        (_CANVAS, _CANVAS),
        Image.Transform.AFFINE,
        (*back[0], shift[0], *back[1], shift[1]),
        Image.Resampling.BICUBIC,
    )
    return np.asarray(canvas.reduce(_OVERSAMPLE), np.float32) / 255
