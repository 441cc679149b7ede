"""Writes a store: decodes, checks and resizes a source's images, once.

Workers do that, and this process writes. The stream is written in chunks, so
that memory holds only a few hundred images at a time.
"""

import contextlib
import dataclasses
import functools
import hashlib
import pathlib
import re
import time
from collections.abc import Callable, Sequence
from typing import IO

import numpy as np

from smartgrowth import UserError
from smartgrowth.data import integrity, store
from smartgrowth.data.census import Census, examine
from smartgrowth.data.source import (
    TRAIN,
    VALIDATION,
    Encoded,
    Example,
    Refusal,
    Source,
)
from smartgrowth.data.sources.listing import name_some
from smartgrowth.data.workers import map_in_order
from smartgrowth.names import clean
from smartgrowth.runs import files
from smartgrowth.runtime.atomic import atomic_write
from smartgrowth.runtime.reporter import REPORTER, Reporter

CHUNK = 256  # images held in memory, per split and size


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
    facts = integrity.load_facts(directory)
    missing = _missing(sizes, facts)
    if missing:
        source = load()
        facts["native_size"] = source.native_size
        missing = _missing(sizes, facts)
        sizes = ", ".join(str(size) for size in missing)
        reporter.say(f"storing {source.name} at {sizes} px in {directory}")
        for note in source.notes:
            reporter.say(f"  {note}")
        try:
            _build(source, directory, missing, facts, reporter)
        except OSError as error:
            raise UserError(
                f"--cache_dir={cache_dir}: cannot write the store "
                f"({error.strerror or error}); make room or name another "
                "folder"
            ) from error
    return directory


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
        made = {"content": census.content, "pixels": census.pixels}
        if any(facts.get(key, made[key]) != made[key] for key in made):
            raise UserError(
                f"--dataset={source.name} gives other images than when "
                f"{directory} was made; delete that folder"
            )
        for writer in writers.values():
            writer.finish()
    if "content" not in facts:  # otherwise they exist and are the same
        for name, split in census.splits.items():
            np.save(store.labels_path(directory, name), split.labels)
            np.save(store.digests_path(directory, name), split.digests)
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
            "version": integrity.VERSION,
            "name": source.name,
            "class_names": source.class_names,
            "groups": dict(source.groups) if source.groups else None,
            "native_size": source.native_size,
            "sizes": sorted({*sizes, *facts["sizes"]}),
            **made,
            "unreadable": census.unreadable,
            "channel_sums": census.channel_sums.tolist(),
        },
    )


def _stream(source: Source, writers, reporter: Reporter) -> Census:
    """Writes the source's images; returns their census."""
    census = Census(source)
    began = time.monotonic()

    def progress() -> str:
        rate = census.count / (time.monotonic() - began)
        return f"  {census.count:,} images stored, {rate:,.0f}/s"

    sizes = sorted({size for _, size in writers})
    examined = map_in_order(
        functools.partial(examine, sizes=sizes), _read(source), _count_bytes
    )
    with contextlib.closing(examined):
        for found in examined:
            if isinstance(found, Refusal):
                census.refuse(found)
                continue
            census.add(found)
            for size, square in found.squares.items():
                writers[found.split, size].add(square)
            reporter.progress(progress)
    census.finish()
    seconds = time.monotonic() - began
    refused = f", {len(census.refused)} refused" if census.refused else ""
    reporter.say(
        f"  {census.count:,} images stored in {seconds:.0f} s{refused}"
    )
    for what in ("refused", "doubted"):
        found = getattr(census, what)
        if found:
            named = [f"{id} ({why})" for id, why in found.items()]
            reporter.say(f"  {len(found):,} {what}: {name_some(named)}")
    return census


def _read(source: Source):
    """Yields examples and refusals; every id is a single line of UTF-8."""
    try:
        for example in source.examples():
            name = clean(example.id)
            if name != example.id:
                example = dataclasses.replace(example, id=name)
            yield example
    except OSError as error:  # of reading, not of writing the store
        raise UserError(
            f"--dataset={source.name} cannot be read ({error}); check that "
            "the folder or file that it names is complete"
        ) from error


def _count_bytes(given: Encoded | Example | Refusal) -> int:
    if isinstance(given, Example):
        return given.image.nbytes
    content = given.content if isinstance(given, Encoded) else None
    return len(content) if isinstance(content, bytes) else 0


class _ArrayWriter:
    """Writes uint8 images to a .npy file, their number unknown in advance."""

    def __init__(self, file: IO[bytes], size: int):
        self.file, self.size, self.count = file, size, 0
        self.chunk: list[bytes] = []
        self._write_header()

    def add(self, square: bytes) -> None:
        self.chunk.append(square)
        self.count += 1
        if len(self.chunk) == CHUNK:
            self._flush()

    def finish(self) -> None:
        """Writes the last images, and their number into the header."""
        self._flush()
        self._write_header()

    def _flush(self) -> None:
        if self.chunk:
            self.file.write(b"".join(self.chunk))
            self.chunk.clear()

    def _write_header(self) -> None:
        # NumPy pads the header, so a larger first axis fits in place.
        self.file.seek(0)
        shape = (self.count, self.size, self.size, 3)
        np.lib.format.write_array_header_1_0(
            self.file, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )
