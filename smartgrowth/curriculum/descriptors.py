"""Descriptors of training images, without pretrained weights.

A descriptor is a row of numbers; similar images have a small Euclidean
distance. Validation images are never read. Orders are made in `orders`.
"""

import hashlib
import pathlib
import time

import numpy as np

from smartgrowth.config import Config
from smartgrowth.curriculum import classical
from smartgrowth.data.load import DESCRIPTOR_SIZE
from smartgrowth.data.store import Data
from smartgrowth.rendering.text import show
from smartgrowth.runtime import backend
from smartgrowth.runtime.atomic import atomic_write
from smartgrowth.runtime.reporter import REPORTER, Reporter

VERSION = 2  # of the cache; other versions are not read
# On 100 classes of Tiny-ImageNet, 50,000 images, the nearest class centroid and
# the nearest image were of the same class for: 21.1% and 13.3% with 64
# components, 22.6% and 12.9% with 96, 23.2% and 11.4% with 128; scaled to
# unit length, with 64: 21.4% and 15.3%; learned: 30.0% and 23.6%.
COMPONENTS = 64
FLOOR = 1e-4  # of the largest variance; components below it are noise
CHUNK = 2000  # images in memory


def describe(
    config: Config, data: Data, reporter: Reporter = REPORTER
) -> np.ndarray:
    """Returns the descriptor of every training image.

    Features are whitened, then scaled to unit length. Without that, the medoid
    of a class would be the most average of all images, not the one most
    typical of its class: for lobsters, a cage. The result is cached in the
    store.

    Args:
      config: `descriptor` names one of `DESCRIPTORS`. The seed has no effect,
        so that runs with different seeds share their descriptors.
      data: its store has the images at `DESCRIPTOR_SIZE`.
      reporter: prints progress.

    Returns:
      float32 (N, D), D <= COMPONENTS; row i is image i of `data.train`.
    """
    if config.descriptor not in DESCRIPTORS:
        raise ValueError(
            f"`descriptor` must be one of {', '.join(DESCRIPTORS)}; received "
            f"{config.descriptor!r}"
        )
    count, path = len(data.train.labels), cache_path(config.descriptor, data)
    described = _load(path, count)
    if described is None:
        reporter.say(
            f"describing {count:,} training images ({config.descriptor})"
        )
        began = time.monotonic()
        features = DESCRIPTORS[config.descriptor](config, data, reporter)
        described = classical.normalize(whiten(features), 1e-6)
        taken = show("seconds", time.monotonic() - began)
        reporter.say(f"  {count:,} images described in {taken}")
        _keep(described, path, reporter)
    return described


def cache_path(descriptor: str, data: Data) -> pathlib.Path:
    """Returns the path of the cached descriptors of these images."""
    images = hashlib.sha256(f"{data.content} {data.pixels}".encode())
    name = f"descriptors_{descriptor}_{VERSION}_{images.hexdigest()[:16]}.npy"
    return data.train.directory / name


def whiten(features: np.ndarray, components: int = COMPONENTS) -> np.ndarray:
    """Returns principal components, each with unit variance: PCA whitening.

    It keeps at most one component per eight images: with as many components
    as images, whitening makes all images equally distant.

    Args:
      features: float32 (N, F).
      components: how many to keep at most, those with the largest variance.

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


def _classical(config: Config, data: Data, reporter: Reporter) -> np.ndarray:
    """Returns colors and edges over a coarse grid, float32 (N, F)."""
    pictures = data.train.images(data.stored_size(DESCRIPTOR_SIZE))
    rows, parts = data.train.rows, []
    count_down = reporter.countdown("described", len(rows))
    for start in range(0, len(rows), CHUNK):
        stored = pictures[rows[start : start + CHUNK]]
        parts.append(classical.colors_and_edges(stored))
        count_down(start + len(stored))
    # Each kind has the same weight in the whitening.
    kinds = [np.concatenate(kind) for kind in zip(*parts, strict=True)]
    spreads = [np.sqrt(kind.var(axis=0).sum()) for kind in kinds]
    return np.concatenate(
        [
            kind / (spread or 1)
            for kind, spread in zip(kinds, spreads, strict=True)
        ],
        axis=1,
    )


def _learned(config: Config, data: Data, reporter: Reporter) -> np.ndarray:
    """Returns features of a small network trained on these images."""
    backend.start()
    from smartgrowth.curriculum import learned

    features = learned.learn_features(
        data,
        DESCRIPTOR_SIZE,
        deterministic=config.deterministic,
        reporter=reporter,
    )
    return classical.normalize(features, 1e-6)


DESCRIPTORS = {"classical": _classical, "learned": _learned}


def _load(path: pathlib.Path, count: int) -> np.ndarray | None:
    """Returns cached descriptors of `count` images; None if unusable."""
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


def _keep(
    described: np.ndarray, path: pathlib.Path, reporter: Reporter
) -> None:
    """Writes descriptors atomically; prints a message if the disk is full."""
    try:
        with atomic_write(path, "wb") as file:
            np.lib.format.write_array(file, described)
    except OSError as error:
        reporter.say(
            f"  warning: the descriptions cannot be kept in {path.parent} "
            f"({error.strerror or error}); the next run makes them again"
        )
