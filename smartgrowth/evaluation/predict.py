"""Labels the user's own images with a finished run's network."""

import pathlib

import numpy as np

from smartgrowth import UserError
from smartgrowth.config import Config
from smartgrowth.data import pipeline
from smartgrowth.data.census import examine
from smartgrowth.data.sources import decode
from smartgrowth.data.sources.listing import (
    Listing,
    describe_unread,
    list_folder,
)
from smartgrowth.data.store import VALIDATION, Encoded, Refusal
from smartgrowth.evaluation.saved_model import load_model
from smartgrowth.metrics.scores import softmax
from smartgrowth.names import printable
from smartgrowth.runs import files
from smartgrowth.runs.finished import load_config
from smartgrowth.runs.predictions import read_classes
from smartgrowth.runs.reader import read_metrics
from smartgrowth.runtime.reporter import REPORTER, say

BATCH = 64
TOP = 3


def label_images(config: Config) -> pathlib.Path:
    """Labels `--images` with the `final.keras` of `--workdir`.

    Writes all probabilities to labels.csv in the run directory, and then prints
    the top 3 of every image; an image that cannot be read is named and skipped.

    Returns:
      The path of labels.csv.

    Raises:
      UserError: there is no finished run, or no image that can be read.
    """
    directory, trained = load_config(config.workdir)
    paths, passed = _find_images(config.images)
    names = read_classes(directory)
    model = load_model(directory, len(names))
    # As in training: never larger than the stored images.
    size, metrics = trained.final_size, read_metrics(directory)
    stored = min(size, metrics.get("native_size") or size)
    columns = [f"probability of {name}" for name in names]
    rows, lines = [], []
    report = REPORTER.countdown("images labeled:", len(paths))
    for start in range(0, len(paths), BATCH):
        readable, images = [], []
        for path in paths[start : start + BATCH]:
            encoded = Encoded(str(path), VALIDATION, 0, path)
            (found,) = examine([encoded], (stored,))
            if isinstance(found, Refusal):
                say(
                    f"{printable(str(path))}: skipped, not a readable image "
                    f"({found.reason})"
                )
                passed += 1
                continue
            readable.append(path)
            square = np.frombuffer(found.squares[stored], np.uint8)
            images.append(square.reshape(stored, stored, 3))
        if not readable:
            continue
        batch = np.asarray(pipeline.enlarge(np.stack(images), size))
        logits = model.predict(batch, verbose=0)
        for path, row in zip(readable, softmax(logits), strict=True):
            best = np.argsort(-row)[:TOP]
            top = ", ".join(f"{names[i]} {row[i]:.1%}" for i in best)
            image = printable(str(path))
            lines.append(f"{image}: {top}")
            rows.append(
                {"image": image, "label": names[best[0]]}
                | dict(zip(columns, row.tolist(), strict=True))
            )
        report(start + len(readable))
    if not rows:
        raise UserError(f"--images={config.images}: no image could be read")
    path = directory / files.LABELS
    files.write_csv(path, ["image", "label", *columns], rows)
    for line in lines:  # once they are in a file
        say(line)
    skipped = f", {passed:,} files skipped" if passed else ""
    say(f"{len(rows)} images labeled{skipped}: {path}")
    return path


def _find_images(images: str | None) -> tuple[list[pathlib.Path], int]:
    """Returns the images to label, and the number of files passed over.

    Those are named. Links are followed, as in training.
    """
    if not images:
        raise UserError("--mode=predict needs --images=PATH, a file or folder")
    path = pathlib.Path(images).expanduser()
    if path.is_file():
        return [path], 0
    listing = list_folder(path) if path.is_dir() else Listing({}, (), {})
    names = sorted(listing.files)
    found = [n for n in names if n.lower().endswith(decode.SUFFIXES)]
    unread = [n for n in names if not n.lower().endswith(decode.SUFFIXES)]
    if unread:
        say(describe_unread(unread))
    for name in sorted(listing.skipped):
        where = printable(str(path / name))
        say(f"{where}: skipped, {listing.skipped[name]}")
    if not found:
        raise UserError(
            f"--images={images}: there is no image file "
            f"({', '.join(decode.SUFFIXES)})"
        )
    return [path / n for n in found], len(unread) + len(listing.skipped)
