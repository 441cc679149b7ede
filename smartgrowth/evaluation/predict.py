"""Labels the user's own images with a finished run's network."""

import pathlib
from collections.abc import Callable

import keras
import numpy as np

from smartgrowth import UserError
from smartgrowth.config import Config
from smartgrowth.data import pipeline
from smartgrowth.data.census import Examined, examine
from smartgrowth.data.source import VALIDATION, Encoded, Refusal
from smartgrowth.data.sources import decode
from smartgrowth.data.sources.listing import (
    Listing,
    describe_unread,
    list_folder,
)
from smartgrowth.evaluation import predict_page
from smartgrowth.evaluation.activation_maps import map_model
from smartgrowth.evaluation.predict_page import PICTURE, Labeled, UnsureImages
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

    Writes all probabilities to labels.csv in the run directory and a page of
    pictures, predict.html, and then prints the top 3 of every image; an image
    that cannot be read is named and skipped.

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
    forward = _make_forward(model)
    columns = [f"probability of {name}" for name in names]
    rows, lines, shown = [], [], UnsureImages()
    report = REPORTER.countdown("images labeled:", len(paths))
    for start in range(0, len(paths), BATCH):
        readable, images, pictures = [], [], []
        for path in paths[start : start + BATCH]:
            encoded = Encoded(str(path), VALIDATION, 0, path)
            (found,) = examine([encoded], (stored, PICTURE))
            if isinstance(found, Refusal):
                say(
                    f"{printable(str(path))}: skipped, not a readable image "
                    f"({found.reason})"
                )
                passed += 1
                continue
            readable.append(path)
            images.append(_square(found, stored))
            pictures.append(_square(found, PICTURE))
        if not readable:
            continue
        batch = np.asarray(pipeline.enlarge(np.stack(images), size))
        logits, maps = forward(batch)
        for position, row in enumerate(softmax(logits)):
            path, best = readable[position], np.argsort(-row)[:TOP]
            top = ", ".join(f"{names[i]} {row[i]:.1%}" for i in best)
            image = printable(str(path))
            lines.append(f"{image}: {top}")
            rows.append(
                {"image": image, "label": names[best[0]]}
                | dict(zip(columns, row.tolist(), strict=True))
            )
            shown.add(
                Labeled(
                    _name(path, config.images),
                    [names[i] for i in best],
                    row[best].tolist(),
                    pictures[position],
                    None if maps is None else maps[position],
                )
            )
        report(start + len(readable))
    if not rows:
        raise UserError(f"--images={config.images}: no image could be read")
    path = directory / files.LABELS
    files.write_csv(path, ["image", "label", *columns], rows)
    page = predict_page.render(
        shown,
        passed,
        directory.resolve().name,
        f"{trained.model} on {trained.dataset}",
        metrics["val_accuracy"],
    )
    files.write_text(directory / files.PREDICTED, page)
    for line in lines:  # once they are in a file
        say(line)
    skipped = f", {passed:,} files skipped" if passed else ""
    say(f"{len(rows)} images labeled{skipped}: {path}")
    say(f"pictures: {directory / files.PREDICTED}")
    return path


def _make_forward(model: keras.Model) -> Callable:
    """Returns a function of uint8 (N, size, size, 3) images.

    It returns their logits (N, C), and (N, height, width) activation maps of
    the class that is predicted; None for a network without such maps.
    """
    mapped = map_model(model)
    if mapped is None:
        return lambda images: (model.predict(images, verbose=0), None)

    def forward(images):
        logits, features = mapped.model.predict(images, verbose=0)
        return logits, mapped.maps(features, logits.argmax(axis=1))

    return forward


def _square(examined: Examined, size: int) -> np.ndarray:
    """Returns the central square of an image, uint8 (size, size, 3)."""
    square = np.frombuffer(examined.squares[size], np.uint8)
    return square.reshape(size, size, 3)


def _name(path: pathlib.Path, images: str) -> str:
    """Returns what an image is called on the page: within its folder."""
    folder = pathlib.Path(images).expanduser()
    if path == folder:
        return printable(path.name)
    return printable(str(path.relative_to(folder)))


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
