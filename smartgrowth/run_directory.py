"""The files of a run: the interface between training, reports, comparisons.

Imports no TensorFlow. What each file holds stands in the README.
"""

import csv
import dataclasses
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
from collections.abc import Mapping, Sequence

from smartgrowth import UserError
from smartgrowth.command_line import from_flag_lines
from smartgrowth.config import Config

FLAGS, PLAN, LOG = "flags.txt", "plan.json", "log.csv"
SCHEDULE, METRICS = "schedule.csv", "metrics.json"
CHECKPOINTS, MODEL = "checkpoints", "final.keras"
CLASSES, PREDICTIONS = "classes.txt", "predictions.npz"
# What a run got wrong, by split: as a table and as pictures.
HARD = {
    "train": ("hard_train.csv", "hard_train.png"),
    "validation": ("hard_validation.csv", "hard_validation.png"),
}
TRAIN_PREDICTIONS, ORDERS = "train_predictions.npz", "orders.npz"
AUGMENTATION = "augmentation.png"
DATA_REPORT, LABELS = "data_report.json", "labels.csv"
EVALUATION, AUDIT = "evaluation.json", "audit.json"
REPORT, TENSORBOARD = "report.html", "tensorboard"
PLOTS = (
    "loss.png",
    "accuracy.png",
    "loss_by_size.png",
    "learning_rate.png",
    "confusion.png",
    "class_accuracy.png",
    "reliability.png",
)

LOG_COLUMNS = (
    "step",
    "stage",
    "image_size",
    "num_classes",
    "num_images",
    "batch_size",
    "lr",
    "momentum",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "val_top5",
    "val_accuracy_at_size",
    "stage_val_loss",
    "stage_val_accuracy",
    "images_seen",
    "gflops",
    "train_seconds",
    "wall_seconds",
)
# Of the weights themselves, where their moving average is what val_* judge.
RAW_COLUMNS = ("raw_val_loss", "raw_val_accuracy")


def describe(plan, identity: dict) -> dict:
    """What plan.json holds of a `plan.Plan`, with a hash of all but the cost.

    identity: whatever else decides the run's result (data, network, rates).
    """
    # As the file will give it back: lists where there are tuples.
    stages, identity = json.loads(
        json.dumps([[dataclasses.asdict(s) for s in plan.stages], identity])
    )
    text = json.dumps([stages, identity], sort_keys=True)
    return {
        "hash": hashlib.sha256(text.encode()).hexdigest(),
        "gflops": plan.gflops(),
        "stages": [
            values | {"gflops": plan.gflops_of(stage)}
            for values, stage in zip(stages, plan.stages, strict=True)
        ],
        "identity": identity,
    }


def identify(config: Config, data) -> dict:
    """What decides a run's result besides its stages.

    Not where files are, nor the precision: a run goes on elsewhere.
    """
    names = (
        "dataset model width depth dropout optimizer lr schedule "
        "schedule_scope cycle_len cycle_mult weight_decay label_smoothing "
        "augment mixup cutmix sample_order class_order descriptor balance "
        "size_jitter replay_hard seed evals"
    )
    if config.finds_rate:
        names += " lr_min lr_max"
    # Named only where they are used: they came later, and runs from before go
    # on.
    later = ("ema", "stage_restart", "cycle_epochs")
    for name in later:
        if getattr(config, name) != getattr(Config, name):  # its default
            names += f" {name}"
    values = {name: getattr(config, name) for name in names.split()}
    if config.dataset.startswith("folder:"):
        values["dataset"] = "folder"  # wherever it is
    # Files that decide the orders: by what is in them, wherever they are.
    inputs = {}
    for name, path in _input_files(config).items():
        values[name] = values.get(name, "file").partition(":")[0]
        try:
            inputs[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise UserError(
                f"--{name}: {path} cannot be read ({error.strerror or error})"
            ) from None
    if config.replay:
        values["replay_hard"] = config.replay[1]
    return {
        "num_classes": len(data.class_names),
        "content": data.content,
        "test_size": config.final_size,
        "inputs": inputs,
        **values,
    }


def hash_identity(config: Config, data) -> str:
    """A digest of `identify`."""
    text = json.dumps(identify(config, data), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _input_files(config: Config) -> dict[str, pathlib.Path]:
    """Files that flags name and that a run's result hangs on."""
    files = {"taxonomy": config.taxonomy}
    for name in ("class_order", "sample_order"):
        kind, _, rest = getattr(config, name).partition(":")
        if kind == "file":
            files[name] = rest
        elif kind == "hardest":
            files[name] = f"{rest}/{TRAIN_PREDICTIONS}"
    if config.replay:
        files["replay_hard"] = f"{config.replay[0]}/{TRAIN_PREDICTIONS}"
    return {
        name: pathlib.Path(path).expanduser()
        for name, path in files.items()
        if path
    }


def differences(old: dict, new: dict) -> list[str]:
    """What changed between two described plans, a line for each value."""

    def flat(value, path=""):
        if isinstance(value, dict | list) and value:
            pairs = (
                value.items() if isinstance(value, dict) else enumerate(value)
            )
            return {
                key: leaf
                for name, part in pairs
                for key, leaf in flat(part, f"{path}{name}.").items()
            }
        return {path[:-1]: value}

    parts = ("stages", "identity")
    old_values = flat({part: old.get(part, {}) for part in parts})
    new_values = flat({part: new.get(part, {}) for part in parts})
    return [
        f"{name.removeprefix('identity.')}: "
        f"{old_values.get(name, 'absent')} -> {new_values.get(name, 'absent')}"
        for name in sorted(old_values | new_values)
        if old_values.get(name) != new_values.get(name)
    ]


def check(config: Config, description: dict) -> pathlib.Path:
    """The directory that `claim` would make this run's; changes nothing.

    description: of the plan, as `describe` makes it.

    Raises:
      UserError: it holds a run of another plan; the message shows the
        difference.
    """
    directory = pathlib.Path(config.workdir).expanduser()
    try:
        if not config.restart and (directory / PLAN).exists():
            _check_same(directory, description)
    except OSError as error:
        raise _unusable(config, error) from error
    return directory


def claim(config: Config, description: dict) -> pathlib.Path:
    """Makes `--workdir` this run's, or finds that it already is.

    To be called once nothing is left that could be wrong with the settings:
    it deletes what --restart says, and binds the directory to the plan.

    Raises:
      UserError: as `check`, or the directory cannot be written.
    """
    directory = check(config, description)
    try:
        if config.restart and (directory / PLAN).exists():
            _clear(directory)
        directory.mkdir(parents=True, exist_ok=True)
        if not (directory / PLAN).exists():
            write_json(directory / PLAN, description)
        # --restart is done; repeated, it would delete what it began.
        lines = dataclasses.replace(config, restart=False).flag_lines()
        write_text(directory / FLAGS, "\n".join(lines) + "\n")
    except OSError as error:
        raise _unusable(config, error) from error
    return directory


def is_finished(directory: pathlib.Path) -> bool:
    """Whether the run has its final figures, which are written last."""
    return (directory / METRICS).exists()


def load_config(workdir: str) -> tuple[pathlib.Path, Config]:
    """A finished run's directory and the settings that made it."""
    directory = pathlib.Path(workdir).expanduser()
    if not (directory / FLAGS).exists():
        raise UserError(
            f"--workdir={workdir} holds no run; train one there first"
        )
    if not is_finished(directory):
        raise UserError(
            f"--workdir={workdir} holds a run that is not finished; give its "
            "training command again to go on with it"
        )
    lines = (directory / FLAGS).read_text("utf-8").splitlines()
    return directory, from_flag_lines(lines)


def load_metrics(directory: pathlib.Path) -> dict:
    """The final figures of a finished run."""
    return json.loads((directory / METRICS).read_text("utf-8"))


def write_log(directory: pathlib.Path, rows: Sequence[Mapping]) -> None:
    """Writes log.csv whole: a row an evaluation, the columns fixed.

    Not Keras' CSVLogger, which truncates at every `fit` and, when a run is
    resumed, misaligns columns and doubles rows.
    """
    raw = [name for name in RAW_COLUMNS if rows and name in rows[0]]
    write_csv(directory / LOG, (*LOG_COLUMNS, *raw), rows)


def write_csv(path: pathlib.Path, columns, rows) -> None:
    """Floats to 6 digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {
                name: f"{row[name]:.6g}"
                if isinstance(row[name], float)
                else row[name]
                for name in columns
            }
        )
    write_text(path, text.getvalue())


def write_json(path: pathlib.Path, value) -> None:
    """Indented, but a list of plain values is one line."""
    text = json.dumps(value, indent=1)
    # JSON has no line breaks within strings, so these brackets are lists'.
    text = re.sub(
        r"\[\n *([^\[\]{}]*?)\n *\]",
        lambda found: "[" + re.sub(r"\n *", " ", found[1]) + "]",
        text,
    )
    write_text(path, text + "\n")


def write_npz(path: pathlib.Path, **arrays) -> None:
    import numpy as np  # what only reads texts needs none

    partial = path.with_name(f"partial_{path.name}")
    np.savez(partial, **arrays)
    partial.replace(path)


def read_npz(path: pathlib.Path) -> dict:
    """The arrays of a file of `write_npz`; any that is not whole: OSError."""
    import zipfile

    import numpy as np

    try:
        with path.open("rb") as stream, np.load(stream) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise OSError(f"not a whole file of arrays: {error}") from error


def write_text(path: pathlib.Path, text: str) -> None:
    """Replaces the file at once: a reader sees the old text or the new one."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _unusable(config: Config, error: OSError) -> UserError:
    return UserError(
        f"--workdir={config.workdir}: {error.strerror or error}; name a folder "
        "that can be written"
    )


def _check_same(directory: pathlib.Path, description: dict) -> None:
    try:
        old = json.loads((directory / PLAN).read_text("utf-8"))
        same = old["hash"] == description["hash"]
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"{directory / PLAN} cannot be read as a plan; give --restart to "
            "begin anew, or another --workdir"
        ) from None
    if same:
        return
    changed = differences(old, description)
    shown = "; ".join(changed[:6])
    more = f"; and {len(changed) - 6} more" if len(changed) > 6 else ""
    raise UserError(
        f"--workdir={directory} holds a run of another plan ({shown}{more}); "
        "name another folder, or give --restart to delete that run"
    )


def _clear(directory: pathlib.Path) -> None:
    """Removes what a run writes, and nothing that a user may have put there.

    The plan goes last: while it stands, the rest can still be recognized.
    """
    for name in (CHECKPOINTS, TENSORBOARD):
        shutil.rmtree(directory / name, ignore_errors=True)
    results = (METRICS, LOG, SCHEDULE, MODEL, CLASSES, PREDICTIONS, LABELS)
    hard = (*HARD["train"], *HARD["validation"], TRAIN_PREDICTIONS, ORDERS)
    asked = (EVALUATION, AUDIT, AUGMENTATION, REPORT, *PLOTS)
    for name in (*results, *hard, *asked, DATA_REPORT, FLAGS, PLAN):
        (directory / name).unlink(missing_ok=True)
