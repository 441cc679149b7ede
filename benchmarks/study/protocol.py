"""How the arms of the study are compared. PROTOCOL.md says why.

Fixed before the first run. The flagfiles under `flags/` are made of it.
"""

import dataclasses
import functools

from arms import COMMON, Arm, Dataset
from growth_arms import (
    FEW,
    FEW_DATASET,
    GLYPHS,
    GROWTH,
    KIN20,
    LONG,
    RELATED,
    TINY20,
    UNRELATED,
)
from network_arms import NETWORK_DATASETS, NETWORKS

HYPOTHESES, CONTROLS = "hypotheses", "controls"
SEEDS, PRIMARY_SEEDS = 5, 10
OUTSIDE_SEED = 100  # of the runs whose boundaries the yoked arms repeat
TUNING_SEED = 1000
HELD_OUT = 0.2  # of the training images, while recipes are tuned
LEARNING_RATE, WEIGHT_DECAY = 0.008, 0.05  # where the tuning begins
LARGE_RATE = 3  # times the tuned one
FLAGS = "benchmarks/study/flags"  # from the root of the repository
# About 1, 3 and 10 passes at full size; 3 and 10 over few images; and 2 of the
# three numbers of classes.
BUDGETS, FEW_BUDGETS = (1200, 4000, 12000), (400, 1200)
NETWORK_BUDGETS = (1000, 5600, 12300)
# Seconds of training per GFLOP at an image size, relative to those at 32 px:
# medians of 3 rounds of `--mode=plan --measure`, 2 cores of an AMD EPYC in
# bfloat16, nothing beside (1.88 to 2.11, and 1.16 to 1.30).
SECONDS = {16: 2.04, 24: 1.18, 32: 1.0}


@dataclasses.dataclass(frozen=True)
class Trial:
    """One trial of a recipe; every recipe has the same.

    Attributes:
      rate, decay: times `LEARNING_RATE` and `WEIGHT_DECAY`.
      early: times the lengths of all stages but the last, before they are
        scaled to the budget.
    """

    rate: float
    decay: float
    early: float


# The middle, half of the eight corners around it, and a higher rate, since the
# first trials on held-out images all chose the highest one.
TRIALS = (
    Trial(1, 1, 1),
    Trial(0.5, 0.25, 1.5),
    Trial(2, 0.25, 1 / 1.5),
    Trial(0.5, 4, 1 / 1.5),
    Trial(2, 4, 1.5),
    Trial(4, 1, 1),
)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Arms that are trained on a dataset at one budget.

    Attributes:
      kind: "growth", "few" or "networks".
      budget: in GFLOPs.
    """

    kind: str
    dataset: Dataset
    budget: int
    arms: tuple[Arm, ...]

    @property
    def name(self) -> str:
        return f"{self.dataset.name}_{self.budget}"

    @property
    def title(self) -> str:
        return f"{self.dataset.name}, {self.budget:,} GFLOPs"

    @property
    def folder(self) -> str:
        """The folder of its runs."""
        return f"runs/study/{self.name}"

    def folder_of(self, arm: str, seed: int) -> str:
        return f"{self.folder}/{arm}/seed{seed}"

    def flagfile(self, arm: str) -> str:
        """Returns the path of an arm's flagfile from the root."""
        return f"{FLAGS}/{self.name}/{arm}.flags"

    @functools.cached_property
    def by_name(self) -> dict[str, Arm]:
        return {arm.name: arm for arm in self.arms}

    @property
    def recipes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(arm.recipe for arm in self.arms))

    def family(self, arm: str) -> str:
        """Returns with which tests an arm's tests are corrected."""
        if self.kind != "growth":
            return self.kind
        return HYPOTHESES if self.by_name[arm].primary else CONTROLS

    @property
    def tests(self) -> list[tuple[str, str]]:
        """The arms that are tested against each other."""
        pairs = []
        for arm in self.arms[1:]:
            pairs.append((arm.name, arm.against))
            if arm.of_baseline and arm.against != "baseline":
                pairs.append((arm.name, "baseline"))
        return pairs

    def flag_lines(self, arm: Arm, trial: Trial, base: Trial) -> list[str]:
        """Returns the flags of an arm.

        Args:
          arm: what is trained.
          trial: of its recipe.
          base: of the baseline's recipe, for the large rate.
        """
        source = arm.name.replace("_yoked", "_auto")
        values = {
            "classes": self.dataset.classes,
            "samples": ",".join(self.dataset.samples),
            "backward": ",".join(self.dataset.samples[::-1]),
            "last_three": ",".join(self.dataset.samples[1:]),
            "steps": self.lengths(arm, trial),
            "rate": f"{LARGE_RATE * base.rate * LEARNING_RATE:g}",
            "decided": f"file:{self.folder_of(source, OUTSIDE_SEED)}",
        }
        return [
            *self.dataset.flags,
            *COMMON,
            f"--lr={trial.rate * LEARNING_RATE:g}",
            f"--weight_decay={trial.decay * WEIGHT_DECAY:g}",
            *(line.format_map(values) for line in arm.flags),
            f"--budget_gflops={self.budget * self.share(arm, trial):.0f}",
            f"--workdir={self.folder}/{arm.name}",
        ]

    def lengths(self, arm: Arm, trial: Trial) -> str:
        """Returns the lengths of an arm's stages, relative to each other."""
        # A recipe of one stage says nothing of several.
        several = len(self.by_name[arm.recipe].steps) > 1
        early = trial.early if several else 1
        *first, last = arm.steps or (0,)
        steps = [*(round(early * each) for each in first), last]
        return ",".join(map(str, steps[::-1] if arm.reverses else steps))

    def share(self, arm: Arm, trial: Trial) -> float:
        """Returns an arm's GFLOPs in those of the baseline.

        1, unless it is to take the baseline's seconds. To within 2%: every
        step counts as one of a whole batch.
        """
        if not arm.in_seconds:
            return 1.0
        [sizes] = [
            [int(size) for size in line.partition("=")[2].split(",")]
            for line in arm.flags
            if line.startswith("--grow_size=")
        ]
        steps = map(int, self.lengths(arm, trial).split(","))
        gflops = {}  # at each size; a step costs what its images have of pixels
        for size, count in zip(sizes, steps, strict=True):
            gflops[size] = gflops.get(size, 0) + count * size**2
        seconds = sum(SECONDS[size] * cost for size, cost in gflops.items())
        return sum(gflops.values()) / seconds


SHORT, MIDDLE, LONGEST = BUDGETS
COMPARISONS = (
    *(
        Comparison("growth", dataset, budget, arms)
        for dataset, arms in (
            (TINY20, UNRELATED),
            (KIN20, RELATED),
            (GLYPHS, GROWTH),
        )
        for budget in (SHORT, MIDDLE)
    ),
    *(
        Comparison("growth", dataset, LONGEST, LONG)
        for dataset in (TINY20, GLYPHS)
    ),
    *(Comparison("few", FEW_DATASET, budget, FEW) for budget in FEW_BUDGETS),
    *(
        Comparison("networks", dataset, budget, NETWORKS)
        for dataset, budget in zip(
            NETWORK_DATASETS, NETWORK_BUDGETS, strict=True
        )
    ),
)


def seeds(arm: Arm) -> range:
    """Returns the seeds of an arm's runs."""
    return range(PRIMARY_SEEDS if arm.primary else SEEDS)
