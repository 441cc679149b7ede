"""Refused and repaired images of a dataset, for reports and explore.html."""

import dataclasses

from smartgrowth.rendering.text import name_of, show

LISTED = 5  # items of each kind


@dataclasses.dataclass(frozen=True)
class Entry:
    """An entry of a data report.

    Attributes:
      name: of the entry.
      figure: its value, or the number of its items.
      items: the first ones.
      more: how many items are not listed.
    """

    name: str
    figure: str
    items: list[str] = dataclasses.field(default_factory=list)
    more: int = 0


def entries(report: dict) -> list[Entry]:
    """Returns the entries of `Data.report`, with up to five items each."""
    return [_entry(name, value) for name, value in report.items()]


def _entry(name: str, value) -> Entry:
    if isinstance(value, dict) and not any(
        isinstance(number, (int, float)) for number in value.values()
    ):
        value = list(value.items())  # reasons by path
    if not isinstance(value, list):
        return Entry(name_of(name), show(name, value))
    items = []
    for item in value[:LISTED]:
        if isinstance(item, dict):
            item = tuple(item.values())
        parts = item if isinstance(item, (tuple, list)) else [item]
        items.append(": ".join(map(str, parts)))
    more = max(len(value) - LISTED, 0)
    return Entry(name_of(name), f"{len(value):,}", items, more)
