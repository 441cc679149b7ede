"""What a flag's value must be: a predicate, and the words of its refusal."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Check:
    """What a value must be; of a list, what each of its entries must be.

    accepts: a value that is not None -> whether it will do.
    words: of what is accepted, to follow "must be".
    """

    accepts: Callable[[Any], bool]
    words: str


# Comparisons are written so that nan and inf fail them.
ABOVE_ZERO = Check(lambda value: 0 < value < math.inf, "above 0")
AT_LEAST_ZERO = Check(lambda value: 0 <= value < math.inf, "at least 0")
AT_LEAST_ONE = Check(lambda value: 1 <= value < math.inf, "at least 1")
EPOCHS = Check(lambda value: 0 < value < 1e6, "above 0")
SHARE = Check(lambda value: 0 <= value <= 1, "0 to 1")
SHARE_ABOVE_ZERO = Check(lambda value: 0 < value <= 1, "above 0, up to 1")
SHARE_BELOW_ONE = Check(lambda value: 0 <= value < 1, "at least 0 and below 1")
NAME = Check(lambda value: value.strip() != "", "a name")
SEED = Check(lambda value: 0 <= value < 2**31, "from 0 to 2147483647")


def one_of(names: Sequence[str], prefixes: Sequence[str]) -> Check:
    """Accepts one of the names, or a prefix with anything behind its colon."""

    def accepts(value: str) -> bool:
        kind, _, rest = value.partition(":")
        return value in names or (kind in prefixes and bool(rest))

    forms = (*names, *(f"{prefix}:..." for prefix in prefixes))
    return Check(accepts, f"one of {', '.join(forms)}")
