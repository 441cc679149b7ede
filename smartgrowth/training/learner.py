"""One network, its optimizer and its progress, through every stage of a run.

What fires when, of a run that `train.train` drives:

    build        the network, on its devices
    lease        entered: no other process trains in the run directory
    claim        the run directory: flags.txt, plan.json, data_report.json
    resume       the newest checkpoint; schedule.csv, its rows of log.csv
    stage:
      begin      --stage_restart, range test of --lr=auto:stage, a checkpoint
                 if it found a rate; the stage's images, the compiled step
      segment:
        fit      batches: progress line, checkpoints every some minutes, stop
        evaluate validation; a row to log.csv and TensorBoard; with
                 --grow_when=auto whether the stage ends; a checkpoint at a
                 best, at the stage's end and every some minutes
    finish       plan.json and flags.txt if they were lost meanwhile;
                 final.keras, predictions, metrics.json
"""

import dataclasses
import pathlib
import threading
import time
from collections.abc import Iterator

from smartgrowth.data.augment import policy
from smartgrowth.evaluation.evaluator import Evaluator
from smartgrowth.experiment import Experiment
from smartgrowth.optim.rates import make_rate_tables
from smartgrowth.runs import directory as run_directory
from smartgrowth.runs.lease import Lease
from smartgrowth.runtime import devices
from smartgrowth.runtime.distribution import SINGLE_DEVICE, Distribution
from smartgrowth.runtime.keras_internals import CallbackList
from smartgrowth.runtime.reporter import say
from smartgrowth.stages import Plan, Stage
from smartgrowth.training import (
    callbacks,
    deciding,
    rate_search,
    run_files,
)
from smartgrowth.training.batches import stage_batches
from smartgrowth.training.checkpointing import CheckpointManager
from smartgrowth.training.compile_model import compile_model
from smartgrowth.training.progress import start_of
from smartgrowth.training.progress_line import ProgressLine, check_finite
from smartgrowth.training.run_log import RunLog, make_row


class Learner:
    """Trains the network of an experiment, stage by stage.

    Making one does nothing yet; `build` makes the network.

    Args:
      directory: where this process writes.
      distribution: the devices that share every batch.

    Attributes:
      stop: an event; set when the run is to save and stop.
      callbacks: of the caller's; see `RunLog`.
      lease: to be entered before `claim`, and left when all is written.
    """

    def __init__(
        self,
        experiment: Experiment,
        directory: pathlib.Path,
        distribution: Distribution = SINGLE_DEVICE,
    ):
        self.experiment, self.directory = experiment, directory
        self.config = self.own_config = experiment.config
        if not distribution.is_main_process:
            self.own_config = dataclasses.replace(
                self.config, workdir=str(directory)
            )
        self.distribution = distribution
        self.augmentation = policy.choose(self.config)
        plan = run_directory.plan_hash(self.config, experiment.description)
        self.lease = Lease(directory, plan, self.config.take_over)
        self.progress = start_of(self.plan)
        self.progress_line = ProgressLine(experiment, self.augmentation.mirrors)
        self.rate = self.peak = None  # unknown until found, if --lr says so
        self.stop, self.callbacks = threading.Event(), ()

    @property
    def plan(self) -> Plan:
        """The run as far as it is decided."""
        return self.experiment.plan

    def build(self) -> None:
        """Makes and compiles the network; says what trains on what.

        Raises:
          UserError: an order names what cannot be used, the network breaks a
            rule that `--enforce_rules` enforces, or TensorBoard is wanted and
            not installed.
        """
        self.experiment.find_orders()
        config, machine = self.config, devices.find_machine()
        dtype, why = devices.choose_precision(config.precision, machine)
        devices.seed_everything(config.seed, config.deterministic)
        with self.distribution.scope():
            self.compiled = compile_model(
                self.experiment,
                machine,
                dtype,
                synchronized=self.distribution.strategy is not None,
            )
        self.model = self.compiled.model
        self.evaluator = Evaluator(
            self.model, self.experiment.data, self.distribution
        )
        self.log = RunLog(
            self.directory, config.tensorboard, self.plan.steps, self.callbacks
        )
        self.checkpoints = CheckpointManager(
            self.directory,
            self.lease,
            self.model,
            self.compiled.accuracy,
            devices.numerics(machine) | {"policy": dtype},
            60 * config.checkpoint_minutes,
            run_directory.rescue_folder(config)
            if self.distribution.processes == 1
            else None,
        )
        if not config.finds_rate:
            self.follow(config.lr)
        say(
            f"{config.model}, {self.model.count_params():,} parameters, on "
            f"{self.distribution.summary(machine.name)} in {dtype} ({why})"
        )
        if not self.augmentation.is_reproducible:
            say(policy.NOT_REPRODUCIBLE)

    def claim(self) -> None:
        """Makes the directory this run's; writes what is known before step 1.

        Raises:
          UserError: it holds another run, or cannot be written.
        """
        run_directory.claim(self.own_config, self.experiment.description)
        # Or others would read what --restart deletes.
        self.distribution.barrier()
        run_files.write_inputs(self)

    def resume(self, directory: pathlib.Path) -> None:
        """Goes on from the newest checkpoint of a run, if there is one.

        directory: of the run; the same in all processes.
        """
        self.progress = self.checkpoints.restore(directory, self.plan)
        step = self.progress.step
        self.distribution.check_agreement(self.checkpoints.plan_hash, step)
        if self.plan.rules:
            deciding.replan(self)
        plan = self.plan
        if self.progress.found_rates:
            self.follow(self.progress.found_rates)
        run_files.write_schedule(self)
        self.attempt("log", self.log.begin, self.model, self.progress.rows)
        if step:
            stage = plan.stage_at(min(step, plan.steps - 1))
            say(
                f"resuming at step {step} of {plan.steps}, stage "
                f"{stage.index + 1} of {len(plan.stages)}"
            )

    def stages(self) -> Iterator[Stage]:
        """Yields the stages that are left, each once the one before is over."""
        while self.progress.step < self.plan.steps:
            yield self.plan.stage_at(self.progress.step)

    def evaluations(self, stage: Stage) -> Iterator[int]:
        """Yields the steps after which to evaluate, until the stage is over."""
        while steps := self.plan.evaluations(
            self.plan.stages[stage.index], self.progress.step
        ):
            yield steps[0]

    def begin(self, stage: Stage) -> None:
        """Does all that happens before a stage's first step.

        Or before the first step of a resumed process within the stage.
        """
        progress = self.progress
        if progress.begun < stage.index:  # else it was, before a resume
            if stage.index:
                self.compiled.restart(self.experiment, stage)
            found_rate = rate_search.find_rate(self, stage)
            progress.begun = stage.index
            if found_rate:  # which a run that goes on does not search again
                self.checkpoints.save(progress, best=progress.is_best)
        began = time.monotonic()
        self.batches = self.make_batches(stage)
        self.checkpoints.model = self.compiled.trained
        seconds = time.monotonic() - began
        progress.stage_seconds[stage.index] += seconds
        progress.boundary_seconds[stage.index] += seconds
        self.first_segment = True  # whose first batch waits for the compiler

    def make_batches(self, stage: Stage):
        """Prepares the step for a stage; returns what makes its batches."""
        with self.distribution.scope():
            self.compiled.prepare_step(stage)
        return stage_batches(
            self.experiment, stage, self.augmentation, self.model
        )

    def fit(self, stage: Stage, end: int) -> dict[str, float]:
        """Trains from the present step to `end`, within `stage`.

        Returns:
          The training loss and accuracy since the last evaluation.

        Raises:
          KeyboardInterrupt: the run is to stop, and has saved.
          UserError: the loss is not finite.
        """
        progress = self.progress
        steps = callbacks.StepCallback(
            first_step=progress.step,
            last_step=end,
            restore_metrics=self.checkpoints.restore_metrics,
            show=lambda step, loss: self.progress_line.show(
                stage, step, loss, self.rate.at(step - 1)["lr"]
            ),
            save_due=self.checkpoints.due,
            save=lambda step, seconds: self.checkpoints.save(
                progress.after(stage, step, seconds), within=True
            ),
            stop=self.stop,
        )
        self.progress_line.start(progress.step)
        model = self.compiled.trained
        history = model.fit(
            self.distribution.shard(self.batches(progress.step, end)),
            verbose=0,
            shuffle=False,  # Keras warns of its own default for datasets
            callbacks=CallbackList(
                [self.rate, *self.log.begin_segment(progress.step), steps],
                add_history=True,
                model=model,
            ),
        ).history
        self.progress = progress.after(stage, end, steps.seconds)
        if self.first_segment:
            first_batch = steps.first_batch_seconds
            self.progress.boundary_seconds[stage.index] += first_batch
            self.first_segment = False
        loss = check_finite(history["loss"][-1], end)
        return {"loss": loss, "accuracy": history["accuracy"][-1]}

    def evaluate(self, stage: Stage, training: dict[str, float]) -> None:
        """Validates; adds a row to the log, and saves where that is due.

        Args:
          training: what `fit` returned.

        Raises:
          KeyboardInterrupt: the run is to stop, and has saved.
        """
        progress = self.progress
        row = make_row(
            self.experiment,
            stage,
            progress,
            self.rate.at(progress.step - 1),
            training,
            self.compiled.validate(self.experiment, self.evaluator, stage),
            self.checkpoints.wall_seconds(progress),
        )
        progress.rows.append(row)
        self.attempt("log", self.log.add, progress.rows)
        self.progress_line.say_row(stage, row)
        stage = deciding.decide(self, stage)
        best = row["val_accuracy"] > progress.best_accuracy
        if best:
            progress.best_accuracy = row["val_accuracy"]
        over = progress.step == stage.last_step
        asked = self.model.stop_training and progress.step < self.plan.steps
        stop = asked or self.stop.is_set()
        if best or over or stop or self.checkpoints.due():
            self.checkpoints.save(progress, best=best)
        if stop:
            raise KeyboardInterrupt

    def follow(self, peak: float | list[float]) -> None:
        """Sets the schedule, up to one highest rate or to one a stage."""
        self.peak, names = peak, self.experiment.network.group_names
        tables = make_rate_tables(self.config, self.plan, peak, names)
        self.rate = callbacks.CyclicLearningRate(tables)

    def attempt(self, what: str, write, *arguments) -> None:
        """Calls what writes a file; a disk that refuses it is a warning."""
        step = self.progress.step
        self.checkpoints.attempt(what, step, lambda: write(*arguments))
