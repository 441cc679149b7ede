"""Writes the images that a finished run got wrong, for later runs to read.

NumPy and files alone; no model.
"""

import pathlib
from collections.abc import Callable

import numpy as np

from smartgrowth.data.source import TRAIN, VALIDATION
from smartgrowth.data.store import Data, Split
from smartgrowth.metrics.confusion import confusion_matrix, worst_pairs
from smartgrowth.rendering import contact_sheet, heat_map
from smartgrowth.runs import files

PICTURES, ABREAST = 60, 10  # per contact sheet, and per row of it
MAP = 96  # pixels per side of a heat map on its sheet
# Small pictures of wrong validation images: of each pair of classes, in all,
# and the pixels per side of each, at most.
PER_PAIR, SMALL_PICTURES, SMALL = 8, 1000, 48
COLUMNS = (
    *("image", "class", "predicted", "confidence", "probability_of_class"),
    "digest",  # of the image, or its name could mislead a later run
)
# (some of a split, image size, class of each) -> maps; None without any
ClassMaps = Callable[[Split, int, np.ndarray], np.ndarray | None]


def write_hardest(
    directory: pathlib.Path,
    data: Data,
    split: Split,
    probabilities: np.ndarray,
    size: int,
    class_maps: ClassMaps = lambda *_: None,
) -> None:
    """Writes the images that a run got wrong, the most confident first.

    They go to hard_train.csv, hard_train.png and hard_train_maps.png, or
    hard_validation. Training images also get train_predictions.npz, of all
    that were judged, and validation images confused_images.npz.

    Args:
      directory: of the run.
      data: has the class names.
      split: one of its splits, or a part of it.
      probabilities: (images, classes), of the images of `split`, in order.
      size: of the images on the sheet, in pixels.
      class_maps: of the network, as `Evaluator.class_maps`.
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
    table, grid, heat = files.HARD[split.name]
    files.write_csv(directory / table, COLUMNS, rows)
    for name in (grid, heat):
        (directory / name).unlink(missing_ok=True)
    images = split.images(data.stored_size(size))
    if split.name == VALIDATION:
        chosen = choose_confused(split.labels, predicted, confidence)
        _write_small(directory, images[split.rows[chosen]], chosen)
    pictured = wrong[:PICTURES]
    if not len(pictured):
        return
    images = images[split.rows[pictured]]
    captions = [
        f"{row['class']}\n{row['predicted']}? {row['confidence']:.0%}"
        for row in rows[: len(pictured)]
    ]
    sheet = contact_sheet.grid(images, captions, ABREAST)
    files.write_bytes(directory / grid, sheet)
    maps = class_maps(split.subset(pictured), size, predicted[pictured])
    if maps is not None:
        pairs = zip(images, maps, strict=True)
        blended = [heat_map.blend(image, each, MAP) for image, each in pairs]
        sheet = contact_sheet.grid(np.stack(blended), captions, ABREAST, MAP)
        files.write_bytes(directory / heat, sheet)


def choose_confused(
    labels: np.ndarray, predicted: np.ndarray, confidence: np.ndarray
) -> np.ndarray:
    """Returns the wrong images of which there are small pictures.

    The most frequent confusions of two classes come first, and of each the most
    confident images.

    Args:
      labels, predicted: int (images,). confidence: float (images,).

    Returns:
      Indices, int64 (N,), N at most `SMALL_PICTURES`.
    """
    classes = int(max(labels.max(), predicted.max())) + 1
    matrix = confusion_matrix(labels, predicted, classes)
    order = np.argsort(-confidence, kind="stable")
    of_pair = {}
    for index in order[predicted[order] != labels[order]]:
        pair = labels[index], predicted[index]
        of_pair.setdefault(pair, []).append(index)
    chosen = [
        index
        for *pair, _ in worst_pairs(matrix, SMALL_PICTURES)
        for index in of_pair[*pair][:PER_PAIR]
    ]
    return np.array(chosen[:SMALL_PICTURES], np.int64)


def _write_small(
    directory: pathlib.Path, images: np.ndarray, indices: np.ndarray
) -> None:
    """Writes confused_images.npz: `indices` of validation images, and a JPEG
    of each: bytes of `jpegs` up to its entry of `ends`.
    """
    jpegs = [contact_sheet.jpeg(image, SMALL) for image in images]
    files.write_npz(
        directory / files.CONFUSED,
        indices=indices,
        jpegs=np.frombuffer(b"".join(jpegs), np.uint8),
        ends=np.cumsum([len(jpeg) for jpeg in jpegs], dtype=np.int64),
    )
