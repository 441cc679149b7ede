"""Which classes of a dataset a person means by a name."""

import difflib
from collections.abc import Sequence

from smartgrowth import UserError
from smartgrowth.names import clean, key


def choose_classes(classes: Sequence[str], names: Sequence[str]) -> list[int]:
    """Returns indices of the classes in `--classes`, in the order of `names`.

    Raises:
      UserError: there is no such class, or not as many.
    """
    if tuple(classes) == ("all",):
        return list(range(len(names)))
    if len(classes) == 1 and classes[0].isdigit():
        count = int(classes[0])
        if not 2 <= count <= len(names):
            raise UserError(
                f"--classes={count}: the dataset has {len(names)} classes; "
                f"give a number from 2 to {len(names)}"
            )
        return list(range(count))
    if not classes:
        raise UserError("--classes= names no class; leave it out to use all")
    chosen = set()
    for wanted in classes:
        matches = find_classes(wanted, names)
        if len(matches) != 1:
            near = difflib.get_close_matches(wanted, names, 3) or names[:3]
            what = "is more than one class" if matches else "is not a class"
            near = [names[i] for i in matches] or near
            quoting = _quoting(classes, names)
            raise UserError(
                f"--classes: {wanted!r} {what} of this dataset; there are "
                f"{len(names)}, such as {', '.join(near)}{quoting}"
            )
        chosen.add(matches[0])
    return sorted(chosen)


def find_classes(wanted: str, names: Sequence[str]) -> list[int]:
    """Returns indices of the classes that match `wanted`.

    It is a whole name, or else the part before or after the first space.
    Equal names match, however they are composed, and one that had to be
    escaped matches as it is shown and as the file system has it.
    """
    known = [key(name) for name in names]
    spellings = key(wanted), key(clean(wanted))
    for spelling in spellings:
        if spelling in known:
            return [known.index(spelling)]
    return [
        index
        for index, name in enumerate(known)
        if not {*spellings}.isdisjoint(name.split(" ", 1))
    ]


def _quoting(classes: Sequence[str], names: Sequence[str]) -> str:
    """Returns how --classes names a class with a comma in its name."""
    with_comma = [name for name in names if "," in name]
    if not with_comma:
        return ""
    # Rather one that fell apart at its comma.
    apart = [
        name
        for name in with_comma
        if {part.strip() for part in name.split(",")} <= {*classes}
    ]
    named = (apart or with_comma)[0]
    entry = '"' + named.replace('"', '""') + '"'
    return (
        "; a name with a comma in it goes in double quotes, and those in "
        f"single ones for the shell: --classes='{entry},...'"
    )
