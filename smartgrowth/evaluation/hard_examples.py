"""What a finished run got wrong: written after it, read by those that follow.

NumPy and files alone; no model.
"""

import pathlib

import numpy as np

from smartgrowth.data.store import TRAIN, Data, Split
from smartgrowth.rendering import contact_sheet
from smartgrowth.runs import files

SHOWN, ABREAST = 60, 10  # pictures of a grid, and in each row
COLUMNS = ("image", "class", "taken_for", "confidence", "probability_of_class")


def write_hardest(
    directory: pathlib.Path,
    data: Data,
    split: Split,
    probabilities: np.ndarray,
    size: int,
) -> None:
    """Writes the images that a run got wrong, the most confident first.

    As hard_train.csv and hard_train.png, or hard_validation. For the training
    images also train_predictions.npz, of all.

    Args:
      probabilities: (images, classes), of the images of `split`, in order.
      size: of the pictures, in pixels.
    """
    guesses = probabilities.argmax(axis=1)
    every = np.arange(len(guesses))
    confidence = probabilities[every, guesses]
    of_label = probabilities[every, split.labels]
    if split.name == TRAIN:
        files.write_npz(
            directory / files.TRAIN_PREDICTIONS,
            ids=np.array(split.ids),
            labels=split.labels,
            guesses=guesses,
            confidence=confidence.astype(np.float32),
            losses=-np.log(np.maximum(of_label, 1e-12)).astype(np.float32),
        )
    wrong = np.flatnonzero(guesses != split.labels)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    names = data.class_names
    rows = [
        {
            "image": split.ids[index],
            "class": names[split.labels[index]],
            "taken_for": names[guesses[index]],
            "confidence": float(confidence[index]),
            "probability_of_class": float(of_label[index]),
        }
        for index in wrong
    ]
    table, grid = files.HARD[split.name]
    files.write_csv(directory / table, COLUMNS, rows)
    shown = wrong[:SHOWN]
    (directory / grid).unlink(missing_ok=True)
    if len(shown):
        images = split.images(data.stored_size(size))[split.rows[shown]]
        captions = [
            f"{row['class']}\n{row['taken_for']}? {row['confidence']:.0%}"
            for row in rows[: len(shown)]
        ]
        (directory / grid).write_bytes(
            contact_sheet.grid(images, captions, ABREAST)
        )
