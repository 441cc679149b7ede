"""The flags of the network."""

import dataclasses

from smartgrowth.flags.checks import ABOVE_ZERO, SHARE_BELOW_ONE
from smartgrowth.flags.flag import Identity, flag


@dataclasses.dataclass(frozen=True)
class Model:
    """The group Model."""

    model: str = flag(
        "resnet",
        "The network; see smartgrowth/models.",
        identity=Identity.ALWAYS,
    )
    width: int = flag(
        32,
        "Channels of the network's first stage.",
        identity=Identity.ALWAYS,
        check=ABOVE_ZERO,
    )
    depth: int = flag(
        2,
        "Blocks in each of the network's stages.",
        identity=Identity.ALWAYS,
        check=ABOVE_ZERO,
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
