"""Checkpoints that survive what stops a run: verified, rotated, on any disk.

A checkpoint is an archive of arrays and a manifest beside it, written last; an
archive without one, or one whose hash is another, does not count. It is written
to the local disk first and copied under a name never used before, because a
mounted drive promises neither atomic writes nor to be there tomorrow.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import tempfile
import time

import numpy as np

from smartgrowth.runtime.atomic import atomic_write, remove_partial
from smartgrowth.runtime.reporter import say

TRIES = 3
KEEP = 2  # newest ones, besides the best


def collect(groups: dict[str, list]) -> dict[str, np.ndarray]:
    """Returns the values of variables, by group, position and name.

    By position, so that layers that differ only in how they compute read each
    other's; the name is there to be checked.
    """
    return {
        f"{group}/{index:04d}/{_last_name(variable)}": np.asarray(variable)
        for group, variables in groups.items()
        for index, variable in enumerate(variables)
    }


def restore(groups: dict[str, list], arrays: dict[str, np.ndarray]) -> None:
    """Assigns what `collect` collected; groups that were not saved stay.

    Raises:
      ValueError: a variable's array is missing or of another shape.
    """
    for group, variables in groups.items():
        if not any(name.startswith(f"{group}/") for name in arrays):
            continue
        for index, variable in enumerate(variables):
            name = f"{group}/{index:04d}/{_last_name(variable)}"
            if name not in arrays or arrays[name].shape != variable.shape:
                raise ValueError(f"no array {name} of shape {variable.shape}")
            variable.assign(arrays[name])


def save(
    directory: pathlib.Path,
    arrays: dict[str, np.ndarray],
    facts: dict,
    best: bool = False,
) -> None:
    """Writes a checkpoint, then removes those that it replaces.

    Args:
      directory: where the checkpoints are.
      arrays: any number of them, by name.
      facts: JSON values; `facts["step"]` names the checkpoint.
      best: keep it until another is the best.

    Raises:
      OSError: the disk would not take it, several times.
    """
    name = f"step_{facts['step']:09d}"
    with tempfile.TemporaryDirectory() as local:
        archive = pathlib.Path(local) / name
        with archive.open("wb") as file:
            np.savez(file, **arrays)
        sha = _hash(archive)
        manifest = {"archive": "", "sha256": sha, "best": best, "facts": facts}
        for attempt in range(TRIES):
            try:
                published = _publish(directory, name, archive, manifest)
                break
            except OSError:
                if attempt + 1 == TRIES:
                    raise
                time.sleep(2.0**attempt)
    _rotate(directory, facts["step"], published)


def load(
    directory: pathlib.Path,
) -> tuple[dict[str, np.ndarray], dict] | None:
    """Returns the newest whole checkpoint as (arrays, facts); None if none.

    Says a line for each damaged one that is passed over.
    """
    for path, manifest in _manifests(directory):
        archive = directory / manifest["archive"]
        try:
            if _hash(archive) != manifest["sha256"]:
                raise OSError("its hash is not the manifest's")
            with np.load(archive, allow_pickle=False) as file:
                return dict(file), manifest["facts"]
        except (OSError, ValueError) as error:
            say(f"passing over the damaged checkpoint {path}: {error}")
    return None


def _last_name(variable) -> str:
    """Without the layer's name, which counts layers made in the process."""
    return variable.name.rpartition("_")[2]


def _publish(directory, name, archive, manifest) -> str:
    """Copies the archive, then writes its manifest; returns its name there."""
    directory.mkdir(parents=True, exist_ok=True)
    unique = f"{name}_{os.urandom(4).hex()}"
    target = directory / f"{unique}.npz"
    try:
        shutil.copyfile(archive, target)
        if _hash(target) != manifest["sha256"]:
            raise OSError(f"{target} reads back differently")
        with atomic_write(directory / f"{unique}.json") as file:
            json.dump(manifest | {"archive": target.name}, file)
    except BaseException:
        # What did not fit must not take the room of what would.
        with contextlib.suppress(OSError):
            target.unlink()
        raise
    return target.name


def _manifests(directory) -> list[tuple[pathlib.Path, dict]]:
    """Manifests that can be read, the newest first."""
    manifests = []
    for path in sorted(directory.glob("step_*.json"), reverse=True):
        try:
            manifests.append((path, json.loads(path.read_text())))
        except (OSError, ValueError):
            continue
    return sorted(
        manifests, key=lambda pair: pair[1]["facts"]["step"], reverse=True
    )


def _rotate(directory, step: int, published: str) -> None:
    """Keeps the newest ones and the best, of those that led to this one.

    One of a later step, or another of this step, was damaged when the run went
    on from before it: counted, it would push the good ones out.
    """
    manifests = [
        manifest
        for _, manifest in _manifests(directory)
        if manifest["facts"]["step"] < step or manifest["archive"] == published
    ]
    best = [m["archive"] for m in manifests if m["best"]][:1]
    kept = {m["archive"] for m in manifests[:KEEP]} | set(best)
    for path in directory.glob("step_*"):
        if path.with_suffix(".npz").name not in kept:
            path.unlink(missing_ok=True)
    remove_partial(directory)


def _hash(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
