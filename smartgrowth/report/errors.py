"""The images that a run got wrong, in its report: records from its files."""

import dataclasses
import pathlib

from smartgrowth.metrics import confusion
from smartgrowth.rendering import contact_sheet
from smartgrowth.rendering.figure import Area, Box
from smartgrowth.rendering.html import Frame, Gallery, Picture
from smartgrowth.rendering.text import short_name
from smartgrowth.report.outcome import Outcome
from smartgrowth.runs import files
from smartgrowth.runs.parse import parsing, read_arrays, read_records, require
from smartgrowth.runs.reader import Run

CONFUSIONS = 10
PICTURES = 20  # hardest images that are visible; the rest is folded
PICTURE = 128  # pixels per side, at most
COLUMNS = ("image", "class", "confidence")
JPEG = b"\xff\xd8"  # how one begins


@dataclasses.dataclass(frozen=True)
class HardImages:
    """The errors in a split with the highest confidence.

    Attributes:
      split: its name.
      wrong: how many errors there are, with a picture or without.
      judged: says of how many images, if not of all.
      gallery: the images that are visible at once.
      more: the folded images.
      has_maps: whether there is a heat map beside each.
    """

    split: str
    wrong: int
    judged: str
    gallery: Gallery
    more: Gallery
    has_maps: bool


def hard_images(run: Run) -> list[HardImages]:
    """Returns the hardest images of each split with a list of them."""
    parts = []
    for split, (listed, sheet, heat) in reversed(files.HARD.items()):
        path = run.directory / listed
        rows = read_records(path, COLUMNS)
        if not path.is_file():
            continue
        with parsing(path):
            captions = [_caption(row) for row in rows]
        images = _cut(run.directory / sheet)
        maps = _cut(run.directory / heat)
        frames = []
        for number, image in enumerate(images[: len(rows)]):
            caption = captions[number]
            alt = f"{caption}. {rows[number]['image']}"
            pictures = [Picture(image, alt)]
            for heat_map in maps[number : number + 1]:
                of_map = f"Heat map of what it was predicted as. {alt}"
                pictures.append(Picture(heat_map, of_map))
            frames.append(Frame(pictures, caption))
        kind = "maps" if maps else ""
        parts.append(
            HardImages(
                "Training" if split == "train" else "Validation",
                len(rows),
                _judged(run) if split == "train" else "",
                Gallery(frames[:PICTURES], kind=kind),
                Gallery(frames[PICTURES:], kind=kind),
                bool(maps),
            )
        )
    return parts


def _judged(run: Run) -> str:
    path = run.directory / files.TRAIN_PREDICTIONS
    if not path.is_file():
        return ""
    arrays = read_arrays(path, {"ids": 1}, optional={"total": 0})
    count = len(arrays["ids"])
    total = int(arrays.get("total", count))
    if count == total:
        return ""
    return f"of the {count:,} of {total:,} that were judged"


def _caption(row: dict) -> str:
    """Returns what is said of a wrong image."""
    # Runs of earlier versions have "taken_for".
    predicted = row.get("predicted", row.get("taken_for"))
    require(predicted is not None, "it has no column predicted")
    return (
        f"{short_name(row['class'])}: predicted as {short_name(predicted)}, "
        f"{float(row['confidence']):.0%}"
    )


def _cut(path: pathlib.Path) -> list[str]:
    """Returns the pictures of a contact sheet as sources of an `img`."""
    if not path.is_file():
        return []
    with parsing(path):
        return [
            contact_sheet.data_uri(image, PICTURE)
            for image in contact_sheet.cut(path.read_bytes())
        ]


@dataclasses.dataclass(frozen=True)
class Confusion:
    """A class, a class it was predicted as, and how many images were.

    Attributes:
      label, predicted_label: of the two classes.
      name, predicted: their names.
      count: images of the class that were predicted as the other.
      images: of the class.
      gallery: some of these images; None if there are no pictures of them.
    """

    label: int
    predicted_label: int
    name: str
    predicted: str
    count: int
    images: int
    gallery: Gallery | None = None

    @property
    def anchor(self) -> str:
        """The place of its images on the page."""
        return f"errors-{self.label}-{self.predicted_label}"

    @property
    def shown(self) -> int:
        """How many images have pictures."""
        return len(self.gallery.frames) if self.gallery else 0


def confusions(run: Run, outcome: Outcome) -> list[Confusion]:
    """Returns the most frequent confusions, and all that have pictures.

    In descending order.
    """
    images = outcome.matrix.sum(axis=1)
    galleries = _read_confused(run, outcome)
    found = []
    for pair in confusion.worst_pairs(outcome.matrix, outcome.matrix.size):
        label, predicted, count = pair
        gallery = galleries.get((label, predicted))
        if gallery or len(found) < CONFUSIONS:
            found.append(
                Confusion(
                    label,
                    predicted,
                    outcome.names[label],
                    outcome.names[predicted],
                    count,
                    int(images[label]),
                    gallery,
                )
            )
    return found


def _read_confused(run: Run, outcome: Outcome) -> dict[tuple, Gallery]:
    """Returns pictures of wrong validation images, by class and prediction.

    Runs of earlier versions have none.
    """
    path = run.directory / files.CONFUSED
    if not path.is_file():
        return {}
    arrays = read_arrays(path, {"indices": 1, "jpegs": 1, "ends": 1})
    ids = read_arrays(run.directory / files.PREDICTIONS, {"ids": 1})["ids"]
    count, frames = len(outcome.labels), {}
    predicted = outcome.probabilities.argmax(axis=1)
    with parsing(path):
        jpegs, start = arrays["jpegs"].tobytes(), 0
        for index, end in zip(
            arrays["indices"].tolist(), arrays["ends"].tolist(), strict=True
        ):
            require(0 <= index < count, f"there is no image {index}")
            jpeg = jpegs[start:end]
            require(jpeg.startswith(JPEG), f"image {index} is no JPEG")
            start = end
            pair = int(outcome.labels[index]), int(predicted[index])
            confidence = f"{outcome.probabilities[index].max():.0%}"
            words = " predicted as ".join(outcome.names[k] for k in pair)
            picture = Picture(
                contact_sheet.uri_of(jpeg, "jpeg"),
                f"{words}, {confidence}. {ids[index]}",
            )
            frames.setdefault(pair, []).append(Frame([picture], confidence))
    return {pair: Gallery(each) for pair, each in frames.items()}


def cell_areas(
    outcome: Outcome, listed: list[Confusion], box: Box
) -> list[Area]:
    """Returns links from the cells of the drawn matrix to their images.

    Args:
      outcome: whose confusion matrix was drawn.
      listed: its confusions; those with pictures get a link.
      box: where the matrix lies in its picture.
    """
    place = {int(label): at for at, label in enumerate(outcome.order)}
    width, height = box.width / len(place), box.height / len(place)
    return [
        Area(
            each.anchor,
            f"{each.name} predicted as {each.predicted}: {each.count} "
            f"image{'' if each.count == 1 else 's'}",
            Box(
                box.left + place[each.predicted_label] * width,
                box.top + place[each.label] * height,
                width,
                height,
            ),
        )
        for each in listed
        if each.gallery
    ]
