"""Opens a store: a dataset decoded once into fixed-size uint8 arrays on disk.

`build` writes it. Nothing here depends on where the images come from or what
trains on them.
"""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from smartgrowth import UserError
from smartgrowth.data.class_names import choose_classes
from smartgrowth.data.source import TRAIN, VALIDATION

STORE_FILE, REPORT_FILE = "store.json", "data_report.json"


@dataclasses.dataclass(frozen=True)
class Split:
    """The training or the validation images.

    Attributes:
      labels: int64 (N,).
      ids: (N,).
      rows: of the stored arrays, int64 (N,).
      digests: of each image, as in `Example`, uint8 (N, DIGEST).
      directory: of the store.
      name: `TRAIN` or `VALIDATION`: what the images are used for.
      stored: `TRAIN` or `VALIDATION`: under which they are stored.
    """

    labels: np.ndarray
    ids: tuple[str, ...]
    rows: np.ndarray
    digests: np.ndarray
    directory: pathlib.Path
    name: str
    stored: str

    def images(self, size: int) -> np.ndarray:
        """Returns a memory map of all stored images of a size.

        uint8 (M, size, size, 3); image i of the split is row `rows[i]`.
        """
        path = images_path(self.directory, self.stored, size)
        # Copy-on-write, since TensorFlow makes no copy of writable memory.
        # Nothing writes to it.
        return np.load(path, mmap_mode="c")

    def original_sizes(self) -> np.ndarray:
        """Returns heights and widths before any cut or resize, int32 (N, 2)."""
        return np.load(sizes_path(self.directory, self.stored))[self.rows]

    def subset(self, chosen: np.ndarray, name: str | None = None) -> "Split":
        """Returns some of the images.

        Args:
          chosen: their indices, int (N,), or a mask.
          name: what they are used for; as all of them unless given.
        """
        return dataclasses.replace(
            self,
            name=name or self.name,
            labels=self.labels[chosen],
            ids=tuple(np.array(self.ids, object)[chosen]),
            rows=self.rows[chosen],
            digests=self.digests[chosen],
        )


@dataclasses.dataclass(frozen=True)
class Data:
    """What a run trains and validates on: a store, or some classes of it.

    Attributes:
      groups: class name -> coarse group, or None.
      mean, variance: of the channels, 3 floats each, in units of 0..255; every
        training image's central square has the same weight.
      native_size: as in `Source`.
      content: a digest of class names, ids and labels; equal on every machine.
      pixels: a digest of the images themselves, whatever sizes are stored.
      unreadable: split -> id -> why; images that are left out.
      dropped: training images that `leaks` left out, id -> why; None if it
        was not asked to.
    """

    class_names: tuple[str, ...]
    groups: Mapping[str, str] | None
    train: Split
    validation: Split
    mean: tuple[float, ...]
    variance: tuple[float, ...]
    native_size: int | None
    content: str
    pixels: str
    unreadable: Mapping[str, Mapping[str, str]]
    dropped: Mapping[str, str] | None = None

    def stored_size(self, size: int) -> int:
        """Returns the stored size used for `size`: at most `native_size`."""
        return min(size, self.native_size or size)

    def split(self, name: str) -> Split:
        return self.train if name == TRAIN else self.validation

    def with_splits(self, train: Split, validation: Split) -> "Data":
        """Returns the data of these images; `mean` and `variance` stay."""
        splits = {TRAIN: train, VALIDATION: validation}
        return dataclasses.replace(
            self,
            train=train,
            validation=validation,
            content=digest(self.class_names, splits),
            pixels=digest_pixels(splits),
        )

    def report(self) -> dict:
        """Returns the images that are refused, repaired or doubted, by path."""
        path = self.train.directory / REPORT_FILE
        report = json.loads(path.read_text("utf-8"))
        extra = {} if self.dropped is None else {"dropped": self.dropped}
        return report | extra

    @property
    def class_counts(self) -> np.ndarray:
        """Training images per class, int64 (C,)."""
        return np.bincount(self.train.labels, minlength=len(self.class_names))


def open_data(
    directory: pathlib.Path, classes: Sequence[str] = ("all",)
) -> Data:
    """Opens a store that `build.ensure_store` made, or some of its classes.

    Args:
      directory: of the store.
      classes: ("all",), a number as text, or names: whole names, or the part
        before or after the first space ("n02123045", "tabby").

    Raises:
      UserError: no such class, or one without usable images.
    """
    facts = json.loads((directory / STORE_FILE).read_text("utf-8"))
    names = facts["class_names"]
    chosen = choose_classes(classes, names)
    position = np.full(len(names), -1)
    position[chosen] = np.arange(len(chosen))
    splits = {}
    for name in (TRAIN, VALIDATION):
        labels = position[np.load(labels_path(directory, name))]
        rows = np.flatnonzero(labels >= 0)
        ids = ids_path(directory, name).read_text("utf-8").splitlines()
        splits[name] = Split(
            labels=labels[rows],
            ids=tuple(ids[row] for row in rows),
            rows=rows,
            digests=np.load(digests_path(directory, name))[rows],
            directory=directory,
            name=name,
            stored=name,
        )
    chosen_names = tuple(names[index] for index in chosen)
    if not len(splits[VALIDATION].rows):
        raise UserError(
            "none of the chosen classes has a usable validation image; see "
            f"{directory / REPORT_FILE}, or choose others with --classes"
        )
    missing = sorted(
        chosen_names[label]
        for label in set(range(len(chosen))) - set(splits[TRAIN].labels)
    )
    if missing:
        raise UserError(
            f"no training image of class {missing[0]!r} could be used; see "
            f"{directory / REPORT_FILE}, or leave it out with --classes"
        )
    # Stored per class, so that the statistics are of the chosen classes only.
    sums = np.asarray(facts["channel_sums"], np.float64)[chosen].sum(axis=0)
    count, total, square = sums
    mean = total / count
    return Data(
        class_names=chosen_names,
        groups=facts["groups"],
        train=splits[TRAIN],
        validation=splits[VALIDATION],
        mean=tuple(mean.tolist()),
        variance=tuple((square / count - mean**2).tolist()),
        native_size=facts["native_size"],
        content=digest(chosen_names, splits),
        pixels=digest_pixels(splits),
        unreadable={
            name: {
                id: reason
                for id, reason, split, label in facts["unreadable"]
                if split == name and label in chosen
            }
            for name in splits
        },
    )


def digest(class_names: Sequence[str], splits: Mapping) -> str:
    """Returns a hash of class names, ids and labels."""
    sha = hashlib.sha256("\n".join(class_names).encode())
    for name in (TRAIN, VALIDATION):
        sha.update("\n".join(splits[name].ids).encode())
        sha.update(np.asarray(splits[name].labels, np.int64).tobytes())
    return sha.hexdigest()


def digest_pixels(splits: Mapping) -> str:
    """Returns a hash of the images' own digests, in their order."""
    sha = hashlib.sha256()
    for name in (TRAIN, VALIDATION):
        sha.update(np.asarray(splits[name].digests, np.uint8).tobytes())
    return sha.hexdigest()


def images_path(directory: pathlib.Path, split: str, size: int):
    return directory / f"images_{split}_{size}.npy"


def labels_path(directory: pathlib.Path, split: str):
    return directory / f"labels_{split}.npy"


def digests_path(directory: pathlib.Path, split: str):
    return directory / f"digests_{split}.npy"


def sizes_path(directory: pathlib.Path, split: str):
    return directory / f"sizes_{split}.npy"


def ids_path(directory: pathlib.Path, split: str):
    return directory / f"ids_{split}.txt"
