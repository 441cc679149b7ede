"""A run directory as tables and figures, for reports and comparisons.

It only reads files (no model, no TensorFlow), so it also serves a run in
progress. Every file except plan.json may still be missing. parse.py reads a
single file; here is what each must hold, and how they must agree.
"""

import dataclasses
import math
import pathlib
from typing import TYPE_CHECKING

from smartgrowth import UserError
from smartgrowth.metrics.scores import TOP
from smartgrowth.names import decode
from smartgrowth.runs import files
from smartgrowth.runs.parse import (
    is_number,
    parsing,
    read_json,
    read_lines,
    read_table,
    require,
)
from smartgrowth.stages import Stage

if TYPE_CHECKING:  # imported late, when there is something to read
    import pandas as pd

# Entries of metrics.json that are numbers, and those with one for each stage.
FIGURES = (
    "val_accuracy",
    "val_top5",
    "val_loss",
    *files.RAW_COLUMNS,
    "tta_accuracy",
    "clean_train_accuracy",
    "clean_train_loss",
    "image_size",
    "native_size",
    "parameters",
    "images_seen",
    "gflops",
    "epochs",
    "train_seconds",
    "wall_seconds",
)
SECONDS = ("stage_seconds", "boundary_seconds")
_STAGE_NUMBERS = {field.name for field in dataclasses.fields(Stage)}
_STAGE_NUMBERS = (_STAGE_NUMBERS | {"gflops"}) - {
    "jitter_sizes",
    "precomputed",
    "trainable",
}


@dataclasses.dataclass(frozen=True)
class Run:
    """The contents of a run's files.

    Attributes:
      directory: of the run.
      stages: of plan.json, each with `steps`, `image_size` and `gflops`.
      rules: of plan.json: what decides where stages end; {} if nothing does.
      decisions: of plan.json: step and rule of the stages that ended by them.
      flags: name -> text, of flags.txt; always with "model" and "dataset".
      log: log.csv, a row per evaluation, by step; floats, NaN if unknown.
      schedule: step, lr and momentum, of schedule.csv or else of the log; and
        lr_NAME of every layer group with a rate of its own.
      metrics: of metrics.json; empty until the run is finished. Without top-5
        accuracy where that says nothing.
      figures: the metrics; until then those of the last evaluation.
      size: image size of the validation, in pixels.
      has_top5: whether there are so many classes that top-5 accuracy says
        anything; else it is always 100%.
    """

    directory: pathlib.Path
    stages: list[dict]
    rules: dict
    decisions: list[dict]
    flags: dict[str, str]
    log: "pd.DataFrame"
    schedule: "pd.DataFrame"
    metrics: dict
    figures: dict
    size: int
    has_top5: bool

    @property
    def steps(self) -> int:
        """Steps of the whole plan."""
        return sum(stage["steps"] for stage in self.stages)


def read_run(directory: pathlib.Path) -> Run:
    """Reads the directory of a run, finished or in progress.

    Raises:
      UserError: it is not a run directory, or a file in it is malformed.
    """
    plan = read_plan(directory)
    stages = plan["stages"]
    steps = sum(stage["steps"] for stage in stages)
    metrics = read_metrics(directory)
    log_path = directory / files.LOG
    log = read_table(log_path, files.LOG_COLUMNS, files.MORE_COLUMNS)
    with parsing(log_path):
        require(
            log["stage"].isin(range(len(stages))).all(),
            f"a stage is not one of {files.PLAN}'s 0 to {len(stages) - 1}",
        )
        require(
            not log_path.exists()
            or not metrics
            or (len(log) and log["step"].iloc[-1] == steps),
            f"it does not end at the last step, {steps}",
        )
    schedule = read_table(
        directory / files.SCHEDULE, ("step", "lr", "momentum"), prefix="lr_"
    )
    flags = read_flags(directory)
    final_size = stages[-1]["image_size"]
    if flags.get("test_size", "0").isdecimal():
        final_size = int(flags.get("test_size", "0")) or final_size
    figures = dict(log.iloc[-1] if len(log) else {}) | metrics
    num_classes = plan["identity"].get("num_classes", TOP + 1)
    if num_classes <= TOP:
        for values in (metrics, figures):
            values.pop("val_top5", None)
    return Run(
        directory=directory,
        stages=stages,
        rules=plan.get("rules", {}),
        decisions=plan.get("decisions", []),
        flags={"model": "a model", "dataset": "a dataset"} | flags,
        log=log,
        schedule=schedule if len(schedule) else log,
        metrics=metrics,
        figures=figures,
        size=metrics.get("image_size") or final_size,
        has_top5=num_classes > TOP,
    )


def read_plan(directory: pathlib.Path) -> dict:
    """Returns what plan.json holds: `stages`, `identity` and more.

    Raises:
      UserError: there is none, or it is malformed.
    """
    path = directory / files.PLAN
    if not path.is_file():
        raise UserError(
            f"{directory} is not a run directory: it has no "
            f"{files.PLAN}. Give the `--workdir` of a run that "
            "`--mode=train` has started."
        )
    plan = read_json(path)
    with parsing(path):
        identity = plan.setdefault("identity", {})
        require(isinstance(identity, dict), "`identity` must be an object")
        count = identity.get("num_classes", 1)
        require(_is_count(count), "`num_classes` must be a count")
        stages = plan.get("stages")
        require(stages and isinstance(stages, list), "`stages` must list some")
        for stage in stages:
            require(isinstance(stage, dict), "a stage must be an object")
            for name in ("steps", "image_size"):
                require(
                    _is_count(stage.get(name)),
                    f"`stages` must have a count of `{name}` each",
                )
            stage["gflops"] = stage.get("gflops") or 0.0
            for name in _STAGE_NUMBERS & stage.keys():
                value = stage[name]
                fits = is_number(value) and math.isfinite(value)
                require(
                    fits or value is None,
                    f"a stage's `{name}` is {value!r:.40}",
                )
        _check_growth(plan)
    return plan


def _check_growth(plan: dict) -> None:
    """Requires that what `--grow_when=auto` adds to a plan is whole."""
    rules, decisions = plan.get("rules", {}), plan.get("decisions", [])
    whole = isinstance(rules, dict) and all(map(is_number, rules.values()))
    require(whole, "`rules` must be numbers by name")
    require(
        isinstance(decisions, list)
        and all(isinstance(each, dict) for each in decisions)
        and all(_is_count(each.get("step")) for each in decisions)
        and all(isinstance(each.get("rule"), str) for each in decisions),
        "`decisions` must have a count of `step` and a `rule` each",
    )


def read_metrics(directory: pathlib.Path) -> dict:
    """Returns what metrics.json holds; {} until the run is finished.

    Raises:
      UserError: it is malformed.
    """
    path = directory / files.METRICS
    metrics = read_json(path)
    if not path.exists():
        return metrics
    with parsing(path):
        require("val_accuracy" in metrics, "it has no `val_accuracy`")
        for name, value in metrics.items():
            fits = True
            if name in FIGURES:
                fits = is_number(value)
            elif name in SECONDS:
                fits = isinstance(value, list) and all(map(is_number, value))
            elif name in ("versions", "numerics"):
                fits = isinstance(value, dict)
            require(fits, f"`{name}` is {value!r:.40}")
        for name in ("gflops", "image_size", "native_size"):
            require(metrics.get(name, 1) > 0, f"`{name}` is not above 0")
    return metrics


def read_flag_lines(directory: pathlib.Path) -> list[str]:
    """Returns the lines of flags.txt; [] if it is missing.

    Raises:
      UserError: it is malformed.
    """
    path = directory / files.FLAGS
    lines = read_lines(path, decode)
    with parsing(path):
        require(lines or not path.exists(), "it is empty")
        for line in lines:
            is_flag = line.startswith("--") and "\0" not in line
            require(is_flag, f"{line!r:.60} is no flag")
    return lines


def read_flags(directory: pathlib.Path) -> dict[str, str]:
    """Returns name -> value, as text, of flags.txt; {} if it is missing.

    Raises:
      UserError: it is malformed.
    """
    pairs = [
        line.removeprefix("--").partition("=")
        for line in read_flag_lines(directory)
    ]
    return {name: value for name, _, value in pairs}


def _is_count(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
