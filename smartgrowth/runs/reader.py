"""A run directory as tables and figures, for reports and comparisons.

It only reads files (no model, no TensorFlow), so it also serves a run in
progress. Every file except plan.json may still be missing.
"""

import csv
import dataclasses
import json
import pathlib
import zipfile
from collections.abc import Sequence
from typing import TYPE_CHECKING

from smartgrowth import UserError
from smartgrowth.metrics.scores import TOP
from smartgrowth.names import from_cell
from smartgrowth.runs import files

if TYPE_CHECKING:  # imported late, when there is a table to read
    import pandas as pd


@dataclasses.dataclass(frozen=True)
class Run:
    """The contents of a run's files.

    Attributes:
      directory: of the run.
      stages: of plan.json, each with `steps`, `image_size` and `gflops`.
      flags: name -> text, of flags.txt; always with "model" and "dataset".
      log: log.csv, a row per evaluation, by step; floats, NaN if unknown.
      schedule: step, lr and momentum, of schedule.csv or else of the log.
      metrics: of metrics.json; empty until the run is finished. Without top-5
        accuracy where that says nothing.
      figures: the metrics; until then those of the last evaluation.
      size: image size of the validation, in pixels.
      has_top5: whether there are so many classes that top-5 accuracy says
        anything; else it is always 100%.
    """

    directory: pathlib.Path
    stages: list[dict]
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
    plan_path = directory / files.PLAN
    if not plan_path.is_file():
        raise UserError(
            f"{directory} is not a run directory: it has no "
            f"{files.PLAN}. Give the `--workdir` of a run that "
            "`--mode=train` has started."
        )
    plan = read_json(plan_path)
    stages = plan.get("stages")
    try:
        for stage in stages:
            stage["steps"] = int(stage["steps"])
            stage["image_size"] = int(stage["image_size"])
            stage["gflops"] = float(stage.get("gflops") or 0)
        final_size = stages[-1]["image_size"]
    except (TypeError, ValueError, LookupError) as error:
        problem = "`stages` must list stages with `steps` and `image_size`"
        raise malformed(plan_path, problem) from error
    log_path = directory / files.LOG
    log = read_table(log_path, files.LOG_COLUMNS, files.RAW_COLUMNS)
    if not log["stage"].isin(range(len(stages))).all():
        problem = f"a stage is not one of plan.json's 0 to {len(stages) - 1}"
        raise malformed(log_path, problem)
    schedule = read_table(
        directory / files.SCHEDULE, ("step", "lr", "momentum")
    )
    metrics = read_json(directory / files.METRICS)
    flags = {"model": "a model", "dataset": "a dataset"}
    for line in read_flags(directory):
        name, _, value = line.removeprefix("--").partition("=")
        flags[name] = value
    if flags.get("test_size", "0").isdigit():
        final_size = int(flags.get("test_size", "0")) or final_size
    figures = dict(log.iloc[-1] if len(log) else {}) | metrics
    num_classes = (plan.get("identity") or {}).get("num_classes", TOP + 1)
    if num_classes <= TOP:
        for values in (metrics, figures):
            values.pop("val_top5", None)
    return Run(
        directory=directory,
        stages=stages,
        flags=flags,
        log=log,
        schedule=schedule if len(schedule) else log,
        metrics=metrics,
        figures=figures,
        size=metrics.get("image_size") or final_size,
        has_top5=num_classes > TOP,
    )


def read_predictions(directory: pathlib.Path):
    """Returns labels int64 (N,) and probabilities (N, C) of validation images.

    None if there are no predictions yet.
    """
    import numpy as np

    path = directory / files.PREDICTIONS
    if not path.is_file():
        return None
    try:
        with np.load(path) as arrays:
            labels, probabilities = arrays["labels"], arrays["probabilities"]
        if probabilities.shape[:-1] != labels.shape or labels.ndim != 1:
            raise ValueError(
                f"{labels.shape} labels, {probabilities.shape} probabilities"
            )
        if (
            not (labels >= 0).all()
            or not (labels < probabilities.shape[1]).all()
        ):
            raise ValueError("a label is of no class")
    except (OSError, ValueError, LookupError, zipfile.BadZipFile) as error:
        raise malformed(path, error) from error
    return labels, probabilities


def read_records(path: pathlib.Path, columns: Sequence[str]) -> list[dict]:
    """Returns the rows of a CSV file as text by column; [] if it is missing."""
    rows = [
        {name: from_cell(cell or "") for name, cell in row.items() if name}
        for row in csv.DictReader(read_lines(path))
    ]
    if rows and (missing := set(columns) - set(rows[0])):
        raise malformed(path, f"it has no column {', '.join(sorted(missing))}")
    return rows


def read_flags(directory: pathlib.Path) -> list[str]:
    """Returns the lines of a run's flags.txt; [] if it is missing."""
    try:
        return files.read_flags(directory)
    except OSError as error:
        raise malformed(directory / files.FLAGS, error) from error


def read_classes(directory: pathlib.Path) -> list[str]:
    """Returns a run's class names; [] if they are not written yet."""
    try:
        return files.read_classes(directory)
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise malformed(directory / files.CLASSES, error) from error


def read_lines(path: pathlib.Path) -> list[str]:
    """Returns the lines of a text file; [] if it is missing."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise malformed(path, error) from error


def read_json(path: pathlib.Path) -> dict:
    """Returns the object in a JSON file; {} if it is missing."""
    try:
        value = json.loads("\n".join(read_lines(path)) or "{}")
    except json.JSONDecodeError as error:
        raise malformed(path, error) from error
    if not isinstance(value, dict):
        raise malformed(path, f"expected an object, got {value!r:.40}")
    return value


def read_table(
    path: pathlib.Path, columns: Sequence[str], optional: Sequence[str] = ()
) -> "pd.DataFrame":
    """Returns columns of a CSV file as floats, by step; empty fields are NaN.

    If rows have the same step, the last one counts: a resumed run may have
    written it twice.

    Args:
      path: of the file.
      columns: to read.
      optional: columns that are NaN if the file lacks them.
    """
    import pandas as pd

    rows = [row for row in csv.reader(read_lines(path)) if row]
    header = rows.pop(0) if rows else columns
    if missing := [name for name in columns if name not in header]:
        raise malformed(path, f"it has no column {', '.join(missing)}")
    columns = (*columns, *optional)
    if rows and len(rows[-1]) < len(header):
        rows.pop()  # the run is still writing it
    values = []
    for row in rows:
        try:
            fields = dict(zip(header, row, strict=True))
            values.append(
                [float(fields.get(name) or "nan") for name in columns]
            )
            int(fields["step"])
        except ValueError as error:
            problem = f"{error} in the row {','.join(row)!r:.60}"
            raise malformed(path, problem) from error
    table = pd.DataFrame(values, columns=list(columns), dtype=float)
    table = table.drop_duplicates("step", keep="last")
    return table.sort_values("step", ignore_index=True)


def malformed(path: pathlib.Path, problem) -> UserError:
    """Returns the error for a file that differs from what training writes."""
    return UserError(
        f"{path} is malformed: {problem}. Put back what training wrote, or "
        "train again with `--restart`."
    )
