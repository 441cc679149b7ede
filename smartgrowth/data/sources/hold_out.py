"""Holds out a part of each class of a folder that has no validation images."""

import concurrent.futures
import hashlib
import pathlib
from collections.abc import Mapping, Sequence

from smartgrowth import UserError
from smartgrowth.data.held_out import bound, draw
from smartgrowth.data.source import TRAIN, VALIDATION

SHARE = 0.2  # of the images, on average


def hold_out(
    name: str, root: pathlib.Path, classes: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, list[str]]]:
    """Returns split -> class -> images.

    Files are read once for it. Validation images are those whose hash, as a
    number in [0, 1), is below `bound`. Of classes with 10 images one in nine
    has one that may move when others come or go, with 40 images one in 7,500.

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
            limit = bound(draws, SHARE)
            for split, chosen in (
                (VALIDATION, [each < limit for each in draws]),
                (TRAIN, [each >= limit for each in draws]),
            ):
                pairs = zip(images, chosen, strict=True)
                part = sorted(image for image, is_in in pairs if is_in)
                # An empty class is an error that says so, unless --classes
                # omits it.
                if part or split == TRAIN:
                    splits[split][class_name] = part
    return splits


def _draw(path: pathlib.Path) -> float:
    """Returns a number in [0, 1) that depends on the file's content alone."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    except OSError:  # it will be refused
        return 1.0
    return draw(digest)
