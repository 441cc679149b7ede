"""--mode=export: a finished run's network for other runtimes, compared."""

import contextlib
import pathlib
import tempfile
import time
from collections.abc import Iterator

import numpy as np

from smartgrowth import UserError, __version__
from smartgrowth.config import Config
from smartgrowth.data import pipeline
from smartgrowth.data.store import Data, Split
from smartgrowth.evaluation import export_formats, saved_model
from smartgrowth.evaluation.evaluate_run import open_run_data
from smartgrowth.evaluation.export_formats import Format, Forward
from smartgrowth.metrics.scores import score, softmax
from smartgrowth.runs import files
from smartgrowth.runs.finished import load_config
from smartgrowth.runs.manifest import hash_file
from smartgrowth.runs.parse import parsing, read_json, require
from smartgrowth.runs.predictions import read_classes, read_predictions
from smartgrowth.runtime import devices
from smartgrowth.runtime.atomic import PREFIX, atomic_path, remove_partial
from smartgrowth.runtime.reporter import REPORTER, say

BATCH = 64
COMPARED = 64  # validation images
# Of a probability. Another order of the same sums made 3e-7 of difference, and
# the rounding of the weights 7e-3 (configs/quick.flags).
LARGEST_DIFFERENCE = 1e-3
WARM_UP, TIMED = 5, 50  # calls with one image


def export_run(config: Config, dataset: str | None = None) -> dict:
    """Exports the `final.keras` of `--workdir` to every `--format`.

    Writes each file to export/ in the run directory, replacing one of that
    name, once it was found to compute what final.keras does; and with them
    classes.txt and export.json. Prints a table. It uses the run's data, as
    `evaluate_run` does.

    Args:
      config: the flags of the command.
      dataset: its `--dataset`; None if it gives none.

    Returns:
      What export.json holds.

    Raises:
      UserError: there is no finished run, a file of it is malformed, the data
        is not what it was trained on, a format needs a package or cannot hold
        the network, or what it computes differs.
    """
    chosen = export_formats.choose(config.format, config.quantize)
    directory, trained = load_config(config.workdir)
    names, size = read_classes(directory), trained.final_size
    folder = directory / files.EXPORT
    earlier = read_described(folder)
    data = open_run_data(config, dataset, trained, (size,))
    saved_model.check_data(directory, data)
    part = uncertain_images(directory, data)
    model = saved_model.load_model(directory, len(names))
    hard = np.concatenate([*batches(data, part, size)])
    expected = softmax(model.predict_on_batch(hard))
    origin = {
        "final_keras_sha256": hash_file(directory / files.MODEL),
        "versions": {"smartgrowth": __version__} | devices.versions(),
    }
    fixed = export_formats.fix_size(model, size)
    folder.mkdir(exist_ok=True)
    remove_partial(folder)
    summary = {
        "input": {
            "shape": ["batch", size, size, 3],
            "dtype": "float32",
            "content": "RGB, 0 to 255",
        },
        "output": {
            "shape": ["batch", len(names)],
            "dtype": "float32",
            "content": f"logits, in the order of {files.CLASSES}",
        },
        "files": earlier,
    }
    for form in chosen:
        REPORTER.progress(f"  exporting {form.file}")
        with replace_path(folder / form.file) as partial:
            forward = export_formats.write(fixed, form, partial)
            row = compare(form, forward, hard, expected)
            if form.quantized:
                final = model.predict_on_batch
                row["accuracy"] = accuracy(forward, data, size, form.file)
                row["final_accuracy"] = accuracy(final, data, size, files.MODEL)
            row["megabytes"] = megabytes(partial)
            del forward  # it may keep the file open
        summary["files"][form.file] = row | origin
        # Now: the next format may be refused.
        files.write_classes(folder, names)
        files.write_json(folder / files.EXPORT_SUMMARY, summary)
    say(table({form.file: summary["files"][form.file] for form in chosen}))
    say(f"exported: {folder}")
    return summary


def read_described(folder: pathlib.Path) -> dict[str, dict]:
    """Returns what export.json says of the files that are there, by name.

    Raises:
      UserError: it is malformed.
    """
    path = folder / files.EXPORT_SUMMARY
    described = read_json(path).get("files", {})
    with parsing(path):
        require(isinstance(described, dict), "`files` must be an object")
        return {n: row for n, row in described.items() if (folder / n).exists()}


def uncertain_images(directory: pathlib.Path, data: Data) -> Split:
    """Returns the validation images whose class the run was least sure of.

    There, the smallest difference shows, and may change the class.
    """
    path, labels = directory / files.PREDICTIONS, data.validation.labels
    found = read_predictions(directory)
    with parsing(path):
        require(found is not None, "it is missing")
        same = np.array_equal(found[0], labels)
        require(same, "its labels are not those of the validation images")
    best = np.sort(found[1], axis=1)[:, -2:]
    order = np.argsort(best[:, -1] - best[:, 0], kind="stable")
    return data.validation.subset(order[:COMPARED])


def batches(data: Data, part: Split, size: int) -> Iterator[np.ndarray]:
    """Yields images of a split in order, float32 (N, size, size, 3)."""
    made = pipeline.make_validation(data, part, size, BATCH)
    left = len(part.labels)
    for images in made.as_numpy_iterator():
        yield images[:left].astype(np.float32)
        left -= BATCH


def compare(
    form: Format, forward: Forward, images: np.ndarray, expected: np.ndarray
) -> dict:
    """Compares a format's probabilities with those of final.keras.

    Args:
      form: the format.
      forward: its forward pass.
      images: float32 (N, size, size, 3).
      expected: probabilities of final.keras, (N, classes).

    Returns:
      Entries of export.json: the largest difference, of how many images, and
      the milliseconds that a single image takes, the median of `TIMED` calls.

    Raises:
      UserError: one differs by more than `LARGEST_DIFFERENCE`, unless the
        weights are rounded, or is not finite.
    """
    difference = np.abs(softmax(forward(images)) - expected).max()
    allowed = 1 if form.quantized else LARGEST_DIFFERENCE
    if not difference <= allowed:  # nan is not
        raise UserError(
            f"--format={form.name}: a probability differs by {difference:.2g} "
            f"from that of {files.MODEL}, more than {allowed:g}; "
            f"{form.file} was not kept"
        )
    return {
        "format": form.name,
        "largest_difference": float(difference),
        "images_compared": len(images),
        "milliseconds": milliseconds(forward, images[:1]),
    }


def milliseconds(forward: Forward, image: np.ndarray) -> float:
    """Returns the median time of a forward pass, after some to warm up."""
    times = []
    for _ in range(WARM_UP + TIMED):
        began = time.perf_counter()
        forward(image)
        times.append(time.perf_counter() - began)
    return float(1000 * np.median(times[WARM_UP:]))


def accuracy(forward: Forward, data: Data, size: int, what: str) -> float:
    """Returns the accuracy on all validation images; reports progress.

    what: the name of the file that is judged.
    """
    labels, logits = data.validation.labels, []
    report = REPORTER.countdown(f"images judged by {what}:", len(labels))
    for images in batches(data, data.validation, size):
        logits.append(forward(images))
        report(len(logits) * BATCH)
    return score(softmax(np.concatenate(logits)), labels).accuracy


def megabytes(path: pathlib.Path) -> float:
    """Returns the size of a file, or of all in a folder, in 1e6 bytes."""
    found = [path, *path.rglob("*")]
    return sum(each.stat().st_size for each in found if each.is_file()) / 1e6


def table(rows: dict[str, dict]) -> str:
    """Returns entries of export.json as text for a terminal."""
    width = max(len("file"), *map(len, rows))
    lines = [
        f"{'format':11}  {'file':{width}}     MB  largest difference  "
        "ms per image  accuracy"
    ]
    for name, row in rows.items():
        judged = ""
        if "accuracy" in row:
            judged = (
                f"{row['accuracy']:.2%} "
                f"({files.MODEL}: {row['final_accuracy']:.2%})"
            )
        lines.append(
            f"{row['format']:11}  {name:{width}}  {row['megabytes']:5.1f}  "
            f"{row['largest_difference']:18.1e}  {row['milliseconds']:12.2f}  "
            f"{judged}".rstrip()
        )
    return "\n".join(lines)


@contextlib.contextmanager
def replace_path(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """As `atomic_path`, but a folder replaces one that is there.

    Between two renames, none is there.
    """
    with (
        tempfile.TemporaryDirectory(prefix=PREFIX, dir=path.parent) as aside,
        atomic_path(path) as partial,
    ):
        yield partial
        if path.is_dir():
            path.replace(pathlib.Path(aside) / path.name)
