"""Holds out a part of each class of a folder that has no validation images.

An image's content alone decides where it goes: adding, removing or renaming
others moves none, and identical copies are never on both sides.
"""

import concurrent.futures
import hashlib
import pathlib
from collections.abc import Mapping, Sequence

from smartgrowth import UserError
from smartgrowth.data.store import TRAIN, VALIDATION

SHARE = 0.2  # of the images, on average


def hold_out(
    name: str, root: pathlib.Path, classes: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, list[str]]]:
    """Returns split -> class -> images.

    Files are read once for it. Validation images are those whose hash, as a
    number in [0, 1), is below `SHARE`: of n images of a class about a fifth,
    with a standard deviation of 0.4 / sqrt(n). A class of which none is below
    gives the lowest one; if all are, the highest goes to training. Only such
    an image may move when images are added or removed: of classes with 10
    images one in nine has one, with 40 images one in 7,500. A class of copies
    of one image is all training.

    Args:
      name: the source's name, for messages.
      root: the folder.
      classes: class -> paths of its images, relative to `root`.

    Raises:
      UserError: a class has a single image.
    """
    splits = {TRAIN: {}, VALIDATION: {}}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for class_name, images in classes.items():
            if len(images) == 1:
                raise UserError(
                    f"--dataset={name}: class {class_name!r} has a single "
                    "image, too few to train and validate; add images or "
                    "remove it"
                )
            paths = [root / image for image in images]
            draws = list(pool.map(_draw, paths))
            bound = _bound(draws)
            for split, chosen in (
                (VALIDATION, [draw < bound for draw in draws]),
                (TRAIN, [draw >= bound for draw in draws]),
            ):
                pairs = zip(images, chosen, strict=True)
                part = sorted(image for image, is_in in pairs if is_in)
                # An empty class is an error that says so, unless --classes
                # omits it.
                if part or split == TRAIN:
                    splits[split][class_name] = part
    return splits


def _bound(draws: Sequence[float]) -> float:
    """Returns the number below which images are validation."""
    values = sorted(set(draws))
    if len(values) < 2:  # copies of one image
        return 0.0
    # At least the lowest one is below it, and the highest is not.
    bound = SHARE if values[0] < SHARE else values[1]
    return min(bound, values[-1])


def _draw(path: pathlib.Path) -> float:
    """Returns a number in [0, 1) that depends on the file's content alone."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
    except OSError:  # it will be refused
        return 1.0
    return int.from_bytes(digest[:8], "big") / 2**64
