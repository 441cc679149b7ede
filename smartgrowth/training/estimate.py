"""How long a run will take here, from a few real steps of each stage.

What is learned meanwhile is thrown away, and nothing is written.
"""

import dataclasses
import pathlib
import time
from collections.abc import Sequence

from smartgrowth.config import Config
from smartgrowth.evaluation import results
from smartgrowth.experiment import Experiment, make_experiment
from smartgrowth.rendering.text import about, show
from smartgrowth.runs import checkpoint, files
from smartgrowth.runs import directory as run_directory
from smartgrowth.runtime import distributed
from smartgrowth.runtime.reporter import Reporter
from smartgrowth.stages import Plan, Stage
from smartgrowth.training import deciding, lr_finder
from smartgrowth.training.learner import Learner
from smartgrowth.training.progress import start_of

WARM = 3  # steps of every size, while shapes are compiled
STEPS = (3, 12, 48, 192, 768)  # of segments that are timed, in turn
SECONDS = 1.5  # once one takes that long, no further one follows


@dataclasses.dataclass(frozen=True)
class Pace:
    """Seconds that parts of a stage take on this machine.

    compiling: until its shapes are known. segment: to begin what lies between
    two evaluations. step: of a batch, augmentation included. evaluation: of all
    validation images, at every size at which the stage is judged.
    """

    compiling: float
    segment: float
    step: float
    evaluation: float


@dataclasses.dataclass(frozen=True)
class Rest:
    """What is left of a stage: steps, and evaluations after some of them."""

    stage: Stage
    steps: int
    evaluations: int

    def training(self, pace: Pace) -> float:
        """Seconds without evaluations."""
        if not self.steps:
            return 0.0
        begun = self.evaluations * pace.segment
        return pace.compiling + begun + self.steps * pace.step

    def validation(self, pace: Pace) -> float:
        """Seconds of its evaluations."""
        return self.evaluations * pace.evaluation


def measure(experiment: Experiment) -> str:
    """Times every stage that is left of a run; returns what to tell its user.

    Raises:
      UserError: `--workdir` holds a run of another plan.
    """
    config = experiment.config
    directory = run_directory.check(config, experiment.description)
    plan = deciding.take_up(experiment, directory).plan
    done = 0
    if not config.restart:
        if run_directory.is_finished(directory):
            return f"{directory} is finished: nothing is left to train"
        newest = checkpoint.load(directory / files.CHECKPOINTS)
        done = newest[1]["step"] if newest else 0
    learner = make_learner(experiment)
    rests = what_is_left(plan, done)
    passes = {}  # image size -> seconds of a validation
    paces = [
        time_stage(learner, stage, passes)
        for stage in learner.plan.stages[-len(rests) :]
    ]
    ending = final_passes(learner) * time_validation(
        learner, config.final_size, passes
    )
    ending += rate_seconds(config, plan, rests, paces)
    return estimate_table(rests, paces, ending, done)


def what_is_left(plan: Plan, done: int) -> list[Rest]:
    """Returns what is left at step `done`; of the last stage at least."""
    stages = plan.stages_from(done) or plan.stages[-1:]
    return [
        Rest(
            stage,
            stage.last_step - max(done, stage.first_step),
            len(plan.evaluations(stage, done)),
        )
        for stage in stages
    ]


def make_learner(experiment: Experiment) -> Learner:
    """Returns a learner of the same stages, each long enough to be timed."""
    config = experiment.config
    config = config.with_steps(
        WARM * len(config.size_jitter) + sum(STEPS),
        # Any rate takes as long as any other.
        lr=config.lr_min,
        schedule="constant",
        cycle_len=None,
        cycle_epochs=None,
        stage_restart="none",
        tensorboard=False,  # it writes
        checkpoint_minutes=1e9,  # never
    )
    distribution = distributed.make_distribution(config.devices)
    experiment = make_experiment(config, experiment.data)
    distribution.check_plan(experiment.plan)
    directory = pathlib.Path(config.workdir).expanduser()
    learner = Learner(experiment, directory, distribution)
    learner.build()
    learner.progress_line.reporter = Reporter()
    learner.progress_line.reporter.muted = True
    return learner


def time_stage(
    learner: Learner, stage: Stage, passes: dict[int, float]
) -> Pace:
    """Trains the learner for some steps of a stage.

    passes: seconds of a validation by image size; what is missing is added.
    """
    learner.progress = start_of(learner.plan)
    learner.progress.step = stage.first_step
    learner.begin(stage)

    def fit(steps: int) -> float:
        before = learner.progress.train_seconds
        learner.fit(stage, learner.progress.step + steps)
        return learner.progress.train_seconds - before

    warm = WARM * len(stage.sizes)
    first = learner.progress.train_seconds + fit(warm)
    timed = []
    for count in STEPS:
        timed.append((count, fit(count)))
        if timed[-1][1] > SECONDS:
            break
    step, segment = split_times(timed)
    sizes = [learner.config.final_size]
    if (seen := learner.config.size_seen(stage.image_size)) not in sizes:
        sizes.append(seen)
    if learner.config.ema:  # the weights that are not averaged too
        sizes.append(learner.config.final_size)
    return Pace(
        compiling=max(first - segment - warm * step, 0.0),
        segment=segment,
        step=step,
        evaluation=sum(
            time_validation(learner, size, passes) for size in sizes
        ),
    )


def split_times(timed: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Seconds of a step, and of what a segment takes besides.

    timed: steps and seconds of segments, each longer than the one before.
    """
    count, seconds = timed[-1]
    step = seconds / count
    if len(timed) > 1:
        fewer, less = timed[-2]
        found = (seconds - less) / (count - fewer)
        if 0 < found < step:  # else the machine did other work meanwhile
            step = found
    return step, seconds - count * step


def time_validation(
    learner: Learner, size: int, passes: dict[int, float]
) -> float:
    """Seconds of a forward pass of all validation images, once compiled."""
    if size not in passes:
        for _ in range(2):  # the first one compiles
            began = time.monotonic()
            learner.evaluator.logits(learner.experiment.data.validation, size)
            passes[size] = time.monotonic() - began
    return passes[size]


def final_passes(learner: Learner) -> float:
    """What the results cost, in passes of all validation images."""
    experiment = learner.experiment
    judged = len(results.judged_images(experiment))
    mirrored = learner.augmentation.mirrors
    return mirrored + judged / len(experiment.data.validation.labels)


def rate_seconds(
    config: Config, plan: Plan, rests: Sequence[Rest], paces: Sequence[Pace]
) -> float:
    """Seconds of the range tests that are still to come, if --lr asks so."""
    if not config.finds_rate:
        return 0.0
    steps = lr_finder.STEPS[config.optimizer]
    ahead = [
        (rest.stage, pace.compiling + steps * pace.step)
        for rest, pace in zip(rests, paces, strict=True)
        if rest.steps == rest.stage.steps
    ]
    if config.lr == "auto:stage":
        return sum(seconds for _, seconds in ahead)
    if len(ahead) < len(plan.stages):
        return 0.0  # tested before the first step
    return dict(ahead)[lr_finder.stage_to_test(plan, config.lr)]


def estimate_table(
    rests: Sequence[Rest],
    paces: Sequence[Pace],
    ending: float,
    done: int,
) -> str:
    """Returns a row a stage, and how long all that is left will take.

    ending: seconds outside the stages, start-up and report left out. done:
    steps already trained.
    """
    header = (
        "stage  size  images/s  compiling    steps  training  validation"
        "      in all"
    )
    rows = [header, "-" * len(header)]
    training = validation = 0.0
    for rest, pace in zip(rests, paces, strict=True):
        stage = rest.stage
        fit, judge = rest.training(pace), rest.validation(pace)
        training, validation = training + fit, validation + judge
        rows.append(
            f"{stage.index + 1:5}  {stage.image_size:4}  "
            f"{stage.batch_size / pace.step:8,.0f}  "
            f"{pace.compiling:7.1f} s  {rest.steps:7}  "
            f"{fit:6.0f} s  {rest.evaluations:3} in {judge:2.0f} s  "
            f"{show('seconds', fit + judge):>10}"
        )
    if done:
        rows.append(f"{done} steps are done already, and not counted")
    total = training + validation + ending
    rows.append(
        f"{about(total)} on this machine (measured: {total:.0f} s, of which "
        f"training {training:.0f}, validation {validation:.0f}, results "
        f"{ending:.0f}; start-up and report besides)"
    )
    return "\n".join(rows)
