"""The coarse group of each class: from a user's table, or from WordNet.

A group is an everyday word for several classes: dog, vehicle, food. Groups are
looked up when data is opened; they are not part of the store.
"""

import csv
import pathlib
import re
from collections.abc import Sequence

from smartgrowth import UserError
from smartgrowth.data.class_names import find_classes
from smartgrowth.data.user_csv import read_rows
from smartgrowth.runtime.reporter import say

# The groups of the 1,000 ImageNet classes; its first lines name the source.
WORDNET_GROUPS = pathlib.Path(__file__).with_name("wordnet_groups.csv")
OTHER = "other"
COLUMNS = ("class", "group")


def find_groups(
    class_names: Sequence[str], path: str | None = None
) -> dict[str, str] | None:
    """Returns class name -> coarse group; None if the groups are unknown.

    Args:
      class_names: of the classes that are wanted.
      path: of a table for `read_groups`. Without one, WordNet is used if every
        name begins with a wnid ("n02123045 tabby", "n02123045").

    Raises:
      UserError: as `read_groups`.
    """
    if path:
        return read_groups(path, class_names)
    return wordnet_groups(class_names)


def wordnet_groups(class_names: Sequence[str]) -> dict[str, str] | None:
    """Returns the groups of classes whose names begin with a wnid, or None.

    A wnid that is not among ImageNet's thousand is in the group "other"; if
    none is among them, the result is None.
    """
    wnids = [name.split(" ", 1)[0] for name in class_names]
    if not all(re.fullmatch(r"n\d{8}", wnid) for wnid in wnids):
        return None
    known = read_wordnet()
    if not known.keys() & set(wnids):
        return None
    return {
        name: known.get(wnid, OTHER)
        for name, wnid in zip(class_names, wnids, strict=True)
    }


def read_wordnet() -> dict[str, str]:
    """Returns wnid -> group for the 1,000 classes of ILSVRC 2012."""
    with WORDNET_GROUPS.open(encoding="utf-8") as file:
        rows = csv.DictReader(line for line in file if line[0] != "#")
        return {row["wnid"]: row["group"] for row in rows}


def read_groups(path: str, class_names: Sequence[str]) -> dict[str, str]:
    """Returns class name -> group, from a CSV with the columns class, group.

    A class is named as in --classes: its whole name, or the part before or
    after the first space. Names of other classes are skipped with a message.

    Raises:
      UserError: no such file, not such a table, a name that matches two
        classes, or a class with two groups or none.
    """
    groups: dict[str, str] = {}
    unknown = []
    for line, (name, group) in read_rows(f"--taxonomy={path}", path, COLUMNS):
        matches = find_classes(name, class_names)
        if len(matches) > 1:
            several = ", ".join(class_names[index] for index in matches)
            raise UserError(
                f"--taxonomy={path}: line {line}: {name!r} is more than one "
                f"class: {several}; write the whole name"
            )
        if not matches:
            unknown.append(name)
            continue
        known = groups.setdefault(class_names[matches[0]], group)
        if known != group:
            raise UserError(
                f"--taxonomy={path}: line {line}: {name!r} is in {group!r} "
                f"here and in {known!r} above; keep one of the two lines"
            )
    missing = [name for name in class_names if name not in groups]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(
            f"--taxonomy={path}: no group for class {missing[0]!r}{more}; add "
            "a line class,group for every class"
        )
    if unknown:
        say(
            f"--taxonomy={path}: skipped {len(unknown)} of its names, "
            f"which are of no class here: {', '.join(unknown[:3])}"
            + (", …" if len(unknown) > 3 else "")
        )
    return groups
