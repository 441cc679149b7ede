"""A folder of images, one subfolder per class, as a dataset.

Either PATH/train/CLASS/ and PATH/val/CLASS/ (or validation, valid, test), or
PATH/CLASS/ alone, which is split here.
"""

import hashlib
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from PIL import Image

from smartgrowth import UserError
from smartgrowth.data.sources.decode import SUFFIXES, decode_in_order
from smartgrowth.data.store import TRAIN, VALIDATION, Example, Refusal, Source

VALIDATION_FOLDERS = ("val", "validation", "valid", "test")
VALIDATION_SHARE = 0.2  # of the images of each class
LAYOUT = (
    "expected CLASS/IMAGE, or train/CLASS/IMAGE and val/CLASS/IMAGE, with "
    "images ending in " + " ".join(suffix[1:] for suffix in SUFFIXES)
)

# Images in formats that are not read. They are named in the data report; any
# other file is ignored.
_UNREAD = (".tif", ".tiff", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".svg")
_HEADERS = 100  # images whose size is read for `native_size`


def fingerprint(path: str) -> str:
    """Returns a hash of the images under `path`: paths, sizes and times."""
    return _fingerprint(list_files(_root(path)))


def _fingerprint(files: Mapping[str, tuple]) -> str:
    images = {n: files[n] for n in files if n.lower().endswith(SUFFIXES)}
    return f"folder-{hash_entries(images)}"


def load_folder(path: str, name: str) -> Source:
    """Returns a `Source` of the images under `path`.

    Without a validation folder, about a fifth of each class, and at least one
    image, becomes validation: those whose relative path has a low hash. So an
    image's split hardly depends on other images and mostly stays when images
    are added.

    Args:
      path: the folder; the module's docstring describes its layout.
      name: the source's name, "folder:PATH".

    Raises:
      UserError: no such folder, no images, fewer than two classes, a class
        with too few images, or a validation class without training images.
    """
    root = _root(path)
    files = list_files(root)
    splits = _find_splits(name, files)
    if VALIDATION not in splits:
        splits = _split(name, splits[TRAIN])
    class_names = tuple(sorted(splits[TRAIN]))
    unknown = sorted(set(splits[VALIDATION]) - set(class_names))
    if unknown:
        raise UserError(
            f"--dataset={name}: no training images of the validation class "
            f"{unknown[0]!r}; add them or remove that folder"
        )
    if len(class_names) < 2:
        raise UserError(
            f"--dataset={name}: only one class, {class_names[0]!r}; training "
            f"needs two; {LAYOUT}"
        )

    def jobs() -> Iterator[tuple]:
        for split in (TRAIN, VALIDATION):
            for label, class_name in enumerate(class_names):
                for image in splits[split].get(class_name, ()):
                    yield image, split, label, root / image

    def examples() -> Iterator[Example | Refusal]:
        for file in sorted(files):
            if file.lower().endswith(_UNREAD):
                suffix = pathlib.PurePath(file).suffix
                yield Refusal(file, f"{suffix} is not read; make it a jpg")
        # One at a time: a decoded photo takes about 40 MB.
        yield from decode_in_order(jobs(), chunk=1)

    return Source(
        name=name,
        fingerprint=_fingerprint(files),
        class_names=class_names,
        native_size=_median_side([job[3] for job in jobs()]),
        examples=examples,
    )


def list_files(
    root: pathlib.Path, skip: Iterable[str] = ()
) -> dict[str, tuple]:
    """Returns the files under `root`: relative path -> (size, time).

    Hidden files and folders are ignored.

    Args:
      root: a folder.
      skip: names of folders directly under it to leave out.
    """
    listed = {}
    for folder, folders, files in os.walk(root, followlinks=True):
        inside = os.path.relpath(folder, root).replace(os.sep, "/") + "/"
        inside = "" if inside == "./" else inside
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and (inside or name not in skip)
            and not _leads_back(folder, name)
        )
        for name in sorted(files):
            if not name.startswith("."):
                try:
                    stat = pathlib.Path(folder, name).stat()
                except OSError:  # a broken link; reading it reports the error
                    listed[inside + name] = (0, 0)
                else:
                    listed[inside + name] = (stat.st_size, stat.st_mtime_ns)
    return listed


def _leads_back(folder: str, name: str) -> bool:
    """Returns whether `name` in `folder` links to it or to a parent."""
    target = pathlib.Path(folder, name)
    return pathlib.Path(folder).resolve().is_relative_to(target.resolve())


def hash_entries(entries: Mapping[str, tuple]) -> str:
    """Returns a hash of names and values, 16 hexadecimal digits."""
    lines = (f"{name}\0{entries[name]}\n" for name in sorted(entries))
    digest = hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def _root(path: str) -> pathlib.Path:
    root = pathlib.Path(path).expanduser().absolute()
    if not root.is_dir():
        raise UserError(
            f"--dataset=folder:{path}: no such folder; pass folder:PATH of "
            "one that exists"
        )
    return root


def _find_splits(
    name: str, files: Iterable[str]
) -> dict[str, dict[str, list[str]]]:
    """Returns split -> class -> relative paths; one split if not separated."""
    images = [file for file in files if file.lower().endswith(SUFFIXES)]
    top = {}
    for image in images:
        top.setdefault(image.split("/")[0].lower(), []).append(image)
    # A folder "train" with images directly inside is a class: trains.
    has_train = any(image.count("/") > 1 for image in top.get("train", ()))
    splits = {
        TRAIN: _by_class(top["train"], 1) if has_train else _by_class(images, 0)
    }
    for folder in VALIDATION_FOLDERS if has_train else ():
        # Images directly in test/ have no labels.
        classes = _by_class(top.get(folder, ()), 1)
        if classes and VALIDATION not in splits:
            splits[VALIDATION] = classes
    if not splits[TRAIN]:
        raise UserError(f"--dataset={name}: no images found; {LAYOUT}")
    return splits


def _by_class(images: Iterable[str], depth: int) -> dict[str, list[str]]:
    """Returns class -> sorted paths; the class is the folder at `depth`."""
    classes = {}
    for image in sorted(images):
        parts = image.split("/")
        if len(parts) > depth + 1:
            classes.setdefault(parts[depth], []).append(image)
    return classes


def _split(
    name: str, classes: Mapping[str, list[str]]
) -> dict[str, dict[str, list[str]]]:
    splits = {TRAIN: {}, VALIDATION: {}}
    for class_name, images in classes.items():
        if len(images) < 2:
            raise UserError(
                f"--dataset={name}: class {class_name!r} has a single image, "
                "too few to train and validate; add images or remove it"
            )
        order = sorted(images, key=_draw)
        count = round(VALIDATION_SHARE * len(images))
        count = min(max(count, 1), len(images) - 1)
        splits[VALIDATION][class_name] = sorted(order[:count])
        splits[TRAIN][class_name] = sorted(order[count:])
    return splits


def _draw(image: str) -> float:
    """Returns a number in [0, 1) that depends on the relative path alone."""
    digest = hashlib.sha256(image.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _median_side(paths: list[pathlib.Path]) -> int | None:
    """Returns the median shorter side of some images, from their headers."""
    sides = []
    for path in paths[:: max(1, len(paths) // _HEADERS)]:
        try:
            with Image.open(path) as image:
                sides.append(min(image.size))
        except Exception:  # noqa: BLE001, S112 - `examples` refuses it
            continue
    return int(np.median(sides)) if sides else None
