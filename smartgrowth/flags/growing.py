"""The flags of the stages besides the axes of growth: how long they are."""

import dataclasses

from smartgrowth.flags.checks import ABOVE_ZERO, EPOCHS
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
