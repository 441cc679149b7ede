"""The files of a run: the interface between training, reports, comparisons.

Imports no TensorFlow. smartgrowth/README.md describes each file.
"""

import csv
import io
import json
import pathlib
import re
from collections.abc import Mapping, Sequence

from smartgrowth import names
from smartgrowth.runtime.atomic import atomic_write

FLAGS, PLAN, LOG = "flags.txt", "plan.json", "log.csv"
SCHEDULE, METRICS = "schedule.csv", "metrics.json"
CHECKPOINTS, MODEL = "checkpoints", "final.keras"
MODEL_MANIFEST = "final.json"  # the network's hash
CLASSES, PREDICTIONS = "classes.txt", "predictions.npz"
# Images that a run got wrong, by split: as a table, as pictures, and where in
# these it saw what it predicted.
HARD = {
    split: (f"hard_{split}.csv", f"hard_{split}.png", f"hard_{split}_maps.png")
    for split in ("train", "validation")
}
CONFUSED = "confused_images.npz"  # the wrong validation images, small
TRAIN_PREDICTIONS, ORDERS = "train_predictions.npz", "orders.npz"
AUGMENTATION = "augmentation.png"
DATA_REPORT = "data_report.json"
LABELS, PREDICTED = "labels.csv", "predict.html"
EVALUATION, AUDIT = "evaluation.json", "audit.json"
EXPORT, EXPORT_SUMMARY = "export", "export.json"  # a folder, a file in it
# Of the process that trains, while it does; the first stays.
LEASE, LEASE_LOCK, LEASE_BEAT = "lease.json", "lease.lock", "lease_beat.txt"
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
# Of the weights themselves, if val_* are of their moving average.
RAW_COLUMNS = ("raw_val_loss", "raw_val_accuracy")
# What `--grow_when=auto` decides by; see `boundaries`.
GROWTH_COLUMNS = ("stage_train_accuracy", "loss_fall")
MORE_COLUMNS = (*RAW_COLUMNS, *GROWTH_COLUMNS)


def write_flags(directory: pathlib.Path, lines: Sequence[str]) -> None:
    """Writes flags.txt; a path in it keeps bytes that are no UTF-8."""
    text = "\n".join(lines) + "\n"
    write_bytes(directory / FLAGS, text.encode("utf-8", "surrogateescape"))


def write_classes(directory: pathlib.Path, class_names: Sequence[str]) -> None:
    """Writes classes.txt, a name per line: `names.clean` has made them so."""
    write_text(directory / CLASSES, "".join(f"{n}\n" for n in class_names))


def write_log(directory: pathlib.Path, rows: Sequence[Mapping]) -> None:
    """Writes log.csv as a whole: a row per evaluation, with fixed columns.

    Keras' CSVLogger would truncate it at every `fit` and, in a resumed run,
    misalign columns and repeat rows.
    """
    more = [name for name in MORE_COLUMNS if rows and name in rows[0]]
    write_csv(directory / LOG, (*LOG_COLUMNS, *more), rows)


def write_schedule(directory: pathlib.Path, tables) -> None:
    """Writes schedule.csv: learning rate and momentum at up to 1,000 steps.

    And with `--lr_groups` that of each layer group, such as lr_head.

    Args:
      directory: of the run.
      tables: of `optim.rates`, for the whole run.
    """
    last, count = len(tables.rates) - 1, min(len(tables.rates), 1000)
    steps = sorted({round(last * i / max(count - 1, 1)) for i in range(count)})
    rows = [
        {"step": step} | tables.at(step) | tables.of_groups(step)
        for step in steps
    ]
    write_csv(directory / SCHEDULE, rows[0], rows)


def write_csv(path: pathlib.Path, columns, rows) -> None:
    """Writes the `columns` of dicts to a CSV file; floats with 6 digits.

    Texts become cells that no spreadsheet calculates; `reader.read_records`
    and `user_csv.read_rows` return them as they were.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_cell, columns))
    for row in rows:
        writer.writerow([_cell(row[name]) for name in columns])
    write_text(path, text.getvalue())


def _cell(value) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        return names.to_cell(names.printable(value))
    return value


def write_json(path: pathlib.Path, value) -> None:
    """Writes indented JSON, with lists of plain values on one line."""
    text = json.dumps(value, indent=1)
    # JSON strings have no line breaks, so these brackets belong to lists.
    text = re.sub(
        r"\[\n *([^\[\]{}]*?)\n *\]",
        lambda match: "[" + re.sub(r"\n *", " ", match[1]) + "]",
        text,
    )
    write_text(path, text + "\n")


def write_npz(path: pathlib.Path, **arrays) -> None:
    """Writes arrays by name, uncompressed."""
    import numpy as np  # not needed to read texts

    with atomic_write(path, "wb") as file:
        np.savez(file, **arrays)


def write_bytes(path: pathlib.Path, content: bytes) -> None:
    """Replaces the file atomically."""
    with atomic_write(path, "wb") as file:
        file.write(content)


def write_text(path: pathlib.Path, text: str) -> None:
    """Replaces the file atomically: readers see the old or the new text."""
    with atomic_write(path) as file:
        file.write(text)
