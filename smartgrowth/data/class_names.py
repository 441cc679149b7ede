"""Which classes of a dataset a user's words name."""

import difflib
from collections.abc import Sequence

from smartgrowth import UserError


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
            raise UserError(
                f"--classes: {wanted!r} {what} of this dataset; there are "
                f"{len(names)}, such as {', '.join(near)}"
            )
        chosen.add(matches[0])
    return sorted(chosen)


def find_classes(wanted: str, names: Sequence[str]) -> list[int]:
    """Returns indices of the classes that match `wanted`.

    It is a whole name, or else the part before or after the first space.
    """
    if wanted in names:
        return [names.index(wanted)]
    return [
        index
        for index, name in enumerate(names)
        if wanted in name.split(" ", 1)
    ]
