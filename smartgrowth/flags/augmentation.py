"""The flags of what is done to images; its strength is an axis of growth."""

import dataclasses

from smartgrowth.flags.checks import SHARE, Check
from smartgrowth.flags.flag import Identity, flag


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The group Augmentation."""

    augment: tuple[str, ...] = flag(
        ("basic",),
        "none; basic: flip,shift; strong; names of variants; "
        "randaugment:N:MAGNITUDE, N of them for each image; keras:NAME or "
        "keras_cv:NAME, a layer of theirs. They add up: basic,cutout.",
        identity=Identity.ALWAYS,
        each=str,
    )
    mixup: float = flag(
        0.0,
        "Share of the images that are blended with another, labels too, at "
        "full strength.",
        identity=Identity.ALWAYS,
        check=SHARE,
    )
    cutmix: float = flag(
        0.0,
        "Share of the images that get a patch of another, labels too, at full "
        "strength.",
        identity=Identity.ALWAYS,
        check=SHARE,
    )
    size_jitter: tuple[float, ...] = flag(
        (1.0,),
        "Show batches at the stage's size times each of these, as often as "
        "each is named, in random order.",
        identity=Identity.ALWAYS,
        check=Check(lambda factor: 0 < factor <= 8, "above 0, to 8"),
        each=float,
    )
