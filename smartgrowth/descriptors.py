"""What likeness of training images is measured by, without foreign weights.

An image becomes a row of numbers such that Euclidean distance is likeness.
Validation images are never read. What is ordered by it stands elsewhere.
"""

import contextlib
import os
import pathlib
import time
from collections.abc import Callable

import numpy as np

from smartgrowth.config import Config
from smartgrowth.data.store import Data
from smartgrowth.wording import show

SIZE = 32  # pixels a side; the store must have it
VERSION = 1  # of the cache: another one is not read
# On 100 classes of Tiny-ImageNet, 50,000 images, the next class centroid and
# the next image were of the same class for: 21.1% and 13.3% with 64
# components, 22.6% and 12.9% with 96, 23.2% and 11.4% with 128.
COMPONENTS = 64
FLOOR = 1e-4  # of the largest variance: below it there is only noise
CHUNK = 2000  # images in memory
GRID = 4  # cells along a side
LEVELS = 4  # of each channel in the colour histogram
ORIENTATIONS = 8  # of gradients, over half a turn
# Brightness, red to green, yellow to blue: a column each.
OPPONENTS = np.array(
    [[1 / 3, 1 / 2, -1 / 4], [1 / 3, -1 / 2, -1 / 4], [1 / 3, 0, 1 / 2]],
    np.float32,
)
CLIP = 0.2  # of a block's gradients, so that no edge outweighs all others
SAY_SECONDS = 10.0  # between lines of progress


def describe(
    config: Config, data: Data, say: Callable[[str], None] = print
) -> np.ndarray:
    """A description of every training image, float32 (N, D), D <= COMPONENTS.

    Row i is image i of `data.train`; the rows' mean is zero, their covariance
    about the unit matrix. Kept in the store, and read from there next time.

    Args:
      config: `descriptor` names one of `DESCRIPTORS`. The seed plays no part,
        so that runs that differ in it alone share their descriptions.
      data: its store has the images at `SIZE` pixels.
      say: takes lines of progress.
    """
    if config.descriptor not in DESCRIPTORS:
        raise ValueError(
            f"`descriptor` must be one of {', '.join(DESCRIPTORS)}; received "
            f"{config.descriptor!r}"
        )
    count, path = len(data.train.labels), cache_path(config.descriptor, data)
    described = _load(path, count)
    if described is None:
        say(f"describing {count:,} training images ({config.descriptor})")
        began = time.monotonic()
        features = DESCRIPTORS[config.descriptor](config, data, say)
        described = whiten(features)
        taken = show("seconds", time.monotonic() - began)
        say(f"  {count:,} images described in {taken}")
        _keep(described, path, say)
    return described


def cache_path(descriptor: str, data: Data) -> pathlib.Path:
    """Where the descriptions of these images are kept."""
    name = f"descriptors_{descriptor}_{VERSION}_{data.content[:16]}.npy"
    return data.train.directory / name


def whiten(features: np.ndarray, components: int = COMPONENTS) -> np.ndarray:
    """Principal components, each at unit variance: PCA whitening.

    Fewer than an eighth of the images: with as many components as images,
    whitening makes all of them equally far from each other.

    Args:
      features: float32 (N, F).
      components: the most to keep, those of the largest variance.

    Returns:
      float32 (N, K).
    """
    means = features.mean(axis=0, dtype=np.float64)  # float32 loses digits
    features = features - means.astype(np.float32)
    covariance = (features.T @ features).astype(np.float64) / len(features)
    variances, axes = np.linalg.eigh(covariance)  # in rising order
    kept = max(min(components, len(features) // 8, len(variances)), 1)
    variances, axes = variances[-kept:], axes[:, -kept:]
    floor = max(FLOOR * variances[-1], np.finfo(np.float32).tiny)
    scaled = axes / np.sqrt(np.maximum(variances, floor))
    return features @ scaled[:, ::-1].astype(np.float32)


def grid_means(values: np.ndarray, grid: int = GRID) -> np.ndarray:
    """The mean in each cell of a grid.

    values: float32 (N, side, side, C), any side. Returns (N, grid, grid, C).
    """
    count, side, _, channels = values.shape
    cells = _cells(side, grid) == np.arange(grid)[:, None]
    pool = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
    pool = pool.astype(np.float32)
    rows = pool @ values.reshape(count, side, side * channels)
    return pool @ rows.reshape(count, grid, side, channels)


def grid_colours(images: np.ndarray) -> np.ndarray:
    """Means and spreads of colour in each cell.

    Of brightness, red to green and yellow to blue. images: float32
    (N, side, side, 3), 0..1. Returns float32 (N, 6 * GRID**2).
    """
    colours = images @ OPPONENTS
    means = grid_means(colours)
    variances = grid_means(colours**2) - means**2
    found = np.stack([means, np.sqrt(np.maximum(variances, 0))])
    return np.moveaxis(found, 0, 1).reshape(len(images), -1)


def colour_histogram(images: np.ndarray) -> np.ndarray:
    """Roots of the shares of LEVELS**3 colours, wherever they are.

    Of roots, Euclidean distance is Hellinger's, and large areas do not
    outweigh all others. images: uint8 (N, side, side, 3). Returns float32.
    """
    red, green, blue = np.moveaxis(
        images.astype(np.intp) * LEVELS // 256, -1, 0
    )
    colours = ((red * LEVELS + green) * LEVELS + blue).reshape(len(images), -1)
    counts = _count(colours, LEVELS**3)
    return np.sqrt(counts / colours.shape[1]).astype(np.float32)


def gradient_histogram(images: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients (Dalal and Triggs 2005).

    Unsigned orientations, each gradient shared by the nearest two; blocks of
    2 x 2 cells that overlap, each normalised, clipped and normalised again.

    images: float32 (N, side, side, 3), 0..1. Returns float32
    (N, (GRID - 1)**2 * 4 * ORIENTATIONS).
    """
    side = images.shape[1]
    padded = np.pad(images.mean(-1), ((0, 0), (1, 1), (1, 1)), mode="edge")
    down = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    right = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    strength = np.hypot(down, right)
    angle = np.arctan2(down, right) * np.float32(ORIENTATIONS / np.pi)
    below = np.floor(angle)
    share = strength * (angle - below)  # of the orientation above
    below = below.astype(np.intp) % ORIENTATIONS
    above = (below + 1) % ORIENTATIONS
    cells = _cells(side)
    cells = (cells[:, None] * GRID + cells) * ORIENTATIONS
    flat, length = (len(images), side * side), GRID**2 * ORIENTATIONS
    votes = _count((cells + below).reshape(flat), length, strength - share)
    votes += _count((cells + above).reshape(flat), length, share)
    votes = votes.reshape(-1, GRID, GRID, ORIENTATIONS).astype(np.float32)
    blocks = np.concatenate(
        [
            votes[:, row : row + GRID - 1, column : column + GRID - 1]
            for row in (0, 1)
            for column in (0, 1)
        ],
        axis=-1,
    )
    # As if a gradient of 0.02 were everywhere: the noise of a sky is no edge.
    blocks = _normalise(blocks, 0.02 * (2 * side / GRID) ** 2)
    blocks = _normalise(np.minimum(blocks, CLIP), 1e-2)
    return blocks.reshape(len(images), -1)


def _classical(config: Config, data: Data, say) -> np.ndarray:
    """Colours and edges over a coarse grid, float32 (N, F), NumPy alone."""
    pictures = data.train.images(data.stored_size(SIZE))
    rows, tell, parts = data.train.rows, _teller(say), []
    for start in range(0, len(rows), CHUNK):
        stored = pictures[rows[start : start + CHUNK]]
        images = stored.astype(np.float32) / 255
        parts.append(
            (
                grid_colours(images),
                colour_histogram(stored),
                gradient_histogram(images),
            )
        )
        tell("described", start + len(stored), len(rows))
    # Each kind has an equal say in what is kept.
    kinds = [np.concatenate(kind) for kind in zip(*parts, strict=True)]
    spreads = [np.sqrt(kind.var(axis=0).sum()) for kind in kinds]
    return np.concatenate(
        [
            kind / (spread or 1)
            for kind, spread in zip(kinds, spreads, strict=True)
        ],
        axis=1,
    )


def _learned(config: Config, data: Data, say) -> np.ndarray:
    """What a small network trained on these images makes of them."""
    from smartgrowth import descriptor_network

    features = descriptor_network.learn_features(
        data, SIZE, _teller(say), deterministic=config.deterministic
    )
    return _normalise(features, 1e-6)


DESCRIPTORS = {"classical": _classical, "learned": _learned}


def _cells(side: int, grid: int = GRID) -> np.ndarray:
    """In which row or column of a grid each pixel stands, int (side,)."""
    return np.arange(side) * grid // side


def _count(codes: np.ndarray, length: int, weights=None) -> np.ndarray:
    """How often each code from 0 to length - 1 stands in each row.

    codes: int (N, P). weights: of each, same shape. Returns (N, length).
    """
    codes = codes + length * np.arange(len(codes))[:, None]
    if weights is not None:
        weights = weights.ravel()
    counts = np.bincount(codes.ravel(), weights, length * len(codes))
    return counts.reshape(-1, length)


def _normalise(blocks: np.ndarray, least: float) -> np.ndarray:
    """The last axis at unit length, shorter where it is not above `least`."""
    squares = np.sum(blocks**2, axis=-1, keepdims=True)
    return blocks / np.sqrt(squares + least**2)


def _teller(say: Callable[[str], None]) -> Callable[[str, int, int], None]:
    """Says now and then how much of something is done, and the time left."""
    began = said = time.monotonic()

    def tell(what: str, done: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said < SAY_SECONDS or done >= total:
            return
        said = now
        left = show("seconds", (now - began) / done * (total - done))
        say(f"  {what} {done:,} of {total:,}, left: {left}")

    return tell


def _load(path: pathlib.Path, count: int) -> np.ndarray | None:
    """What `_keep` kept for `count` images; None if it is not usable."""
    try:
        with path.open("rb") as file:
            described = np.lib.format.read_array(file)
    except (OSError, ValueError):
        return None
    usable = (
        described.dtype == np.float32
        and described.ndim == 2
        and len(described) == count
        and np.isfinite(described).all()
    )
    return described if usable else None


def _keep(described: np.ndarray, path: pathlib.Path, say) -> None:
    """Writes it whole or not at all; without room, it is made again."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            np.lib.format.write_array(file, described)
        partial.replace(path)
    except OSError as error:
        say(
            f"  warning: the descriptions cannot be kept in {path.parent} "
            f"({error.strerror or error}); the next run makes them again"
        )
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
