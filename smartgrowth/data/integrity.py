"""Finds which parts of a store on disk are whole; the rest is made again.

Disks fill, copies stop half way, and cleaners of caches delete single files.
"""

import json
import pathlib
import types

import numpy as np

from smartgrowth.data import store
from smartgrowth.data.source import DIGEST, TRAIN, VALIDATION

VERSION = 4  # of stores; since 4, photos are decoded at a fraction
_NOTHING = {"sizes": []}


def load_facts(directory: pathlib.Path) -> dict:
    """Returns store.json, with the sizes whose images are whole.

    Pixels are not read: only headers, and how long the files are.

    Args:
      directory: of a store, or of none.

    Returns:
      {"sizes": []} if labels, ids or store.json itself are missing, damaged
      or of another shape.
    """
    # Damage can look like anything, and raises anything.
    try:
        facts = json.loads((directory / store.STORE_FILE).read_text("utf-8"))
        splits = {name: _read(directory, name) for name in (TRAIN, VALIDATION)}
        report = json.loads((directory / store.REPORT_FILE).read_text("utf-8"))
        if not (_is_whole(facts, splits) and _is_report(report)):
            return dict(_NOTHING)
        facts["sizes"] = [
            size
            for size in facts["sizes"]
            if all(
                _has_images(directory, name, size, len(split.labels))
                for name, split in splits.items()
            )
        ]
    except Exception:  # noqa: BLE001
        return dict(_NOTHING)
    return facts


def _read(directory: pathlib.Path, name: str) -> types.SimpleNamespace:
    return types.SimpleNamespace(
        labels=np.load(store.labels_path(directory, name)),
        ids=store.ids_path(directory, name).read_text("utf-8").splitlines(),
        sizes=np.load(store.sizes_path(directory, name)),
        digests=np.load(store.digests_path(directory, name)),
    )


def _is_whole(facts: dict, splits: dict) -> bool:
    names, groups = facts["class_names"], facts["groups"]
    native = facts["native_size"]
    sums = np.asarray(facts["channel_sums"], np.float64)
    return (
        facts.get("version") == VERSION
        # Of class names, ids and labels.
        and facts["content"] == store.digest(names, splits)
        and facts["pixels"] == store.digest_pixels(splits)
        and all(isinstance(size, int) for size in facts["sizes"])
        and (native is None or (isinstance(native, int) and native > 0))
        and (groups is None or isinstance(groups, dict))
        and sums.shape == (len(names), 3, 3)
        and bool(np.isfinite(sums).all())
        and all(len(entry) == 4 for entry in facts["unreadable"])
        and all(
            len(split.ids) == len(split.labels)
            and split.sizes.shape == (len(split.labels), 2)
            and split.sizes.dtype == np.int32
            and split.digests.shape == (len(split.labels), DIGEST)
            and split.digests.dtype == np.uint8
            for split in splits.values()
        )
    )


def _is_report(report: dict) -> bool:
    return all(
        isinstance(report[key], dict)
        for key in ("images", "refused", "repaired", "doubted")
    )


def _has_images(
    directory: pathlib.Path, name: str, size: int, count: int
) -> bool:
    """Returns whether all images of a split are there in one size."""
    try:
        # Raises `ValueError` where the file is shorter than its header says.
        path = store.images_path(directory, name, size)
        images = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return False
    return (
        images.shape == (count, size, size, 3)
        and images.dtype == np.uint8
        and images.flags.c_contiguous
    )
