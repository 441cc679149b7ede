"""Labels the user's own images with a finished run's network."""

import pathlib

import numpy as np

from smartgrowth import UserError
from smartgrowth.config import Config
from smartgrowth.data import pipeline
from smartgrowth.data.sources import decode
from smartgrowth.data.store import fit_square
from smartgrowth.evaluation.saved_model import load_model, read_classes
from smartgrowth.metrics.scores import softmax
from smartgrowth.runs import files
from smartgrowth.runs.directory import load_config, load_metrics
from smartgrowth.runtime.reporter import say

BATCH = 64
TOP = 3


def label_images(config: Config) -> pathlib.Path:
    """Labels `--images` with the `final.keras` of `--workdir`.

    Prints the top 3 of every image and writes all probabilities to labels.csv
    in the run directory; an image that cannot be read is named and skipped.

    Returns:
      The path of labels.csv.

    Raises:
      UserError: there is no finished run, or no image that can be read.
    """
    directory, trained = load_config(config.workdir)
    paths = _find_images(config.images)
    names = read_classes(directory)
    model = load_model(directory)
    # As in training: never larger than the stored images.
    size, metrics = trained.final_size, load_metrics(directory)
    stored = min(size, metrics.get("native_size") or size)
    columns = [f"probability of {name}" for name in names]
    rows = []
    for start in range(0, len(paths), BATCH):
        readable, images = [], []
        for path in paths[start : start + BATCH]:
            try:
                image, _ = decode.decode(path)
            except Exception as error:  # Pillow raises any kind
                say(f"{path}: skipped, not a readable image ({error})")
                continue
            readable.append(path)
            images.append(fit_square(image, stored))
        if not readable:
            continue
        batch = np.asarray(pipeline.enlarge(np.stack(images), size))
        logits = model.predict(batch, verbose=0)
        for path, row in zip(readable, softmax(logits), strict=True):
            best = np.argsort(-row)[:TOP]
            top = ", ".join(f"{names[i]} {row[i]:.1%}" for i in best)
            say(f"{path}: {top}")
            rows.append(
                {"image": str(path), "label": names[best[0]]}
                | dict(zip(columns, row.tolist(), strict=True))
            )
    if not rows:
        raise UserError(f"--images={config.images}: no image could be read")
    path = directory / files.LABELS
    files.write_csv(path, ["image", "label", *columns], rows)
    say(f"{len(rows)} images labeled: {path}")
    return path


def _find_images(images: str | None) -> list[pathlib.Path]:
    if not images:
        raise UserError("--mode=predict needs --images=PATH, a file or folder")
    path = pathlib.Path(images).expanduser()
    if path.is_file():
        return [path]
    paths = sorted(
        entry
        for entry in path.rglob("*")
        if entry.suffix.lower() in decode.SUFFIXES
    )
    if not paths:
        raise UserError(
            f"--images={images}: there is no image file "
            f"({', '.join(decode.SUFFIXES)})"
        )
    return paths
