"""Checkpoints that survive an interruption: verified, rotated, on any disk.

A checkpoint is an archive of arrays and a manifest, which is written last. An
archive without a whole manifest, or with another hash, is named and skipped;
the one before it is used. It is written to the local disk first and then
copied under a new name, because writes to a mounted drive are not atomic and
the drive can disappear. If the local disk is full, it is written straight to
its place, under a hidden name until it is whole.
"""

import contextlib
import os
import pathlib
import re
import shutil
import time
from collections.abc import Callable, Iterator

import numpy as np

from smartgrowth.runs.manifest import hash_file, read_manifest, write_manifest
from smartgrowth.runtime.atomic import atomic_path, remove_partial
from smartgrowth.runtime.drive import (
    NotReadNow,
    is_passing,
    list_files,
    read_patiently,
)
from smartgrowth.runtime.reporter import say
from smartgrowth.runtime.scratch import scratch_folder, scratch_root

TRIES = 3
KEEP = 2  # newest ones, besides the best


def collect(groups: dict[str, list]) -> dict[str, np.ndarray]:
    """Returns the values of variables, by group, position and name.

    By position, so that layers that differ only in their implementation can
    read each other's values; the name is checked.
    """
    return {
        f"{group}/{index:04d}/{_last_name(variable)}": np.asarray(variable)
        for group, variables in groups.items()
        for index, variable in enumerate(variables)
    }


def restore(groups: dict[str, list], arrays: dict[str, np.ndarray]) -> None:
    """Assigns the values of `collect`; groups that were not saved stay.

    Raises:
      ValueError: a variable's array is missing or of another shape.
    """
    for group, variables in groups.items():
        if not any(name.startswith(f"{group}/") for name in arrays):
            continue
        for index, variable in enumerate(variables):
            name = f"{group}/{index:04d}/{_last_name(variable)}"
            # Until version 0.4.0 a number was left, and nothing else.
            number = f"{group}/{index:04d}/{variable.name.rpartition('_')[2]}"
            name = number if name not in arrays else name
            if name not in arrays or arrays[name].shape != variable.shape:
                raise ValueError(f"no array {name} of shape {variable.shape}")
            variable.assign(arrays[name])


def save(
    directory: pathlib.Path,
    arrays: dict[str, np.ndarray],
    facts: dict,
    best: bool = False,
    check_owner: Callable[[], None] = lambda: None,
    tries: int = TRIES,
) -> None:
    """Writes a checkpoint, then removes those that it replaces.

    Args:
      directory: where the checkpoints are.
      arrays: any number of them, by name.
      facts: JSON values; `facts["step"]` names the checkpoint.
      best: whether to keep it until another is the best.
      check_owner: called before what may take long is made valid, and before
        others are removed; raises if another process writes here now.
      tries: with a short wait between them, for a drive that answers late.

    Raises:
      OSError: writing to the directory failed several times.
    """
    manifest = {"best": best, "facts": facts}
    with _archive_writer(directory, arrays) as write:
        for attempt in range(tries):
            try:
                published = _publish(directory, write, manifest, check_owner)
                break
            except OSError:
                if attempt + 1 == tries:
                    raise
                time.sleep(2.0**attempt)
    _rotate(directory, facts["step"], published, check_owner)


def load(
    directory: pathlib.Path,
    check: Callable[[dict[str, np.ndarray], dict], None] | None = None,
) -> tuple[dict[str, np.ndarray], dict] | None:
    """Returns the newest valid checkpoint as (arrays, facts); None if none.

    Prints a line for each damaged one that is skipped.

    Args:
      directory: where the checkpoints are.
      check: of (arrays, facts); raises `ValueError` if they do not belong
        together, and the checkpoint counts as damaged.

    Raises:
      NotReadNow: the drive does not read now. Nothing counts as damaged then:
        the next save would remove it.
    """
    try:
        for path, manifest in _manifests(directory, _say_skipped):
            archive = directory / manifest["archive"]
            try:
                arrays = read_patiently(
                    _read_archive, archive, manifest["sha256"]
                )
                if check:
                    check(arrays, manifest["facts"])
                return arrays, manifest["facts"]
            except (OSError, ValueError) as error:
                if is_passing(error):
                    raise
                _say_skipped(path, error)
    except OSError as error:
        if not is_passing(error):
            raise
        way = "; if it stays so, delete it, and the one before it is used"
        raise NotReadNow(error.filename or directory, error, way) from error
    return None


def _read_archive(path: pathlib.Path, sha: str) -> dict[str, np.ndarray]:
    if hash_file(path) != sha:
        raise ValueError("its hash is not the manifest's")
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def read_facts(directory: pathlib.Path) -> list[dict]:
    """Returns the facts of all whole manifests, the newest first.

    Raises:
      OSError: the drive does not read now.
    """
    return [manifest["facts"] for _, manifest in _manifests(directory)]


def _last_name(variable) -> str:
    """Returns a variable's name without its layer's, and without numbers.

    Keras numbers layers, and variables without a name, within the process.
    """
    return re.sub(r"(_\d+)+$", "", variable.name).rpartition("_")[2]


@contextlib.contextmanager
def _archive_writer(
    directory, arrays
) -> Iterator[Callable[[pathlib.Path], str]]:
    """Yields what writes the archive to a path and returns its hash.

    Says so if the local disk refuses it, and does without.
    """
    with contextlib.ExitStack() as stack:
        try:
            archive = stack.enter_context(scratch_folder()) / "archive"
            sha = _write_archive(archive, arrays)
        except OSError as error:
            stack.close()
            say(
                f"warning: no room for a checkpoint in {scratch_root()} "
                f"({error.strerror or error}); it is written straight to "
                f"{directory}"
            )
            archive = None

        def write(target: pathlib.Path) -> str:
            if archive:
                shutil.copyfile(archive, target)
                return sha
            with atomic_path(target) as partial:
                return _write_archive(partial, arrays)

        yield write


def _write_archive(path: pathlib.Path, arrays) -> str:
    """Returns the hash of what was written."""
    with path.open("wb") as file:
        np.savez(file, **arrays)
    return hash_file(path)


def _publish(directory, write, manifest, check_owner) -> str:
    """Writes an archive, then its manifest; returns the archive's name."""
    directory.mkdir(parents=True, exist_ok=True)
    step = manifest["facts"]["step"]
    unique = f"step_{step:09d}_{os.urandom(4).hex()}"
    target = directory / f"{unique}.npz"
    try:
        sha = write(target)
        if hash_file(target) != sha:
            raise OSError(f"{target} reads back differently")
        check_owner()
        write_manifest(
            directory / f"{unique}.json",
            {"archive": target.name, "sha256": sha, **manifest},
        )
        # Taken just now, it must not be the next owner's newest one.
        check_owner()
    except BaseException:
        # A part that did not fit must not take space from the next one.
        for path in (target.with_suffix(".json"), target):
            with contextlib.suppress(OSError):
                path.unlink()
        raise
    return target.name


def _manifests(
    directory, skip: Callable[[pathlib.Path, Exception], None] | None = None
) -> list[tuple[pathlib.Path, dict]]:
    """Returns the manifests that are whole, the newest first.

    Args:
      directory: where the checkpoints are.
      skip: called with the path of each other one and what is wrong with it.

    Raises:
      OSError: the drive does not read now.
    """
    manifests = []
    paths = {
        path.with_suffix(".json")
        for path in list_files(directory, "step_")
        if path.suffix in (".json", ".npz")
    }
    for path in sorted(paths, reverse=True):
        try:
            manifests.append((path, read_patiently(read_manifest, path)))
        except (OSError, ValueError) as error:
            if is_passing(error):
                raise
            if skip:
                skip(path, error)
    return sorted(
        manifests, key=lambda pair: pair[1]["facts"]["step"], reverse=True
    )


def _say_skipped(path: pathlib.Path, error: Exception) -> None:
    say(f"skipping the damaged checkpoint {path}: {error}")


def _rotate(directory, step: int, published: str, check_owner) -> None:
    """Removes old checkpoints; keeps the newest and the best up to this step.

    Others of this step or of a later one were damaged when the run resumed
    before them; they are removed, not counted among the newest. Neither are
    those whose archive the drive has lost.
    """
    manifests = [
        manifest
        for _, manifest in _manifests(directory)
        if manifest["archive"] == published
        or (
            manifest["facts"]["step"] < step
            and _has_content(directory / manifest["archive"])
        )
    ]
    best = [m["archive"] for m in manifests if m["best"]][:1]
    kept = {m["archive"] for m in manifests[:KEEP]} | set(best)
    found = list_files(directory, "step_")
    # After the listing: no file of a process that takes the run from now on
    # can be in it.
    check_owner()
    for path in found:
        if path.with_suffix(".npz").name not in kept:
            path.unlink(missing_ok=True)
    remove_partial(directory)


def _has_content(path: pathlib.Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
