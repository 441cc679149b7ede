"""Writes the images that a finished run got wrong, for later runs to read.

NumPy and files alone; no model.
"""

import dataclasses
import pathlib

import numpy as np

from smartgrowth.data.store import TRAIN, Data, Split
from smartgrowth.rendering import contact_sheet
from smartgrowth.runs import files

PICTURES, ABREAST = 60, 10  # per contact sheet, and per row of it
COLUMNS = (
    *("image", "class", "predicted", "confidence", "probability_of_class"),
    "digest",  # of the image, or its name could mislead a later run
)


def subset(split: Split, chosen: np.ndarray) -> Split:
    """Returns some images of a split, by their indices, int (N,)."""
    return dataclasses.replace(
        split,
        labels=split.labels[chosen],
        ids=tuple(split.ids[index] for index in chosen),
        rows=split.rows[chosen],
        digests=split.digests[chosen],
    )


def write_hardest(
    directory: pathlib.Path,
    data: Data,
    split: Split,
    probabilities: np.ndarray,
    size: int,
) -> None:
    """Writes the images that a run got wrong, the most confident first.

    They go to hard_train.csv and hard_train.png, or hard_validation. Training
    images also get train_predictions.npz, of all that were judged.

    Args:
      directory: of the run.
      data: has the class names.
      split: one of its splits, or a part of it.
      probabilities: (images, classes), of the images of `split`, in order.
      size: of the images on the sheet, in pixels.
    """
    predicted = probabilities.argmax(axis=1)
    every = np.arange(len(predicted))
    confidence = probabilities[every, predicted]
    of_label = probabilities[every, split.labels]
    if split.name == TRAIN:
        files.write_npz(
            directory / files.TRAIN_PREDICTIONS,
            ids=np.array(split.ids),
            digests=split.digests,
            labels=split.labels,
            guesses=predicted,
            confidence=confidence.astype(np.float32),
            losses=-np.log(np.maximum(of_label, 1e-12)).astype(np.float32),
            total=np.array(len(data.train.labels)),
        )
    wrong = np.flatnonzero(predicted != split.labels)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    names = data.class_names
    rows = [
        {
            "image": split.ids[index],
            "class": names[split.labels[index]],
            "predicted": names[predicted[index]],
            "confidence": float(confidence[index]),
            "probability_of_class": float(of_label[index]),
            "digest": split.digests[index].tobytes().hex(),
        }
        for index in wrong
    ]
    table, grid = files.HARD[split.name]
    files.write_csv(directory / table, COLUMNS, rows)
    pictured = wrong[:PICTURES]
    (directory / grid).unlink(missing_ok=True)
    if len(pictured):
        images = split.images(data.stored_size(size))[split.rows[pictured]]
        captions = [
            f"{row['class']}\n{row['predicted']}? {row['confidence']:.0%}"
            for row in rows[: len(pictured)]
        ]
        (directory / grid).write_bytes(
            contact_sheet.grid(images, captions, ABREAST)
        )
