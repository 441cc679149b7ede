"""The life of a run directory: checked, claimed, mended, finished."""

import dataclasses
import hashlib
import os
import pathlib
import shutil

from smartgrowth import UserError
from smartgrowth.config import Config
from smartgrowth.runs import checkpoint, files
from smartgrowth.runs.identity import differences
from smartgrowth.runs.reader import read_plan
from smartgrowth.runtime.atomic import remove_partial
from smartgrowth.runtime.reporter import say


def check(config: Config, description: dict) -> pathlib.Path:
    """Returns the directory that `claim` would give to this run.

    Changes nothing. A plan.json that is missing or torn is no obstacle where
    the checkpoints are of this plan: they hold its hash.

    Args:
      config: only `workdir` and `restart` are used.
      description: of the plan, as `describe_plan` makes it.

    Raises:
      UserError: it holds a run of another plan, and the message shows the
        difference; or a flag cannot be written to flags.txt.
    """
    for line in config.flag_lines():
        if "\n" in line or "\r" in line:
            raise UserError(
                f"{line!r}: {files.FLAGS} has a line for each flag and cannot "
                "hold a line break; rename that file or folder"
            )
    directory = pathlib.Path(config.workdir).expanduser()
    try:
        if not config.restart:
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
        if config.restart:
            if _holds_run(directory):
                _clear(directory)
            remove_rescued(config)
        mend(directory, config, description)
        _write_flags(directory, config)
    except OSError as error:
        raise _unusable(config, error) from error
    return directory


def mend(directory: pathlib.Path, config: Config, description: dict) -> None:
    """Writes plan.json and flags.txt where a run has lost them.

    Args:
      directory: of the run; made if it is not there.
      config: of the run.
      description: of its plan, with the hash that its checkpoints hold.

    Raises:
      OSError: they cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / files.PLAN
    if find_plan(directory) is None:
        if path.exists() or _checkpointed_plans(directory):
            say(f"{path} was lost or torn: it is written again")
        files.write_json(path, description)
    if not (directory / files.FLAGS).exists():
        _write_flags(directory, config)


def mend_finished(
    directory: pathlib.Path, config: Config, description: dict
) -> None:
    """Does as `mend` for a finished run that is known to be of this plan.

    By its plan.json, which `check` has compared, or by its checkpoints.

    Raises:
      UserError: the directory cannot be written.
    """
    try:
        if find_plan(directory) or (
            _checkpointed_plans(directory) == {description["hash"]}
        ):
            mend(directory, config, description)
    except OSError as error:
        raise _unusable(config, error) from error


def rescue_folder(config: Config) -> pathlib.Path:
    """Returns where the last checkpoint is kept if `--workdir` refuses it.

    On this machine, under `--cache_dir`, by the absolute path of `--workdir`.
    """
    workdir = pathlib.Path(config.workdir).expanduser().absolute()
    key = hashlib.sha256(os.fsencode(workdir)).hexdigest()[:16]
    cache = pathlib.Path(config.cache_dir).expanduser().absolute()
    # A name takes 255 bytes at most, and --workdir may have used them up.
    return cache / "rescued" / f"{workdir.name[:50]}-{key}"


def remove_rescued(config: Config) -> None:
    """Removes what is in `rescue_folder`.

    Raises:
      OSError: it stays, and would be resumed.
    """
    if rescue_folder(config).is_dir():
        shutil.rmtree(rescue_folder(config))


def plan_hash(config: Config, description: dict) -> str:
    """Returns the hash of the plan, which the run's checkpoints hold.

    It is read from plan.json, since an older version may have written fewer
    values; call it after `check`.
    """
    directory = pathlib.Path(config.workdir).expanduser()
    old = None if config.restart else find_plan(directory)
    return (old or description)["hash"]


def is_finished(directory: pathlib.Path) -> bool:
    """Returns whether the run has its final figures, which are written last."""
    return (directory / files.METRICS).exists()


def _unusable(config: Config, error: OSError) -> UserError:
    return UserError(
        f"--workdir={config.workdir}: {error.strerror or error}; name a folder "
        "that can be written"
    )


def _write_flags(directory: pathlib.Path, config: Config) -> None:
    # These are done; repeated, --restart would delete this run.
    done = dataclasses.replace(config, restart=False, take_over=False)
    files.write_flags(directory, done.flag_lines())


def find_plan(directory: pathlib.Path) -> dict | None:
    """Returns what plan.json holds; None if it is missing or torn."""
    try:
        plan = read_plan(directory)
        return plan if isinstance(plan.get("hash"), str) else None
    except UserError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None  # it may be whole
        return None


def _checkpointed_plans(directory: pathlib.Path) -> set[str]:
    """Returns the hashes of the plans that the checkpoints are of."""
    found = checkpoint.read_facts(directory / files.CHECKPOINTS)
    return {facts["plan"] for facts in found if "plan" in facts}


def _check_same(directory: pathlib.Path, description: dict) -> None:
    path = directory / files.PLAN
    old = find_plan(directory)
    if old is None:
        plans = _checkpointed_plans(directory)
        if plans - {description["hash"]}:
            raise UserError(
                f"--workdir={directory} holds checkpoints of another plan, and "
                f"no {files.PLAN} that can be read; name another folder, or "
                "give --restart to delete that run"
            )
        if path.exists() and not plans:
            raise UserError(
                f"{path} cannot be read as a plan; give --restart to begin "
                "anew, or another --workdir"
            )
        return
    if old["hash"] == description["hash"]:
        return
    changed = differences(old, description, is_finished(directory))
    if not changed:
        return
    listed = "; ".join(changed[:6])
    more = f"; and {len(changed) - 6} more" if len(changed) > 6 else ""
    raise UserError(
        f"--workdir={directory} holds a run of another plan ({listed}{more}); "
        "name another folder, or give --restart to delete that run"
    )


def _holds_run(directory: pathlib.Path) -> bool:
    """Returns whether any file is there that only a run writes.

    metrics.json, log.csv or loss.png alone may be someone else's.
    """
    names = (
        files.PLAN,
        files.FLAGS,
        files.SCHEDULE,
        files.MODEL,
        files.PREDICTIONS,
        files.TRAIN_PREDICTIONS,
        files.ORDERS,
        *files.HARD["train"],
        *files.HARD["validation"],
        files.CONFUSED,
    )
    return any((directory / name).exists() for name in names) or any(
        (directory / files.CHECKPOINTS).glob("step_*_????????.npz")
    )


def _clear(directory: pathlib.Path) -> None:
    """Removes a run's files, and no file of the user's.

    The plan is removed last: it marks the directory as a run's. The lease
    stays: it is of the process that clears, and its number never falls.

    Raises:
      OSError: one stays; an old checkpoint would be resumed.
    """
    for name in (files.CHECKPOINTS, files.TENSORBOARD, files.EXPORT):
        if (directory / name).is_dir():
            shutil.rmtree(directory / name)
    remove_partial(directory)
    results = (
        files.METRICS,
        files.LOG,
        files.SCHEDULE,
        files.MODEL,
        files.MODEL_MANIFEST,
        files.CLASSES,
        files.PREDICTIONS,
        files.LABELS,
        files.PREDICTED,
    )
    hard = (
        *files.HARD["train"],
        *files.HARD["validation"],
        files.CONFUSED,
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
