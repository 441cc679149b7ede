"""The life of a run directory: checked, claimed, finished, read back."""

import dataclasses
import json
import pathlib
import shutil

from smartgrowth import UserError
from smartgrowth.command_line import from_flag_lines
from smartgrowth.config import Config
from smartgrowth.runs import files
from smartgrowth.runs.identity import differences
from smartgrowth.runtime.atomic import remove_partial


def check(config: Config, description: dict) -> pathlib.Path:
    """Returns the directory that `claim` would give to this run.

    Changes nothing.

    Args:
      config: only `workdir` and `restart` are used.
      description: of the plan, as `describe_plan` makes it.

    Raises:
      UserError: it holds a run of another plan; the message shows the
        difference.
    """
    directory = pathlib.Path(config.workdir).expanduser()
    try:
        if not config.restart and (directory / files.PLAN).exists():
            _check_same(directory, description)
    except OSError as error:
        raise _unusable(config, error) from error
    return directory


def claim(config: Config, description: dict) -> pathlib.Path:
    """Returns `--workdir`, which from now on belongs to this run's plan.

    Call it after every check of the flags: with --restart it deletes an
    earlier run's files.

    Raises:
      UserError: as `check`, or the directory cannot be written.
    """
    directory = check(config, description)
    try:
        if config.restart and (directory / files.PLAN).exists():
            _clear(directory)
        directory.mkdir(parents=True, exist_ok=True)
        if not (directory / files.PLAN).exists():
            files.write_json(directory / files.PLAN, description)
        # --restart is done; repeated, it would delete this run.
        lines = dataclasses.replace(config, restart=False).flag_lines()
        files.write_text(directory / files.FLAGS, "\n".join(lines) + "\n")
    except OSError as error:
        raise _unusable(config, error) from error
    return directory


def plan_hash(config: Config, description: dict) -> str:
    """Returns the hash of the plan, which the run's checkpoints hold.

    It is read from plan.json, since an older version may have written fewer
    values; call it after `check`.
    """
    path = pathlib.Path(config.workdir).expanduser() / files.PLAN
    if config.restart or not path.exists():
        return description["hash"]
    return json.loads(path.read_text("utf-8"))["hash"]


def is_finished(directory: pathlib.Path) -> bool:
    """Returns whether the run has its final figures, which are written last."""
    return (directory / files.METRICS).exists()


def load_config(workdir: str) -> tuple[pathlib.Path, Config]:
    """Returns a finished run's directory and the config that made it.

    Raises:
      UserError: there is no run, or it is not finished.
    """
    directory = pathlib.Path(workdir).expanduser()
    if not (directory / files.FLAGS).exists():
        raise UserError(
            f"--workdir={workdir} holds no run; train one there first"
        )
    if not is_finished(directory):
        raise UserError(
            f"--workdir={workdir} holds a run that is not finished; give its "
            "training command again to go on with it"
        )
    lines = (directory / files.FLAGS).read_text("utf-8").splitlines()
    return directory, from_flag_lines(lines)


def load_metrics(directory: pathlib.Path) -> dict:
    """Returns the final figures of a finished run."""
    return json.loads((directory / files.METRICS).read_text("utf-8"))


def _unusable(config: Config, error: OSError) -> UserError:
    return UserError(
        f"--workdir={config.workdir}: {error.strerror or error}; name a folder "
        "that can be written"
    )


def _check_same(directory: pathlib.Path, description: dict) -> None:
    try:
        old = json.loads((directory / files.PLAN).read_text("utf-8"))
        same = old["hash"] == description["hash"]
        finished = is_finished(directory)
        changed = [] if same else differences(old, description, finished)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UserError(
            f"{directory / files.PLAN} cannot be read as a plan; give "
            "--restart to begin anew, or another --workdir"
        ) from None
    if not changed:
        return
    listed = "; ".join(changed[:6])
    more = f"; and {len(changed) - 6} more" if len(changed) > 6 else ""
    raise UserError(
        f"--workdir={directory} holds a run of another plan ({listed}{more}); "
        "name another folder, or give --restart to delete that run"
    )


def _clear(directory: pathlib.Path) -> None:
    """Removes a run's files, and no file of the user's.

    The plan is removed last: it marks the directory as a run's.
    """
    for name in (files.CHECKPOINTS, files.TENSORBOARD):
        shutil.rmtree(directory / name, ignore_errors=True)
    remove_partial(directory)
    results = (
        files.METRICS,
        files.LOG,
        files.SCHEDULE,
        files.MODEL,
        files.CLASSES,
        files.PREDICTIONS,
        files.LABELS,
    )
    hard = (
        *files.HARD["train"],
        *files.HARD["validation"],
        files.TRAIN_PREDICTIONS,
        files.ORDERS,
    )
    asked = (
        files.EVALUATION,
        files.AUDIT,
        files.AUGMENTATION,
        files.REPORT,
        *files.PLOTS,
    )
    for name in (
        *results,
        *hard,
        *asked,
        files.DATA_REPORT,
        files.FLAGS,
        files.PLAN,
    ):
        (directory / name).unlink(missing_ok=True)
