"""Writes a store: decodes, checks and resizes a source's images, once.

The stream is written in chunks, so that memory holds only a few hundred images
at a time.
"""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import re
import time
from collections.abc import Callable, Sequence
from typing import IO

import numpy as np

from smartgrowth import UserError
from smartgrowth.data import store
from smartgrowth.data.store import TRAIN, VALIDATION, Refusal, Source
from smartgrowth.runs import files
from smartgrowth.runtime.atomic import atomic_write
from smartgrowth.runtime.reporter import REPORTER, Reporter

CHUNK = 256  # images held in memory, per split and size
VERSION = 2  # of stores; since 2, all images weigh alike in `channel_sums`


def ensure_store(
    fingerprint: str,
    load: Callable[[], Source],
    sizes: Sequence[int],
    cache_dir: pathlib.Path,
    reporter: Reporter = REPORTER,
) -> pathlib.Path:
    """Returns the directory of a store with these sizes; makes what is missing.

    Args:
      fingerprint: of the source, known without opening it.
      load: opens the source; called only if something is missing.
      sizes: sides in pixels; images are never enlarged above their own.
      cache_dir: where stores are kept.
      reporter: prints progress.

    Raises:
      UserError: no image of a split could be used, or the disk is full.
    """
    slug = re.sub(r"[^A-Za-z0-9_-]+", "_", fingerprint)[:60].strip("_")
    tail = hashlib.sha256(fingerprint.encode()).hexdigest()[:12]
    directory = cache_dir / "stores" / f"{slug}-{tail}"
    facts = _load_facts(directory)
    missing = _missing(sizes, facts)
    if missing:
        source = load()
        facts["native_size"] = source.native_size
        missing = _missing(sizes, facts)
        sizes = ", ".join(str(size) for size in missing)
        reporter.say(f"storing {source.name} at {sizes} px in {directory}")
        try:
            _build(source, directory, missing, facts, reporter)
        except OSError as error:
            raise UserError(
                f"--cache_dir={cache_dir}: cannot write the store "
                f"({error.strerror or error}); make room or name another "
                "folder"
            ) from error
    return directory


def _load_facts(directory: pathlib.Path) -> dict:
    """Returns store.json, without sizes whose files are missing.

    Cleaners of caches may have deleted single files.
    """
    try:
        facts = json.loads((directory / store.STORE_FILE).read_text())
    except (OSError, ValueError):
        facts = {}
    paths = [directory / store.REPORT_FILE]
    for split in (TRAIN, VALIDATION):
        paths.append(store.labels_path(directory, split))
        paths.append(store.ids_path(directory, split))
        paths.append(store.sizes_path(directory, split))
    if facts.get("version") != VERSION or not all(p.exists() for p in paths):
        return {"sizes": []}
    facts["sizes"] = [
        size
        for size in facts["sizes"]
        if all(
            store.images_path(directory, split, size).exists()
            for split in (TRAIN, VALIDATION)
        )
    ]
    return facts


def _missing(sizes: Sequence[int], facts: dict) -> list[int]:
    native = facts.get("native_size")
    return sorted(
        {min(size, native or size) for size in sizes} - set(facts["sizes"])
    )


def _build(source, directory, sizes, facts, reporter) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        writers = {}
        for split in (TRAIN, VALIDATION):
            for size in sizes:
                path = store.images_path(directory, split, size)
                file = stack.enter_context(atomic_write(path, "wb"))
                writers[split, size] = _ArrayWriter(file, size)
        census = _stream(source, writers, reporter)
        if facts.get("content", census.content) != census.content:
            raise UserError(
                f"--dataset={source.name} gives other images than when "
                f"{directory} was made; delete that folder"
            )
        for writer in writers.values():
            writer.finish()
    if "content" not in facts:  # otherwise they exist and are the same
        for name, split in census.splits.items():
            np.save(store.labels_path(directory, name), split.labels)
            np.save(
                store.sizes_path(directory, name),
                np.asarray(split.sizes, np.int32).reshape(-1, 2),
            )
            store.ids_path(directory, name).write_text(
                "\n".join(split.ids) + "\n", "utf-8"
            )
    files.write_json(directory / store.REPORT_FILE, census.report())
    # Written last: a store without it does not exist.
    files.write_json(
        directory / store.STORE_FILE,
        {
            "version": VERSION,
            "name": source.name,
            "class_names": source.class_names,
            "groups": dict(source.groups) if source.groups else None,
            "native_size": source.native_size,
            "sizes": sorted({*sizes, *facts["sizes"]}),
            "content": census.content,
            "channel_sums": census.channel_sums.tolist(),
        },
    )


def _stream(source: Source, writers, reporter: Reporter) -> "_Census":
    """Writes the source's images; returns their census."""
    census = _Census(source)
    began = time.monotonic()

    def progress() -> str:
        rate = census.count / (time.monotonic() - began)
        return f"  {census.count:,} images stored, {rate:,.0f}/s"

    for example in _read(source):
        if isinstance(example, Refusal):
            census.refused[example.id] = example.reason
            continue
        census.add(example)
        for (split, _), writer in writers.items():
            if split == example.split:
                writer.add(example.image)
        reporter.progress(progress)
    census.finish()
    seconds = time.monotonic() - began
    refused = f", {len(census.refused)} refused" if census.refused else ""
    reporter.say(
        f"  {census.count:,} images stored in {seconds:.0f} s{refused}"
    )
    return census


def _read(source: Source):
    """Yields examples and refusals; every id is a single line of UTF-8."""
    try:
        for example in source.examples():
            # Also where the file's name is not UTF-8.
            id = example.id.encode(errors="backslashreplace").decode()
            yield dataclasses.replace(example, id=" ".join(id.splitlines()))
    except OSError as error:  # of reading, not of writing the store
        raise UserError(
            f"--dataset={source.name} cannot be read ({error}); check that "
            "the folder or file that it names is complete"
        ) from error


@dataclasses.dataclass
class _Members:
    """Labels, ids and sizes of one split, so far."""

    labels: list[int] = dataclasses.field(default_factory=list)
    ids: list[str] = dataclasses.field(default_factory=list)
    sizes: list[tuple[int, ...]] = dataclasses.field(default_factory=list)


class _Census:
    """What was written to a store, and the problems found."""

    def __init__(self, source: Source):
        self.source = source
        self.splits = {TRAIN: _Members(), VALIDATION: _Members()}
        # Per class: training images, their means and mean squares summed.
        self.channel_sums = np.zeros((len(source.class_names), 3, 3))
        self.refused: dict[str, str] = {}
        self.repaired: dict[str, str] = {}
        self.doubted: dict[str, str] = {}
        self.seen: dict[bytes, tuple[str, str, int]] = {}

    @property
    def count(self) -> int:
        return sum(len(split.ids) for split in self.splits.values())

    @property
    def content(self) -> str:
        return store.digest(self.source.class_names, self.splits)

    def add(self, example: store.Example) -> None:
        split = self.splits[example.split]
        split.labels.append(example.label)
        split.ids.append(example.id)
        split.sizes.append(example.image.shape[:2])
        if example.note:
            self.repaired[example.id] = example.note
        self._doubt(example)
        if example.split == TRAIN:
            # Means: a photo counts no more than a thumbnail.
            pixels = store.central_square(example.image).reshape(-1, 3)
            exact = pixels.astype(np.float32)
            squares = np.einsum("nc,nc->c", exact, exact, dtype=np.float64)
            means = pixels.mean(axis=0), squares / len(pixels)
            self.channel_sums[example.label] += (np.ones(3), *means)

    def _doubt(self, example: store.Example) -> None:
        """Notes an image with the pixels of one in another split or class."""
        key = hashlib.blake2b(example.image, digest_size=12).digest()
        if key not in self.seen:
            self.seen[key] = (example.id, example.split, example.label)
            return
        twin, split, label = self.seen[key]
        if split != example.split:
            self.doubted[example.id] = f"same pixels as {twin} in {split}"
        elif label != example.label:
            name = self.source.class_names[label]
            self.doubted[example.id] = f"same pixels as {twin} in {name}"

    def finish(self) -> None:
        """Raises `UserError` if a split has no images."""
        for name, split in self.splits.items():
            if not split.ids:
                refused = next(iter(self.refused.items()), ())
                why = f" (refused {': '.join(refused)})" if refused else ""
                raise UserError(
                    f"--dataset={self.source.name} has no usable {name} "
                    f"images{why}; check the folder or file that it names"
                )

    def report(self) -> dict:
        return {
            "dataset": self.source.name,
            "images": {name: len(s.ids) for name, s in self.splits.items()},
            "refused": self.refused,
            "repaired": self.repaired,
            "doubted": self.doubted,
        }


class _ArrayWriter:
    """Writes uint8 images to a .npy file, their number unknown in advance."""

    def __init__(self, file: IO[bytes], size: int):
        self.file, self.size, self.count = file, size, 0
        self.chunk: list[np.ndarray] = []
        self._write_header()

    def add(self, image: np.ndarray) -> None:
        self.chunk.append(store.fit_square(image, self.size))
        self.count += 1
        if len(self.chunk) == CHUNK:
            self._flush()

    def finish(self) -> None:
        """Writes the last images, and their number into the header."""
        self._flush()
        self._write_header()

    def _flush(self) -> None:
        if self.chunk:
            self.file.write(np.stack(self.chunk))
            self.chunk.clear()

    def _write_header(self) -> None:
        # NumPy pads the header, so a larger first axis fits in place.
        self.file.seek(0)
        shape = (self.count, self.size, self.size, 3)
        np.lib.format.write_array_header_1_0(
            self.file, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )
