"""What a finished run has lost of its files, and how it gets them back.

metrics.json says that a run is finished, whatever became of the others since.
"""

import csv
import dataclasses
import json
import pathlib
import zipfile

from smartgrowth import UserError
from smartgrowth.config import Config
from smartgrowth.flags.flag import Identity
from smartgrowth.runs import checkpoint, files
from smartgrowth.runs import directory as run_directory
from smartgrowth.runs.directory import plan_hash
from smartgrowth.runs.lease import Lease
from smartgrowth.runtime.reporter import say

DAMAGE = (OSError, ValueError, TypeError, LookupError, zipfile.BadZipFile)

# Written from what is known before the training.
ENTRIES = {files.PLAN, files.FLAGS}


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
        if run_directory.read_plan(directory / files.PLAN):
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
    """
    steps = sum(stage["steps"] for stage in description["stages"])
    num_classes = description["identity"].get("num_classes")
    checks = {
        files.PLAN: _check_plan,
        files.FLAGS: _check_flags,
        files.LOG: lambda path: _check_log(path, steps),
        files.MODEL: _check_model,
        files.CLASSES: lambda path: _check_classes(path, num_classes),
        files.PREDICTIONS: files.read_npz,
        files.METRICS: _check_metrics,
    }
    found = {}
    for name, check in checks.items():
        path = directory / name
        try:
            if path.stat().st_size == 0:
                raise ValueError("it is empty")
            check(path)
        except FileNotFoundError:
            found[name] = "it is missing"
        except DAMAGE as error:
            found[name] = getattr(error, "strerror", None) or str(error)
    return found


def _check_plan(path: pathlib.Path) -> None:
    if run_directory.read_plan(path) is None:
        raise ValueError("it is not a plan")


def _check_flags(path: pathlib.Path) -> None:
    """Raises unless every flag is there that plan.json's identity names.

    A flag that is missing would silently count as its default.
    """
    text = path.read_text("utf-8")
    given = {line.partition("=")[0] for line in text.splitlines()}
    plan = run_directory.read_plan(path.with_name(files.PLAN)) or {}
    identity = plan.get("identity", {})
    for field in dataclasses.fields(Config):
        if field.metadata["identity"] is Identity.INDIRECT:
            continue  # what has its name there is not its value
        named = identity.get(field.name) is not None
        if named and f"--{field.name}" not in given:
            raise ValueError(f"it has no --{field.name}")
    if not text.endswith("\n"):
        raise ValueError("its last line is torn")


def _check_log(path: pathlib.Path, steps: int) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or rows[-1]["step"] != str(steps):
        raise ValueError(f"it does not end at step {steps}")
    if any(None in row or None in row.values() for row in rows):
        raise ValueError("a row has another number of columns")


def _check_model(path: pathlib.Path) -> None:
    with zipfile.ZipFile(path) as archive:
        if broken := archive.testzip():
            raise ValueError(f"its part {broken} is damaged")


def _check_classes(path: pathlib.Path, count: int | None) -> None:
    found = path.read_text("utf-8").count("\n")
    if count is not None and found != count:
        raise ValueError(f"it has {found} of {count} classes")


def _check_metrics(path: pathlib.Path) -> None:
    if "val_accuracy" not in json.loads(path.read_text("utf-8")):
        raise ValueError("it has no val_accuracy")
