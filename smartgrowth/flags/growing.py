"""The flags of the stages besides the axes of growth: how long they are."""

import dataclasses

from smartgrowth.flags.checks import ABOVE_ZERO, EPOCHS, SHARE, one_of
from smartgrowth.flags.flag import Identity, flag


@dataclasses.dataclass(frozen=True)
class Growing:
    """The group Growth, without the flags of `growth.AXES`."""

    stage_steps: tuple[int, ...] = flag(
        (),
        "Batches shown in each stage; 1000 unless --stage_epochs is given.",
        identity=Identity.INDIRECT,
        check=ABOVE_ZERO,
        each=int,
        per_stage=True,
    )
    stage_epochs: tuple[float, ...] = flag(
        (),
        "Or: passes over each stage's images.",
        identity=Identity.INDIRECT,
        check=EPOCHS,
        each=float,
        per_stage=True,
    )
    stage_shares: tuple[float, ...] = flag(
        (),
        "Or: parts of --budget_gflops, such as 1 for equal ones, or 1,1,2.",
        identity=Identity.INDIRECT,
        check=ABOVE_ZERO,
        each=float,
        per_stage=True,
    )
    grow_schedule: str | None = flag(
        None,
        "Or: file:RUN, the steps of a run's stages, such as --grow_when=auto "
        "decided them.",
        identity=Identity.INDIRECT,
        check=one_of((), ("file",)),
    )
    grow_when: str = flag(
        "plan",
        "When a stage ends. plan: after its steps; auto: decided while "
        "training, by what it shows on training images, within the same cost.",
        identity=Identity.INDIRECT,
        choices=("plan", "auto"),
    )
    # These defaults are the best of a few on glyphs at 2,600 GFLOPs, 2 seeds
    # each, and exploratory: benchmarks/README.md, "When to grow".
    grow_learned: float = flag(
        0.7,
        "auto: accuracy on a stage's own training images at which images or "
        "classes grow, if it does not stop rising before.",
        identity=Identity.INDIRECT,
        check=SHARE,
    )
    grow_slowed: float = flag(
        0.5,
        "auto: size, augmentation and trained layers grow when the training "
        "loss falls per GFLOP by less than this share of its fastest fall in "
        "the stage.",
        identity=Identity.INDIRECT,
        check=SHARE,
    )
    grow_least: float = flag(
        0.05,
        "auto: share of the cost that a stage gets at least.",
        identity=Identity.INDIRECT,
        check=SHARE,
    )
    grow_most: float = flag(
        0.2,
        "auto: share of the cost that a stage gets at most, but for the last.",
        identity=Identity.INDIRECT,
        check=SHARE,
    )
    grow_last: float = flag(
        0.25,
        "auto: share of the cost that is kept for the last stage.",
        identity=Identity.INDIRECT,
        check=SHARE,
    )
    grow_by: str = flag(
        "resize",
        "How smaller images are made. resize: of the whole image; crop: cut "
        "from it at random places, at its full resolution.",
        identity=Identity.IF_SET,
        choices=("resize", "crop"),
    )
    batch_size: tuple[int, ...] = flag(
        (64,),
        "Images per batch, stage by stage.",
        identity=Identity.INDIRECT,
        check=ABOVE_ZERO,
        each=int,
        per_stage=True,
    )
    budget_gflops: float | None = flag(
        None,
        "Cut or stretch all stages so that training costs this.",
        identity=Identity.INDIRECT,
        check=ABOVE_ZERO,
    )
    test_size: int | None = flag(
        None,
        "Image size of the validation; the last stage's unless given.",
        identity=Identity.INDIRECT,
        check=ABOVE_ZERO,
    )
