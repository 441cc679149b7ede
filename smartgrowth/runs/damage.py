"""What a finished run has lost of its files, and how it gets them back.

metrics.json says that a run is finished, whatever became of the others since.
"""

import dataclasses
import pathlib

from smartgrowth import UserError
from smartgrowth.config import Config
from smartgrowth.flags.flag import Identity
from smartgrowth.runs import checkpoint, files
from smartgrowth.runs import directory as run_directory
from smartgrowth.runs.directory import plan_hash
from smartgrowth.runs.lease import Lease
from smartgrowth.runs.model_file import check_archive
from smartgrowth.runs.parse import (
    parsing,
    read_arrays,
    read_lines,
    read_records,
    reason,
    require,
)
from smartgrowth.runs.reader import read_flags, read_metrics, read_plan
from smartgrowth.runtime.drive import NotReadNow
from smartgrowth.runtime.reporter import say

# Written from what is known before the training.
ENTRIES = {files.PLAN, files.FLAGS}
# What predictions.npz must have: name -> number of dimensions.
ARRAYS = {"labels": 1, "probabilities": 2}


def mend_finished(
    directory: pathlib.Path, config: Config, description: dict
) -> bool:
    """Mends a finished run as far as that needs no network.

    Args:
      directory: of the run.
      config: of the run.
      description: of its plan.

    Returns:
      Whether it is whole. If not, to go on from its last checkpoint writes
      its results again.

    Raises:
      UserError: what is damaged is lost, or cannot be written.
    """
    damaged = find_damage(directory, description)
    if not damaged:
        return True
    words = "; ".join(f"{name}: {why}" for name, why in damaged.items())
    own = plan_hash(config, description)
    if damaged.keys() <= ENTRIES:
        with Lease(directory, own, config.take_over):
            say(f"mends the finished run in {directory} ({words})")
            if files.FLAGS in damaged:
                (directory / files.FLAGS).unlink(missing_ok=True)
            run_directory.mend_finished(directory, config, description)
        if run_directory.find_plan(directory):
            return True
        raise UserError(
            f"--workdir={directory} holds a finished run that has lost its "
            f"{files.PLAN}, and no checkpoints that show which plan it is of; "
            "put the file back, or give --restart to train anew"
        )
    last = sum(stage["steps"] for stage in description["stages"])
    found = checkpoint.read_facts(directory / files.CHECKPOINTS)
    if not any(f["step"] == last and f.get("plan") == own for f in found):
        raise UserError(
            f"--workdir={directory} holds a finished run that is damaged "
            f"({words}), and no checkpoint of its last step, from which that "
            "could be written again; put the files back, or give --restart to "
            "train it anew"
        )
    say(
        f"{directory} is finished, but damaged ({words}): its results are "
        "written again from its last checkpoint"
    )
    return False


def find_damage(directory: pathlib.Path, description: dict) -> dict[str, str]:
    """Returns the damaged files of a finished run -> what is wrong.

    Those that are missing, empty or torn, of the files without which the run
    cannot be opened, continued or compared.

    Args:
      directory: of the run.
      description: of its plan.

    Raises:
      NotReadNow: the drive fails, which is no damage.
    """
    steps = sum(stage["steps"] for stage in description["stages"])
    num_classes = description["identity"].get("num_classes")
    checks = {
        files.PLAN: _check_plan,
        files.FLAGS: _check_flags,
        files.LOG: lambda path: _check_log(path, steps),
        files.MODEL: check_archive,
        files.CLASSES: lambda path: _check_classes(path, num_classes),
        files.PREDICTIONS: lambda path: read_arrays(path, ARRAYS),
        files.METRICS: lambda path: read_metrics(path.parent),
    }
    found = {}
    for name, check in checks.items():
        path = directory / name
        try:
            with parsing(path):
                require(path.exists(), "it is missing")
                require(path.stat().st_size, "it is empty")
                check(path)
        except NotReadNow:
            raise
        except UserError as error:
            found[name] = reason(error.__cause__ or error)
    return found


def _check_plan(path: pathlib.Path) -> None:
    plan = read_plan(path.parent)
    require(isinstance(plan.get("hash"), str), "it has no `hash`")


def _check_flags(path: pathlib.Path) -> None:
    """Raises unless every flag is there that plan.json's identity names.

    A flag that is missing would silently count as its default.
    """
    given = read_flags(path.parent)
    plan = run_directory.find_plan(path.parent) or {}
    identity = plan.get("identity", {})
    for field in dataclasses.fields(Config):
        if field.metadata["identity"] is Identity.INDIRECT:
            continue  # what has its name there is not its value
        named = identity.get(field.name) is not None
        require(field.name in given or not named, f"it has no --{field.name}")
    require(path.read_bytes().endswith(b"\n"), "its last line is torn")


def _check_log(path: pathlib.Path, steps: int) -> None:
    rows = read_records(path, ("step",))
    ended = rows and rows[-1]["step"] == str(steps)
    require(ended, f"it does not end at step {steps}")


def _check_classes(path: pathlib.Path, count: int | None) -> None:
    found = len(read_lines(path))
    require(count in (None, found), f"it has {found} of {count} classes")
