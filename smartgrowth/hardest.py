"""What a finished run got wrong: written after it, read by those that follow.

NumPy and files alone; no model.
"""

import pathlib

import numpy as np

from smartgrowth import UserError, pictures, run_directory
from smartgrowth.data.store import TRAIN, Data, Split

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
        run_directory.write_npz(
            directory / run_directory.TRAIN_PREDICTIONS,
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
    table, grid = run_directory.HARD[split.name]
    run_directory.write_csv(directory / table, COLUMNS, rows)
    shown = wrong[:SHOWN]
    (directory / grid).unlink(missing_ok=True)
    if len(shown):
        images = split.images(data.stored_size(size))[split.rows[shown]]
        captions = [
            f"{row['class']}\n{row['taken_for']}? {row['confidence']:.0%}"
            for row in rows[: len(shown)]
        ]
        (directory / grid).write_bytes(pictures.grid(images, captions, ABREAST))


def read_losses(flag: str, run: str, data: Data) -> np.ndarray:
    """The loss of every training image of `data` in a finished run, (N,).

    flag: what named the run, for the message of a `UserError`.
    """
    found = _read(flag, run, data, "losses")
    missing = [id for id in data.train.ids if id not in found]
    if missing:
        raise UserError(
            f"{flag}: {run} was trained without {len(missing):,} of the "
            f"{len(data.train.ids):,} training images, such as {missing[0]}; "
            "name a run on the same --dataset and --classes"
        )
    return np.array([found[id] for id in data.train.ids])


def read_wrong(flag: str, run: str, data: Data) -> np.ndarray:
    """Indices of the training images of `data` that a run got wrong, int64."""
    found = _read(flag, run, data, "wrong")
    wrong = [i for i, id in enumerate(data.train.ids) if found.get(id)]
    if not wrong:
        raise UserError(
            f"{flag}: {run} got none of these training images wrong; name "
            "another run, or leave the flag out"
        )
    return np.array(wrong)


def _read(flag: str, run: str, data: Data, value: str) -> dict:
    path = pathlib.Path(run).expanduser() / run_directory.TRAIN_PREDICTIONS
    try:
        columns = run_directory.read_npz(path)
    except OSError as error:
        raise UserError(
            f"{flag}: {path} cannot be read ({error}); name the folder of a "
            "finished run"
        ) from error
    columns["wrong"] = columns["guesses"] != columns["labels"]
    return dict(
        zip(columns["ids"].tolist(), columns[value].tolist(), strict=True)
    )
