"""A folder of images, one subfolder per class, as a dataset.

Either PATH/train/CLASS/ and PATH/val/CLASS/, under the names that `layout`
knows, or PATH/CLASS/ alone, of which `hold_out` holds out a part.
"""

import pathlib
from collections.abc import Iterator

import numpy as np

from smartgrowth import UserError, names
from smartgrowth.data.source import TRAIN, VALIDATION, Encoded, Refusal, Source
from smartgrowth.data.sources import decode
from smartgrowth.data.sources.hold_out import hold_out
from smartgrowth.data.sources.layout import LAYOUT, find_layout
from smartgrowth.data.sources.listing import (
    Listing,
    describe_unread,
    hash_entries,
    list_folder,
)

# Images in formats that are not read. Each is named in the data report; other
# files that are not read are only counted.
_UNREAD = (".jxl", ".jp2", ".svg", ".psd", ".ico", ".tga", ".exr", ".raw") + (
    (".ppm", ".pgm", ".pbm", ".dng", ".nef", ".cr2", ".cr3", ".arw")
)
_HEADERS = 100  # images whose size is read for `native_size`
# A store that was made when folders meant something else is not used.
_MEANING = 3


def fingerprint(path: str) -> str:
    """Returns a hash of what is under `path`: names, sizes and times."""
    return _fingerprint(list_folder(_root(path)))


def _fingerprint(listing: Listing) -> str:
    entries = {
        name: listing.files[name]
        for name in listing.files
        if name.lower().endswith(decode.SUFFIXES)
    }
    # A class may be empty.
    entries |= {f"{folder}/": () for folder in listing.folders}
    if any(name.lower().endswith(decode.OPTIONAL) for name in entries):
        # Once a plug-in is installed, they are read.
        entries["/formats"] = decode.list_formats()
    if any(names.clean(name) != name for name in entries):
        # Earlier versions stored some of these names in another form.
        entries["/names"] = ()
    return f"folder{_MEANING}-{hash_entries(entries)}"


def load_folder(path: str, name: str) -> Source:
    """Returns a `Source` of the images under `path`.

    Without a validation folder, about a fifth of each class becomes validation,
    as `hold_out` says.

    Args:
      path: the folder, laid out as `layout` says.
      name: the source's name, "folder:PATH".

    Raises:
      UserError: no such folder, no images, fewer than two classes, a class
        with too few images, or a validation class without training images.
    """
    root = _root(path)
    listing = list_folder(root)
    layout = find_layout(name, listing)
    splits = layout.splits
    if not any(splits[TRAIN].values()):
        raise UserError(f"--dataset={name}: no images found; {LAYOUT}")
    if VALIDATION not in splits:
        splits = hold_out(name, root, splits[TRAIN])
    class_names = tuple(sorted(splits[TRAIN]))
    # A copy from another system may compose equal names differently.
    spelled = {names.key(class_name): class_name for class_name in class_names}
    splits[VALIDATION] = {
        spelled.get(names.key(class_name), class_name): images
        for class_name, images in splits[VALIDATION].items()
    }
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

    def images() -> Iterator[Encoded]:
        for split in (TRAIN, VALIDATION):
            for label, class_name in enumerate(class_names):
                for image in splits[split].get(class_name, ()):
                    yield Encoded(image, split, label, root / image)

    def examples() -> Iterator[Encoded | Refusal]:
        for file in sorted(listing.skipped):
            yield Refusal(file, listing.skipped[file])
        for file in sorted(listing.files):
            if file.lower().endswith(_UNREAD):
                suffix = pathlib.PurePath(file).suffix
                yield Refusal(file, f"{suffix} is not read; make it a jpg")
        yield from images()

    return Source(
        name=name,
        fingerprint=_fingerprint(listing),
        class_names=class_names,
        native_size=_median_side([image.content for image in images()]),
        examples=examples,
        notes=_notes(listing, layout.unused),
    )


def _notes(listing: Listing, unused: tuple[str, ...]) -> tuple[str, ...]:
    """Returns what a person should know of files that are not used.

    Refusals are told elsewhere.
    """
    notes = [f"not used: {', '.join(unused)}"] if unused else []
    unread = [
        file
        for file in sorted(listing.files)
        if not file.lower().endswith(decode.SUFFIXES + _UNREAD)
    ]
    if unread:
        notes.append(describe_unread(unread))
    return tuple(notes)


def _root(path: str) -> pathlib.Path:
    root = pathlib.Path(path).expanduser().absolute()
    if not root.is_dir():
        raise UserError(
            f"--dataset=folder:{path}: no such folder; pass folder:PATH of "
            "one that exists"
        )
    return root


def _median_side(paths: list[pathlib.Path]) -> int | None:
    """Returns the median shorter side of some images, from their headers."""
    sides = []
    for path in paths[:: max(1, len(paths) // _HEADERS)]:
        try:
            with decode.open_image(path) as image:
                sides.append(min(image.size))
        except Exception:  # noqa: BLE001, S112 - `examples` refuses it
            continue
    return int(np.median(sides)) if sides else None
