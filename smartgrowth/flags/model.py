"""The flags of the network."""

import dataclasses
import pathlib

from smartgrowth.flags.checks import SHARE_BELOW_ONE, Check
from smartgrowth.flags.flag import Identity, flag

WIDTH = "a whole number above 0, or a comma list of such numbers"
DEPTH = (
    "a whole number above 0, or a comma list of such numbers and zeros, with "
    "at least one above 0"
)


def _parse_by_stage(words: str):
    """Returns a function: text -> a number, or a tuple of several.

    words: what a value must be.
    """

    def parse(text: str | int) -> int | tuple[int, ...]:
        try:
            numbers = tuple(int(part) for part in str(text).split(","))
        except ValueError:
            raise ValueError(f"must be {words}") from None
        return numbers if len(numbers) > 1 else numbers[0]

    return parse


def _parse_model(text: str) -> str:
    """Returns the name of a network; a file's path so that it always holds."""
    where, colon, function = text.rpartition(":")
    if colon and where.endswith(".py"):
        return f"{pathlib.Path(where).expanduser().absolute()}:{function}"
    return text


def is_users(model: str) -> bool:
    """Returns whether a value of `--model` names a function of the user's."""
    return ":" in model


def _is_width(value: int | tuple[int, ...]) -> bool:
    return (value if isinstance(value, int) else min(value)) > 0


def _is_depth(value: int | tuple[int, ...]) -> bool:
    if isinstance(value, int):
        return value > 0
    return min(value) >= 0 and max(value) > 0


@dataclasses.dataclass(frozen=True)
class Model:
    """The group Model."""

    model: str = flag(
        "resnet",
        "The network: a name in smartgrowth/models, or a function of yours "
        "that makes one, PATH.py:FUNCTION or package.module:FUNCTION.",
        identity=Identity.ALWAYS,
        parse=_parse_model,
    )
    width: int | tuple[int, ...] = flag(
        32,
        "Channels of the network's first stage, which each further stage "
        "doubles; or a comma list with those of each, such as 32,64,128,128.",
        identity=Identity.ALWAYS,
        parse=_parse_by_stage(WIDTH),
        check=Check(_is_width, WIDTH),
    )
    depth: int | tuple[int, ...] = flag(
        2,
        "Blocks in each of the network's stages: one number for all, or a "
        "comma list with one for each, such as 0,2,2,2.",
        identity=Identity.ALWAYS,
        parse=_parse_by_stage(DEPTH),
        check=Check(_is_depth, DEPTH),
    )
    init_from: str | None = flag(
        None,
        "Start from the trained weights of an earlier run: its folder, or its "
        "final.keras. Classes of the same name keep theirs in the head.",
        identity=Identity.IF_SET,
    )
    precompute: bool = flag(
        True,
        "While layers are frozen and no image is augmented, compute what they "
        "make of the images once, and train on that.",
        identity=Identity.INDIRECT,
    )
    whiten: bool = flag(
        False,
        "Fix the first convolution's filters: the principal components of the "
        "training images' patches, and their negatives.",
        identity=Identity.IF_SET,
    )
    dropout: float = flag(
        0.0,
        "Dropout rate before the head.",
        identity=Identity.ALWAYS,
        check=SHARE_BELOW_ONE,
    )
    enforce_rules: bool = flag(
        False,
        "Stop before training if the assignment's rules are broken.",
        identity=Identity.NEVER,
    )
