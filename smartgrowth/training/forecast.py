"""How long the rest of a run will take, told from its own first steps.

A person learns within seconds whether to wait or to come back. Nothing is run
for it: what has not been seen yet is taken to cost time as it costs FLOPs.
"""

import dataclasses

from smartgrowth.evaluation.results import judged_images
from smartgrowth.experiment import Experiment
from smartgrowth.rendering.text import about
from smartgrowth.stages import Stage


@dataclasses.dataclass(frozen=True)
class Left:
    """Seconds until a run is over, its report left out.

    stages: of the training of each stage that is left, (index, seconds), what
    it takes to begin included. judging: of the evaluations and of the results.
    """

    stages: tuple[tuple[int, float], ...]
    judging: float

    @property
    def seconds(self) -> float:
        """Seconds in all."""
        return self.judging + sum(seconds for _, seconds in self.stages)


class Forecast:
    """What is left of a run, from the pace of its training so far.

    Args:
      experiment: what is trained.
      mirrored: whether the results include a pass over mirror images.
    """

    def __init__(self, experiment: Experiment, mirrored: bool):
        self.plan, config = experiment.plan, experiment.config
        self.report = "; the report comes on top" if config.report else ""
        network, data = experiment.network, experiment.data
        images, size = len(data.validation.labels), config.final_size
        final = images * network.flops_per_image(size) / 1e9
        sizes = [stage.image_size for stage in self.plan.stages]
        self.gflops_of_evaluation = [
            final * (1 + bool(config.ema))  # raw weights are validated too
            + (seen != size) * images * network.flops_per_image(seen) / 1e9
            for seen in map(config.size_seen, sizes)
        ]
        judged = len(judged_images(experiment)) / images
        self.gflops_of_results = final * (mirrored + judged)
        self.rate = None  # seconds for a GFLOP of an evaluation, once known
        self.beginning = 0.0  # seconds of a stage's first batch, once known

    def evaluated(self, stage: Stage, seconds: float) -> None:
        """Takes note of how long an evaluation took, the last one counts."""
        self.rate = seconds / self.gflops_of_evaluation[stage.index]

    def left(self, stage: Stage, step: int, seconds: float) -> Left:
        """Returns what is left once `step` batches are learned.

        Args:
          stage: the present one.
          seconds: of a step of it.
        """
        plan = self.plan
        rate = seconds / (plan.gflops_of(stage) / stage.steps)
        stages = []
        for each in plan.stages_from(step):
            done = plan.gflops(max(step, each.first_step))
            cost = plan.gflops(each.last_step) - done
            begins = self.beginning * (each.first_step >= step)
            stages.append((each.index, cost * rate + begins))
        judging = self.gflops_of_results + sum(
            self.gflops_of_evaluation[each.index]
            * len(plan.evaluations(each, step))
            for each in plan.stages_from(step)
        )
        return Left(tuple(stages), judging * (self.rate or rate))

    def tell(self, stage: Stage, step: int, seconds: float) -> str:
        """Returns what `left` finds, as a line for a person."""
        left, count = self.left(stage, step, seconds), len(self.plan.stages)
        parts = [
            f"stage {index + 1} of {count}: {about(of_it)[6:]}"
            for index, of_it in left.stages
        ]
        parts.append(f"evaluations and results: {about(left.judging)[6:]}")
        unseen = {s.image_size for s in self.plan.stages_from(step)}
        told = f"told by steps of {stage.image_size} px"
        if unseen != {stage.image_size}:
            told += "; the other sizes by their FLOPs"
        return (
            f"{about(left.seconds)} on this machine "
            f"({', '.join(parts)}; {told}{self.report})"
        )
