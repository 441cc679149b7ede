"""The flags of the machine: a run may go on with others, on another."""

import dataclasses

from smartgrowth.flags.flag import Identity, flag


@dataclasses.dataclass(frozen=True)
class Machine:
    """The group Machine."""

    precision: str = flag(
        "auto",
        "auto: bfloat16 or float16 where the machine does it in hardware.",
        identity=Identity.NEVER,
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    devices: str = flag(
        "auto",
        "auto: one, an accelerator if there is one; 1; all: every batch is "
        "shared by all, with JAX by those of several processes.",
        identity=Identity.NEVER,
        choices=("auto", "1", "all"),
    )
    deterministic: bool = flag(
        False,
        "Equal bits on the same machine; slower on accelerators.",
        identity=Identity.NEVER,
    )
