"""The whole run as a tuple of stages, priced before training.

Plain arithmetic: no TensorFlow, no files. `step`, the number of batches shown,
is the run's only clock; stage, images and cost all derive from it. Where the
stages end is fixed beforehand, or with `--grow_when=auto` decided on the way:
`boundaries` does that, and makes a new plan with every decision.
"""

import dataclasses

from smartgrowth import growth


@dataclasses.dataclass(frozen=True)
class Stage(growth.make_stage_fields()):
    """One stage: what the network sees while it lasts.

    index: from 0.
    first_step: the run's step at which it begins.
    steps: batches shown.
    batch_size: images in each.
    num_images: distinct training images.
    replay: share of every batch that is of hard images.
    jitter_sizes: image sizes of its batches, each as often as it is named, if
      there are several.
    precomputed: whether what its frozen layers make of the images is computed
      once, before its first step.

    Besides, a value for every axis of growth: `image_size`, pixels a side;
    `samples_per_class`, at most, None for all; `num_classes`, how many are
    active; `augmentation`, a strength from 0 to 1; `trainable`, the first
    layer group that trains, or "all".
    """

    index: int
    first_step: int = 0
    steps: int = 0
    batch_size: int = 0
    num_images: int = 0
    replay: float = 0.0
    jitter_sizes: tuple[int, ...] = ()
    precomputed: bool = False

    @property
    def sizes(self) -> tuple[int, ...]:
        """Image sizes of its batches, in pixels; often just one."""
        return self.jitter_sizes or (self.image_size,)

    @property
    def last_step(self) -> int:
        """The step at which the stage is over."""
        return self.first_step + self.steps


@dataclasses.dataclass(frozen=True)
class GrowthRules:
    """What decides where stages end, with `--grow_when=auto`.

    learned: accuracy on a stage's own training images at which it has learned
      them. slowed: share of the stage's fastest fall of the training loss
      below which it has become slow.
    least, most: shares of the budget that every stage but the last gets.
    last: the least that is left to the last.
    """

    learned: float
    slowed: float
    least: float
    most: float
    last: float


@dataclasses.dataclass(frozen=True)
class Decision:
    """Why a stage has ended, in the order of the stages.

    step: the run's step at which it did.
    rule: the one that decided; see `boundaries`.
    """

    step: int
    rule: str


@dataclasses.dataclass(frozen=True)
class Plan:
    """The stages of a run, their cost, and when it is evaluated.

    stages: in their order.
    flops_per_image: of training on one image, in each stage.
    evals: evaluations besides those at the ends of the stages.
    pass_images: images of a pass over each stage; with `--balance=oversample`
      as many of every class as of the largest.
    once_flops: of what is computed once, in each stage; empty if nothing is.
    budget: FLOPs that the run is to cost, by which its schedule and its
      evaluations go; those that it costs if None.
    rules: of what is decided while training; None if nothing is.
    decisions: those so far, of the stages from the first one on.
    """

    stages: tuple[Stage, ...]
    flops_per_image: tuple[int, ...]
    evals: int = 1
    pass_images: tuple[int, ...] = ()
    once_flops: tuple[int, ...] = ()
    budget: float | None = None
    rules: GrowthRules | None = None
    decisions: tuple[Decision, ...] = ()

    @property
    def steps(self) -> int:
        """Batches that the whole run shows."""
        return self.stages[-1].last_step

    def stage_at(self, step: int) -> Stage:
        """Returns the stage that shows batch number `step`, counted from 0.

        Raises:
          ValueError: no stage does.
        """
        if not 0 <= step < self.steps:
            raise ValueError(f"step {step} is outside 0..{self.steps - 1}")
        return self.stages_from(step)[0]

    def stages_from(self, step: int) -> tuple[Stage, ...]:
        """Returns the stages that are not over after `step` batches."""
        return tuple(stage for stage in self.stages if stage.last_step > step)

    @property
    def flops(self) -> float:
        """FLOPs of all stages."""
        return sum(map(self.flops_of, self.stages))

    @property
    def planned_flops(self) -> float:
        """FLOPs that the run is to cost, whatever is still to be decided."""
        return self.budget or self.flops

    def step_flops(self, stage: Stage) -> float:
        """Returns the FLOPs of a step; of several sizes, their mean's."""
        return stage.batch_size * self.flops_per_image[stage.index]

    def once_flops_of(self, stage: Stage) -> int:
        """Returns the FLOPs of what is computed before a stage's first step."""
        return self.once_flops[stage.index] if self.once_flops else 0

    def flops_of(self, stage: Stage, steps: int | None = None) -> float:
        """Returns the FLOPs of a stage's first steps, or of all of them."""
        steps = stage.steps if steps is None else steps
        once = self.once_flops_of(stage) if steps else 0
        return steps * self.step_flops(stage) + once

    def gflops_of(self, stage: Stage) -> float:
        """Returns a stage's training cost."""
        return self.flops_of(stage) / 1e9

    def epochs(self, num_images: int) -> float:
        """Returns the passes over `num_images` training images."""
        return self.images_seen(self.steps) / num_images

    def images_seen(self, step: int) -> int:
        """Returns the images in the first `step` batches, repeats counted."""
        return sum(
            _steps_within(stage, step) * stage.batch_size
            for stage in self.stages
        )

    def gflops(self, step: int | None = None) -> float:
        """Returns the training cost of the first `step` batches, or of all."""
        step = self.steps if step is None else step
        flops = sum(
            self.flops_of(stage, _steps_within(stage, step))
            for stage in self.stages
        )
        return flops / 1e9

    def evaluation_steps(self) -> list[int]:
        """Returns the steps after which to evaluate, ascending.

        Every stage's end, and `evals` evenly over the training cost; of a run
        that keeps a budget, none soon after a stage's beginning, whose figures
        would be of a few batches.
        """
        steps = {stage.last_step for stage in self.stages}
        spent = 0.0
        apart = self.planned_flops / self.evals
        targets = [apart * (i + 1) for i in range(self.evals)]
        for stage in self.stages:
            cost, once = self.flops_of(stage), self.once_flops_of(stage)
            for target in targets:
                if spent < target <= spent + cost:
                    price = self.step_flops(stage)
                    within = max(round((target - spent - once) / price), 0)
                    if self.budget and target - spent < apart / 2:
                        continue
                    # None: the end of the stage before is near enough.
                    steps.add(max(stage.first_step + within, 1))
            spent += cost
        return sorted(steps)

    def evaluations(self, stage: Stage, done: int) -> list[int]:
        """Returns the steps of a stage after which to evaluate, ascending.

        done: steps of the run that are over; only later ones are returned.
        """
        begun = max(done, stage.first_step)
        return [
            step
            for step in self.evaluation_steps()
            if begun < step <= stage.last_step
        ]


def _steps_within(stage: Stage, step: int) -> int:
    """Returns how many of the first `step` batches a stage shows."""
    return min(max(step - stage.first_step, 0), stage.steps)
