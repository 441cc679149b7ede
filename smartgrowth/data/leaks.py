"""--drop_leaks: takes training images out that also stand in validation."""

import dataclasses
import hashlib
import pathlib

import numpy as np

from smartgrowth import UserError
from smartgrowth.data import duplicates
from smartgrowth.data.sources.listing import name_some
from smartgrowth.data.store import Data
from smartgrowth.runtime.atomic import atomic_write
from smartgrowth.runtime.reporter import REPORTER, Reporter

VERSION = 1  # of what counts as a copy, and of the cache


def drop_leaks(data: Data, size: int, reporter: Reporter = REPORTER) -> Data:
    """Returns `data` without training images that are copies of validation's.

    Copies are files or pixels that are the same, and near-duplicates of any
    class as `duplicates` finds them. `mean` and `variance` stay those of all
    training images. What is found is kept beside the stored images.

    Args:
      data: with `native_size`, mean and variance of all training images.
      size: of the stored images to compare, in pixels; the same for every
        plan, or what is found might differ.
      reporter: prints progress.

    Raises:
      UserError: a class would have no training image left.
    """
    count = len(data.train.ids)
    pairs = _find(data, size, reporter)
    is_kept = np.ones(count, bool)
    is_kept[pairs[:, 0]] = False
    left = set(data.train.labels[is_kept].tolist())
    emptied = [
        name for label, name in enumerate(data.class_names) if label not in left
    ]
    if emptied:
        raise UserError(
            f"--drop_leaks: all training images of {name_some(emptied)} are "
            "copies of validation images; add others, or leave the class out "
            "with --classes"
        )
    train = data.train.subset(is_kept)
    dropped = {
        data.train.ids[one]: f"copy of {data.validation.ids[other]}"
        for one, other in pairs.tolist()
    }
    named = [f"{id} ({why})" for id, why in dropped.items()]
    which = f": {name_some(named)}" if named else ""
    reporter.say(
        f"{len(dropped):,} of {count:,} training images are copies of "
        f"validation images and are left out{which}"
    )
    kept = data.with_splits(train, data.validation)
    return dataclasses.replace(kept, dropped=dropped)


def _find(data: Data, size: int, reporter: Reporter) -> np.ndarray:
    """Returns training images to drop, each with a copy, int64 (K, 2)."""
    key = hashlib.sha256(f"{data.content} {data.pixels} {size}".encode())
    name = f"leaks_{VERSION}_{key.hexdigest()[:16]}.npy"
    path = data.train.directory / name
    found = _load(path, len(data.train.ids), len(data.validation.ids))
    if found is None:
        found = _compare(data, size, reporter)
        try:
            with atomic_write(path, "wb") as file:
                np.lib.format.write_array(file, found)
        except OSError as error:
            reporter.say(
                f"  warning: what was found cannot be kept in {path.parent} "
                f"({error.strerror or error}); the next run looks again"
            )
    return found


def _compare(data: Data, size: int, reporter: Reporter) -> np.ndarray:
    validated = [row.tobytes() for row in data.validation.digests]
    # In reverse, so that the first copy counts.
    copies = {validated[i]: i for i in reversed(range(len(validated)))}
    found = duplicates.find_copies(
        data.train, data.validation, size, reporter=reporter
    )
    for place, row in enumerate(data.train.digests):
        if row.tobytes() in copies:
            found[place] = copies[row.tobytes()]
    return np.array(sorted(found.items()), np.int64).reshape(-1, 2)


def _load(path: pathlib.Path, train: int, validation: int) -> np.ndarray | None:
    """Returns kept pairs; None if unusable."""
    try:
        with path.open("rb") as file:
            pairs = np.lib.format.read_array(file)
    except (OSError, ValueError):
        return None
    usable = (
        pairs.dtype == np.int64
        and pairs.ndim == 2
        and pairs.shape[1] == 2
        and ((pairs >= 0) & (pairs < (train, validation))).all()
    )
    return pairs if usable else None
