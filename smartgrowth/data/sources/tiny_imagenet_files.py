"""Tiny ImageNet as its authors ship it: a zip, or its unpacked folder.

Finds it, lists it and checks that its parts fit together. No image is decoded
and no TensorFlow imported here. The files under test/ have no labels and are
never read.
"""

import collections
import contextlib
import dataclasses
import pathlib
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping

from smartgrowth import UserError
from smartgrowth.data.source import TRAIN, VALIDATION
from smartgrowth.data.sources import archive
from smartgrowth.data.sources.decode import SUFFIXES, one_line
from smartgrowth.data.sources.listing import (
    hash_entries,
    list_folder,
    name_some,
)

URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
SIZE = 248_100_043  # bytes
SHA256 = "6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821"

# The fingerprint of the file at `URL`.
DOWNLOAD = f"tiny_imagenet-{SHA256[:16]}"

_WNIDS, _WORDS = "wnids.txt", "words.txt"
_ANNOTATIONS = "val/val_annotations.txt"


@dataclasses.dataclass(frozen=True)
class Files:
    """A complete Tiny ImageNet on disk.

    Attributes:
      path: the zip, or the folder that holds wnids.txt.
      root: the folder of wnids.txt within the zip, usually
        "tiny-imagenet-200/".
      class_names: "n02123045 tabby", in the order of wnids.txt.
      members: for `TRAIN` and `VALIDATION`, the image paths relative to
        wnids.txt, each with its label.
    """

    path: pathlib.Path
    root: str
    class_names: tuple[str, ...]
    members: Mapping[str, list[tuple[str, int]]] = dataclasses.field(repr=False)

    def read(self, split: str) -> Iterator[tuple[str, int, bytes]]:
        """Yields path, label and content of every image of a split.

        The content is b"" if the archive is damaged there.
        """
        with _open(self.path, self.root) as read:
            for name, label in self.members[split]:
                try:
                    yield name, label, read(name)
                except (zipfile.BadZipFile, zlib.error, EOFError, OSError):
                    yield name, label, b""


def fingerprint(data_dir: str | None) -> str:
    """Returns a hash of the content of `data_dir`, in under a second.

    Of a zip, it covers the checksums in its directory, so a copy has the same
    fingerprint; of a folder, the sizes and times of its files.
    """
    if data_dir is None:
        return DOWNLOAD
    _, entries = _list(find(data_dir))
    return f"tiny_imagenet-{hash_entries(entries)}"


def open_files(data_dir: str) -> Files:
    """Finds and checks the Tiny ImageNet in `data_dir`.

    The classes are those of its own wnids.txt, so a subset is complete too.

    Args:
      data_dir: the zip, the unpacked folder, or the folder that holds either.

    Raises:
      UserError: nothing is there, it cannot be read, or a class, an image or
        a file that should be there is missing.
    """
    path = find(data_dir)
    root, entries = _list(path)
    with _open(path, root) as read:
        wnids = _read_wnids(path, _text(path, entries, read, _WNIDS))
        annotations = _text(path, entries, read, _ANNOTATIONS)
        words = _text(path, entries, read, _WORDS) if _WORDS in entries else ""
    labels = {wnid: label for label, wnid in enumerate(wnids)}
    members = {
        TRAIN: _train_members(path, entries, labels),
        VALIDATION: _validation_members(path, entries, labels, annotations),
    }
    synonyms = dict(
        line.split("\t", 1) for line in words.splitlines() if "\t" in line
    )
    names = [
        f"{wnid} {synonyms.get(wnid, '').split(',')[0]}".strip()
        for wnid in wnids
    ]
    return Files(path, root, tuple(names), members)


def find(data_dir: str) -> pathlib.Path:
    """Returns the path of the zip or of the folder with a wnids.txt."""
    given = pathlib.Path(data_dir).expanduser().absolute()
    if given.is_file():
        return given
    if not given.is_dir():
        raise UserError(
            f"--data_dir={data_dir}: no such file or folder; pass "
            f"--data_dir=PATH of tiny-imagenet-200.zip ({URL})"
        )
    children = sorted(given.iterdir())
    for folder in (given, *children):
        if (folder / _WNIDS).is_file():
            return folder
    zips = [child for child in children if child.suffix.lower() == ".zip"]
    likely = [child for child in zips if "tiny" in child.name.lower()]
    zips = likely or zips
    if len(zips) > 1:
        names = ", ".join(path.name for path in zips)
        raise UserError(
            f"--data_dir={data_dir}: holds several zips ({names}); "
            "pass --data_dir=PATH of the one to use"
        )
    if not zips:
        raise UserError(
            f"--data_dir={data_dir}: holds neither a zip nor a {_WNIDS}; "
            f"pass --data_dir=PATH of tiny-imagenet-200.zip ({URL})"
        )
    return zips[0]


def _list(path: pathlib.Path) -> tuple[str, dict[str, tuple]]:
    """Returns the root, and relative path -> what identifies the content.

    That is size and time in a folder, checksum and size in a zip.
    """
    if path.is_dir():
        listing = list_folder(path, skip=("test",))
        # Reading these reports what is wrong with them.
        return "", listing.files | dict.fromkeys(listing.skipped, (0, 0))
    try:
        with zipfile.ZipFile(path) as opened:
            infos = opened.infolist()
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(
            f"--data_dir={path}: not a whole zip ({one_line(error)}); get it "
            f"again from {URL} and pass --data_dir=PATH of it"
        ) from error
    names = [info.filename for info in infos]
    roots = [
        name.removesuffix(_WNIDS)
        for name in names
        if name.split("/")[-1] == _WNIDS and not name.startswith("__MACOSX")
    ]
    if not roots:
        raise UserError(
            f"--data_dir={path}: no {_WNIDS} in this zip, so it is no Tiny "
            "ImageNet; pass --data_dir=PATH of one"
        )
    root = min(roots, key=len)
    read = [
        info
        for info in infos
        if info.filename.startswith(root)
        and not info.filename.startswith(f"{root}test/")
    ]
    problem = next(filter(None, map(archive.find_problem, read)), None)
    if problem:
        raise UserError(
            f"--data_dir={path}: {problem}, so this is no Tiny ImageNet that "
            f"can be read; get it from {URL} and pass --data_dir=PATH of it"
        )
    return root, {
        info.filename.removeprefix(root): (info.CRC, info.file_size)
        for info in read
    }


@contextlib.contextmanager
def _open(path: pathlib.Path, root: str) -> Iterator[Callable[[str], bytes]]:
    """Yields a function: path relative to wnids.txt -> the file's content."""
    if path.is_dir():
        yield lambda name: _read_file(path / name)
    else:
        with zipfile.ZipFile(path) as opened:
            yield lambda name: archive.read_member(opened, root + name)


def _read_file(path: pathlib.Path) -> bytes:
    if not path.is_file():  # a FIFO would be waited for
        raise OSError("not a regular file")
    return path.read_bytes()


def _text(
    path: pathlib.Path, entries: Mapping, read: Callable, name: str
) -> str:
    if name not in entries:
        raise UserError(
            f"--data_dir={path}: {name} is missing; pass --data_dir=PATH of a "
            "whole Tiny ImageNet"
        )
    try:
        return read(name).decode("utf-8", errors="replace")
    except (zipfile.BadZipFile, zlib.error, RuntimeError, OSError) as error:
        raise UserError(
            f"--data_dir={path}: {name} cannot be read ({one_line(error)}); "
            "pass --data_dir=PATH of a whole Tiny ImageNet"
        ) from error


def _read_wnids(path: pathlib.Path, text: str) -> list[str]:
    wnids = text.split()
    counts = collections.Counter(wnids)
    twice = [wnid for wnid in counts if counts[wnid] > 1]
    if twice:
        raise UserError(
            f"--data_dir={path}: {_WNIDS} names {name_some(twice)} more than "
            "once; list each class once"
        )
    if len(wnids) < 2:
        raise UserError(
            f"--data_dir={path}: {_WNIDS} names {len(wnids)} classes; "
            "training needs at least 2"
        )
    return wnids


def _train_members(
    path: pathlib.Path, entries: Mapping, labels: Mapping[str, int]
) -> list[tuple[str, int]]:
    members = []
    for name in entries:
        split, wnid = (name.split("/") + [""])[:2]
        if split == "train" and wnid in labels and _is_image(name):
            members.append((name, labels[wnid]))
    empty = set(labels.values()) - {label for _, label in members}
    if empty:
        wnids = [wnid for wnid, label in labels.items() if label in empty]
        raise UserError(
            f"--data_dir={path}: no training images of {name_some(wnids)}, "
            f"named in {_WNIDS}; add train/CLASS/images or leave the class out "
            "there"
        )
    # In natural order: x_2 before x_10.
    return sorted(members, key=lambda m: (m[1], len(m[0]), m[0]))


def _validation_members(
    path: pathlib.Path, entries: Mapping, labels: Mapping[str, int], text: str
) -> list[tuple[str, int]]:
    wnids = {}
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split("\t")
        if len(fields) < 2:
            if not line.strip():
                continue
            raise UserError(
                f"--data_dir={path}: line {number} of {_ANNOTATIONS} is "
                f"{line[:40]!r}; it should be a file name, a tab and a class"
            )
        wnids[f"val/images/{fields[0]}"] = fields[1].strip()
    images = [n for n in entries if n.startswith("val/") and _is_image(n)]
    unlabeled = [name for name in images if name not in wnids]
    if unlabeled:
        raise UserError(
            f"--data_dir={path}: {_ANNOTATIONS} has no line for "
            f"{name_some(unlabeled)}; pass --data_dir=PATH of a whole one"
        )
    # Annotations of classes outside wnids.txt are ignored.
    members = [(n, labels[w]) for n, w in wnids.items() if w in labels]
    missing = [name for name, _ in members if name not in entries]
    if missing:
        raise UserError(
            f"--data_dir={path}: {name_some(missing)} named in {_ANNOTATIONS} "
            "but missing; pass --data_dir=PATH of a whole one"
        )
    if not members:
        raise UserError(
            f"--data_dir={path}: no validation image of the classes in "
            f"{_WNIDS}; pass --data_dir=PATH of a whole one"
        )
    return members


def _is_image(name: str) -> bool:
    base = name.split("/")[-1]
    return base.lower().endswith(SUFFIXES) and not base.startswith(".")
