"""Layer groups: the parts of a network that are trained, or frozen, as one.

They stand in the order in which an image passes them, and each gets nothing but
what the one before makes. Those named here are what every network of this
package has, but for one with a single hidden layer.
"""

from collections.abc import Sequence

from smartgrowth.growth import ALL_LAYERS

BODY, LAST, HEAD = "body", "last", "head"


def trained_groups(groups: Sequence[str], first: str) -> tuple[str, ...]:
    """Returns the groups that train: `first` and all behind it.

    Args:
      groups: names, in their order.
      first: one of them, or "all".

    Raises:
      ValueError: there is no such group.
    """
    begin = 0 if first == ALL_LAYERS else tuple(groups).index(first)
    return tuple(groups[begin:])
