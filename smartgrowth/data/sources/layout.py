"""What the folders of a dataset mean: which are splits, and which classes.

A split goes by many names. What could be read in two ways is refused, since a
class called testing, or a class that vanishes, would only show in the results.
"""

import collections
import dataclasses
import re
from collections.abc import Sequence

from smartgrowth import UserError, names
from smartgrowth.data.source import TRAIN, VALIDATION
from smartgrowth.data.sources.decode import SUFFIXES
from smartgrowth.data.sources.listing import Listing, name_some

LAYOUT = (
    "expected CLASS/IMAGE, or train/CLASS/IMAGE and val/CLASS/IMAGE, with "
    "images ending in " + " ".join(suffix[1:] for suffix in SUFFIXES)
)

TEST = "test"
_WORDS = {
    TRAIN: ("train", "training"),
    VALIDATION: ("val", "valid", "validation", "dev", "eval", "evaluation"),
    TEST: ("test", "testing"),
}
_ROLES = {word: role for role, words in _WORDS.items() for word in words}
# Whatever the case: seg_train, Test Set, traindata, train2017.
_FILLERS = "(?:seg|set|data|images?|imgs?|split|folder)*"
_SPLIT = re.compile(rf"{_FILLERS}({'|'.join(_ROLES)}){_FILLERS}(?:20\d\d)?")


@dataclasses.dataclass(frozen=True)
class Layout:
    """Which images are of which split and class.

    Attributes:
      splits: split -> class -> relative paths, sorted; `TRAIN` alone if
        nothing is set apart. Training classes may be without images.
      unused: what is not used, as words: "test (3 images)".
    """

    splits: dict[str, dict[str, list[str]]]
    unused: tuple[str, ...]


def role_of(name: str) -> str | None:
    """Returns `TRAIN`, `VALIDATION` or `TEST` if a folder's name means it."""
    return _ROLES.get(_word(name))


def find_layout(name: str, listing: Listing) -> Layout:
    """Returns what the folders of `listing` mean.

    With a folder of training images in class folders, the first of the
    validation folders is used, or else of the test folders.

    Args:
      name: the source's name, "folder:PATH".
      listing: of PATH.

    Raises:
      UserError: the folders can be read in more than one way, or splits lack
        class folders.
    """
    tree = _Tree(listing)
    root = ""
    tops = tree.inside[root]
    # images/train and images/val: what holds them means nothing.
    holders = [folder for folder in tops if tree.has_images(folder)]
    if len(holders) == 1 and role_of(holders[0]) is None:
        inner = tree.inside[holders[0]]
        if any(role_of(_base(folder)) for folder in inner):
            root, tops = holders[0], inner
    roles = {folder: role_of(_base(folder)) for folder in tops}
    others = [f for f in tops if roles[f] is None and tree.has_images(f)]
    if _are_classes(tree, roles, others):
        _refuse_splits_in_classes(name, tree, tops)
        return _finish(tree, {TRAIN: tree.classes(root)}, [])
    trains = [f for f in tops if roles[f] == TRAIN and tree.has_classes(f)]
    validations = [f for f in tops if roles[f] == VALIDATION]
    validations.sort(key=lambda f: _WORDS[VALIDATION].index(_word(_base(f))))
    tests = [f for f in tops if roles[f] == TEST]
    flat = [f for f in validations if tree.has_flat_images(f)]
    judges = [
        f
        for f in validations + tests
        if tree.has_classes(f) and tree.has_images(f)
    ]
    _refuse_doubtful(name, roles, trains, flat, judges, others)
    splits = {TRAIN: tree.classes(tree.enter(trains[0]))}
    if judges:
        found = tree.classes(tree.enter(judges[0]))
        splits[VALIDATION] = {c: found[c] for c in found if found[c]}
    used = {trains[0], *judges[:1]}
    unused = [f for f in tops if f not in used and (roles[f] or f in others)]
    return _finish(tree, splits, unused)


def _are_classes(tree, roles, others) -> bool:
    """Returns whether no folder is a split.

    One that is called train, with images directly inside and classes beside
    it, is a class: trains.
    """
    splits = [folder for folder, role in roles.items() if role]
    if not splits:
        return True
    [first, *more] = splits
    is_class = roles[first] == TRAIN and tree.has_flat_images(first)
    return bool(is_class and not more and others)


def _refuse_splits_in_classes(name, tree, classes) -> None:
    for folder in classes:
        inner = {_base(f): role_of(_base(f)) for f in tree.inside[folder]}
        splits = [f for f, role in inner.items() if role]
        if TRAIN in inner.values() and len(set(inner.values()) - {None}) > 1:
            raise UserError(
                f"--dataset={name}: {name_some(splits)} in {folder} look like "
                f"splits within a class; {LAYOUT}"
            )


def _refuse_doubtful(name, roles, trains, flat, judges, others) -> None:
    splits = name_some([folder for folder, role in roles.items() if role])
    if not trains:
        raise UserError(
            f"--dataset={name}: folders that look like splits ({splits}), but "
            "no training images in train/CLASS/; rename what is a class, or "
            f"add them; {LAYOUT}"
        )
    if len(trains) > 1:
        raise UserError(
            f"--dataset={name}: {name_some(trains)} all look like training "
            "images; keep one, or pass folder:PATH of the one to use"
        )
    if flat:
        raise UserError(
            f"--dataset={name}: {flat[0]} looks like validation images, but "
            f"they are not in folders per class; sort them into {flat[0]}/"
            "CLASS/, or move them away"
        )
    if others and not judges:
        raise UserError(
            f"--dataset={name}: {trains[0]} looks like a split, and "
            f"{name_some(others)} beside it like classes; rename {trains[0]} "
            "if it is a class, or move the others away"
        )


def _finish(tree: "_Tree", splits, unused: Sequence[str]) -> Layout:
    used = {
        image
        for classes in splits.values()
        for images in classes.values()
        for image in images
    }
    left = [image for image in tree.images if image not in used]
    words = []
    for folder in unused:
        count = sum(image.startswith(f"{folder}/") for image in left)
        left = [i for i in left if not i.startswith(f"{folder}/")]
        words.append(f"{folder} ({count:,} image{'s' * (count != 1)})")
    if left:
        words.append(f"{len(left):,} outside class folders ({name_some(left)})")
    return Layout(splits, tuple(words))


def _base(folder: str) -> str:
    return folder.rsplit("/", 1)[-1]


def _word(name: str) -> str | None:
    """Returns the word in a folder's name that makes it a split."""
    found = _SPLIT.fullmatch(re.sub(r"[\W_]", "", name.lower()))
    return found and found[1]


class _Tree:
    """Folders and the images in them, by relative path; the root is ""."""

    def __init__(self, listing: Listing):
        self.images = sorted(
            file for file in listing.files if file.lower().endswith(SUFFIXES)
        )
        self.inside = collections.defaultdict(list)  # folder -> its folders
        for folder in sorted(listing.folders):
            self.inside[folder.rpartition("/")[0]].append(folder)
        self.flat = collections.Counter(
            image.rpartition("/")[0] for image in self.images
        )
        self.deep = set()  # folders with images in folders inside
        for folder in self.flat:
            while folder:
                folder = folder.rpartition("/")[0]
                self.deep.add(folder)

    def has_flat_images(self, folder: str) -> bool:
        """Returns whether there are images directly inside, and only there."""
        return self.flat[folder] > 0 and folder not in self.deep

    def has_images(self, folder: str) -> bool:
        return self.flat[folder] > 0 or folder in self.deep

    def has_classes(self, folder: str) -> bool:
        """Returns whether there are folders inside, empty or not."""
        return bool(self.inside[folder]) and not self.has_flat_images(folder)

    def enter(self, folder: str) -> str:
        """Returns the split's own folder: seg_train/seg_train, not the first.

        Some archives repeat their name inside.
        """
        inner = self.inside[folder]
        while len(inner) == 1 and (
            role_of(_base(inner[0])) == role_of(_base(folder))
            and self.has_classes(inner[0])
        ):
            folder = inner[0]
            inner = self.inside[folder]
        return folder

    def classes(self, root: str) -> dict[str, list[str]]:
        """Returns class -> images; a class is a folder directly in `root`.

        Folders of equal names, differently composed, are one class.
        """
        start = f"{root}/" if root else ""
        members = {_base(folder): [] for folder in self.inside[root]}
        for image in self.images:
            folder, slash, _ = image.removeprefix(start).partition("/")
            if slash and image.startswith(start):
                members[folder].append(image)
        found, first = {}, {}
        for folder, images in members.items():
            name = names.clean(folder)
            name = first.setdefault(names.key(name), name)
            found.setdefault(name, []).extend(images)
        return found
