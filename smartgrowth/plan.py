"""The whole run as a tuple of stages, fixed and priced before training.

Plain arithmetic: no TensorFlow, no files. `step`, the number of batches shown,
is the run's only clock; stage, images and cost all derive from it.
"""

import dataclasses
import statistics
from collections.abc import Sequence

from smartgrowth import UserError, growth
from smartgrowth.config import Config
from smartgrowth.flags.flag import ALL
from smartgrowth.models.network import Network


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

    Besides, a value for every axis of growth: `image_size`, pixels a side;
    `samples_per_class`, at most, None for all; `num_classes`, how many are
    active; `augmentation`, a strength from 0 to 1.
    """

    index: int
    first_step: int = 0
    steps: int = 0
    batch_size: int = 0
    num_images: int = 0
    replay: float = 0.0
    jitter_sizes: tuple[int, ...] = ()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Image sizes of its batches, in pixels; often just one."""
        return self.jitter_sizes or (self.image_size,)

    @property
    def last_step(self) -> int:
        """The step at which the stage is over."""
        return self.first_step + self.steps


@dataclasses.dataclass(frozen=True)
class Plan:
    """The stages of a run, their cost, and when it is evaluated.

    stages: in their order.
    flops_per_image: of training on one image, in each stage.
    evals: evaluations besides those at the ends of the stages.
    pass_images: images of a pass over each stage; with `--balance=oversample`
      as many of every class as of the largest.
    """

    stages: tuple[Stage, ...]
    flops_per_image: tuple[int, ...]
    evals: int = 1
    pass_images: tuple[int, ...] = ()

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

    def gflops_of(self, stage: Stage) -> float:
        """Returns a stage's training cost; of several sizes, their mean's."""
        images = stage.steps * stage.batch_size
        return images * self.flops_per_image[stage.index] / 1e9

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
        return sum(
            self.gflops_of(stage) * _steps_within(stage, step) / stage.steps
            for stage in self.stages
        )

    def evaluation_steps(self) -> list[int]:
        """Returns the steps after which to evaluate, ascending.

        Every stage's end, and `evals` evenly over the training cost.
        """
        steps = {stage.last_step for stage in self.stages}
        total, spent = self.gflops(), 0.0
        targets = [total * (i + 1) / self.evals for i in range(self.evals)]
        for stage in self.stages:
            cost = self.gflops_of(stage)
            for target in targets:
                if spent < target <= spent + cost:
                    within = round((target - spent) / cost * stage.steps)
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


def make_plan(
    config: Config, class_counts: Sequence[int], network: Network
) -> Plan:
    """Returns the run that `config` plans.

    Args:
      config: its stages, model, budget and evaluations count.
      class_counts: training images of each class, in the order in which the
        classes enter.
      network: prices an image at each size.

    Raises:
      UserError: an image size that the network's stride cannot take, a first
        stage with one class, a budget too small for a step a stage.
    """
    total = len(class_counts)
    stages = [Stage(index) for index in range(config.num_stages)]
    for axis in growth.AXES:
        values = config.per_stage(axis.flag)
        stages = _set(
            stages, axis.field, [axis.resolve(each, total) for each in values]
        )
    counts = [_counts(stage, class_counts) for stage in stages]
    passes = tuple(
        len(each) * max(each) if config.balance == "oversample" else sum(each)
        for each in counts
    )
    stages = _set(stages, "num_images", map(sum, counts))
    # A stage with fewer images than a batch gets a smaller batch.
    sizes = config.per_stage("batch_size")
    stages = _set(stages, "batch_size", map(min, sizes, map(sum, counts)))
    check_sizes(config)
    stages = _set(
        stages,
        "jitter_sizes",
        [_jitter(config, stage.image_size, network) for stage in stages],
    )
    if config.replay:  # later stages; the only one if there are none
        later = [stage.index > 0 or len(stages) == 1 for stage in stages]
        stages = _set(stages, "replay", [x * config.replay[1] for x in later])
    for stage in stages:
        if stage.num_classes < 2:
            raise UserError(
                "a stage with one class has nothing to tell apart; give "
                "--grow_classes and --classes at least 2"
            )
    flops = tuple(
        statistics.mean(3 * network.flops_per_image(size) for size in s.sizes)
        for s in stages
    )
    steps = _steps(config, stages, passes)
    if config.budget_gflops:
        prices = [s.batch_size * f for s, f in zip(stages, flops, strict=True)]
        steps = _scale(steps, prices, config.budget_gflops * 1e9)
    stages = _set(stages, "steps", steps)
    first_steps = [sum(steps[:index]) for index in range(len(steps))]
    stages = _set(stages, "first_step", first_steps)
    return Plan(tuple(stages), flops, config.evals or 1, passes)


def make_network(config: Config, num_classes: int) -> Network:
    """Returns the network that `config` names."""
    return Network(
        config.model, num_classes, config.width, config.depth, config.dropout
    )


def check_sizes(config: Config) -> set[int]:
    """Returns every image size that the run needs, in pixels.

    Raises:
      UserError: the network cannot take one.
    """
    network = make_network(config, num_classes=2)
    sizes = {*config.grow_size, config.final_size}
    for size in sizes:
        network.check_size(size)
    return sizes.union(*(_jitter(config, size, network) for size in sizes))


def _set(stages, name, values) -> list[Stage]:
    return [
        dataclasses.replace(stage, **{name: value})
        for stage, value in zip(stages, values, strict=True)
    ]


def _jitter(config: Config, size: int, network: Network) -> tuple[int, ...]:
    """Returns what --size_jitter makes of a size, fit for the network.

    Empty if all that it makes is the size itself.
    """
    stride = network.stride
    sizes = tuple(
        max(round(size * factor / stride), 1) * stride
        for factor in config.size_jitter
    )
    return sizes if set(sizes) != {size} else ()


def _counts(stage: Stage, class_counts: Sequence[int]) -> list[int]:
    """Returns a stage's distinct images of each active class."""
    active = class_counts[: stage.num_classes]
    if stage.samples_per_class is ALL:
        return list(active)
    return [min(stage.samples_per_class, count) for count in active]


def _steps(config: Config, stages, passes: Sequence[int]) -> list[int]:
    """Returns the steps of each stage, before any budget.

    passes: images of a pass over each stage.
    """
    if config.stage_steps:
        return list(config.per_stage("stage_steps"))
    epochs = config.per_stage("stage_epochs")
    return [
        max(round(n * images / stage.batch_size), 1)
        for n, images, stage in zip(epochs, passes, stages, strict=True)
    ]


def _scale(steps, prices, budget: float) -> list[int]:
    """Returns steps in the same proportion, at least one each.

    They cost `budget` to within half of the costliest step.
    """
    if budget < sum(prices):
        raise UserError(
            f"--budget_gflops={budget / 1e9:g} does not pay for one step of "
            f"every stage ({sum(prices) / 1e9:,.1f} GFLOPs); raise it"
        )

    def costs(factor):
        pairs = zip(steps, prices, strict=True)
        return [max(count * factor, 1) * price for count, price in pairs]

    # Halved until exact: stages that get their one step leave less to others.
    low, high = 0.0, budget / sum(costs(1.0))
    for _ in range(64):
        middle = (low + high) / 2
        low, high = (
            (low, middle) if sum(costs(middle)) > budget else (middle, high)
        )
    scaled, owed = [], 0.0
    for cost, price in zip(costs(high), prices, strict=True):
        # What rounding left over is spent in the next stage.
        owed += cost
        scaled.append(max(round(owed / price), 1))
        owed -= scaled[-1] * price
    return scaled


def _steps_within(stage: Stage, step: int) -> int:
    """Returns how many of the first `step` batches a stage shows."""
    return min(max(step - stage.first_step, 0), stage.steps)
