"""One network, its optimizer and its progress, through every stage of a run.

What fires when, of a run that `train.train` drives:

    build        the network, on its devices
    claim        the run directory; flags.txt, plan.json, schedule.csv
    resume       the newest checkpoint, its rows of log.csv
    stage:
      begin      --stage_restart, range test of --lr=auto:stage, a checkpoint
                 if it found a rate; the stage's images, the compiled step
      segment:
        fit      batches: progress line, checkpoints every some minutes, stop
        evaluate validation; a row to log.csv and TensorBoard; a checkpoint at
                 a best, at the stage's end and every some minutes
    finish       final.keras, predictions, metrics.json
"""

import dataclasses
import pathlib
import threading
import time

import numpy as np

from smartgrowth import UserError
from smartgrowth.curriculum import choose
from smartgrowth.data.augment import policy
from smartgrowth.evaluation import results
from smartgrowth.evaluation.evaluator import Evaluator
from smartgrowth.experiment import Experiment
from smartgrowth.models import audit
from smartgrowth.optim.rates import make_rate_tables
from smartgrowth.optim.stage_restart import RESTARTS
from smartgrowth.plan import Stage
from smartgrowth.runs import directory as run_directory
from smartgrowth.runs import files
from smartgrowth.runtime import devices
from smartgrowth.runtime.distribution import SINGLE_DEVICE, Distribution
from smartgrowth.runtime.keras_internals import (
    CallbackList,
    discard_train_function,
    train_each_shape,
)
from smartgrowth.runtime.reporter import say
from smartgrowth.training import callbacks, lr_finder, preview
from smartgrowth.training.batches import StageBatches
from smartgrowth.training.checkpointing import CheckpointManager, start_of
from smartgrowth.training.compile_model import compile_model
from smartgrowth.training.csv_logger import RunLogger
from smartgrowth.training.progress_line import ProgressLine, check_finite


class Learner:
    """Trains the network of an experiment, stage by stage.

    Making one does nothing yet; `build` makes the network.

    Args:
      directory: where this process writes.
      distribution: the devices that share every batch.

    Attributes:
      stop: an event; set when the run is to save and stop.
    """

    def __init__(
        self,
        experiment: Experiment,
        directory: pathlib.Path,
        distribution: Distribution = SINGLE_DEVICE,
    ):
        self.experiment, self.directory = experiment, directory
        self.config, self.plan = experiment.config, experiment.plan
        self.distribution = distribution
        self.augmentation = policy.choose(experiment.config)
        self.progress = start_of(experiment.plan)
        self.progress_line = ProgressLine(experiment.plan)
        self.rate = None  # unknown until it is found, if --lr says so
        self.stop = threading.Event()

    def build(self) -> None:
        """Makes and compiles the network; says what trains on what.

        Raises:
          UserError: it breaks a rule that `--enforce_rules` enforces.
        """
        config, experiment = self.config, self.experiment
        self.machine = devices.find_machine()
        policy_name, why = devices.choose_precision(
            config.precision, self.machine
        )
        devices.seed_everything(config.seed, config.deterministic)
        with self.distribution.scope():
            compiled = compile_model(
                experiment,
                self.machine,
                policy_name,
                synchronized=self.distribution.strategy is not None,
            )
        self.model, self.optimizer = compiled.model, compiled.optimizer
        self.ema = compiled.ema
        if config.enforce_rules:
            audit.enforce(audit.audit_experiment(self.model, experiment))
        self.evaluator = Evaluator(
            self.model, experiment.data, self.distribution
        )
        self.checkpoints = CheckpointManager(
            self.directory,
            experiment.description["hash"],
            self.model,
            compiled.accuracy,
            devices.numerics() | {"policy": policy_name},
            60 * config.checkpoint_minutes,
        )
        if not config.finds_rate:
            self._follow(config.lr)
        say(
            f"{config.model}, {self.model.count_params():,} parameters, on "
            f"{self.distribution.summary(self.machine.name)} in {policy_name} "
            f"({why})"
        )
        if not self.augmentation.is_reproducible:
            say(policy.NOT_REPRODUCIBLE)

    def claim(self) -> None:
        """Makes the directory this run's; writes what is known before step 1.

        Raises:
          UserError: it holds another run, or cannot be written.
        """
        config, experiment = self.config, self.experiment
        if not self.distribution.is_main_process:
            config = dataclasses.replace(config, workdir=str(self.directory))
        run_directory.claim(config, experiment.description)
        # Or others would read what --restart deletes.
        self.distribution.barrier()
        self._write_schedule()
        with self.checkpoints.tolerate("data report", 0):
            files.write_json(
                self.directory / files.DATA_REPORT, experiment.data.report()
            )
            choose.write_orders(
                config,
                experiment.data,
                experiment.class_order,
                experiment.image_order,
            )

    def resume(self, directory: pathlib.Path) -> int:
        """Goes on from the newest checkpoint of a run, if there is one.

        Args:
          directory: of the run; the same in all processes.

        Returns:
          The step at which it goes on, 0 without a checkpoint.
        """
        self.progress = self.checkpoints.restore(directory, self.plan)
        step, plan = self.progress.step, self.plan
        self.distribution.check_agreement(self.checkpoints.plan_hash, step)
        if self.progress.found_rates:
            self._follow(self.progress.found_rates)
            self._write_schedule()
        self._open_log()
        if step:
            stage = plan.stage_at(min(step, plan.steps - 1))
            say(
                f"resuming at step {step} of {plan.steps}, stage "
                f"{stage.index + 1} of {len(plan.stages)}"
            )
        return step

    def begin(self, stage: Stage) -> None:
        """Does all that happens before a stage's first step, or at a resume."""
        progress = self.progress
        if progress.begun < stage.index:  # else it was, before a resume
            self._restart(stage)
            found_rate = self._find_rate(stage)
            progress.begun = stage.index
            if found_rate:  # which a run that goes on does not search again
                self.checkpoints.save(progress, best=progress.is_best)
        began = time.monotonic()
        self.batches = StageBatches(self.experiment, stage, self.augmentation)
        self._prepare_step(stage)
        self._count_boundary(stage, time.monotonic() - began)
        progress.stage_seconds[stage.index] += time.monotonic() - began
        self.first_segment = True  # whose first batch waits for the compiler

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
        history = self.model.fit(
            self.distribution.shard(self.batches.dataset(progress.step, end)),
            verbose=0,
            shuffle=False,  # Keras warns of its own default for datasets
            callbacks=CallbackList(
                [self.rate, steps], add_history=True, model=self.model
            ),
        ).history
        self.progress = progress.after(stage, end, steps.seconds)
        if self.first_segment:
            self._count_boundary(stage, steps.first_batch_seconds)
            self.first_segment = False
        loss = check_finite(history["loss"][-1], end)
        return {"loss": loss, "accuracy": history["accuracy"][-1]}

    def evaluate(self, stage: Stage, logs: dict[str, float]) -> None:
        """Validates; adds a row to the log, and saves where it is due.

        Args:
          logs: what `fit` returned.

        Raises:
          KeyboardInterrupt: the run is to stop, and has saved.
        """
        progress = self.progress
        row = self._make_row(stage, logs)
        progress.rows.append(row)
        for logger in self.loggers:
            with self.checkpoints.tolerate("log", progress.step):
                logger.on_epoch_end(progress.step, row)
        self.progress_line.say_row(stage, row)
        best = row["val_accuracy"] > progress.best_accuracy
        if best:
            progress.best_accuracy = row["val_accuracy"]
        over = progress.step == stage.last_step
        stop = self.stop.is_set()
        if best or over or stop or self.checkpoints.due():
            self.checkpoints.save(progress, best=best)
        if stop:
            raise KeyboardInterrupt

    def finish(self) -> None:
        """Writes the trained model, its predictions and the final figures.

        Raises:
          UserError: the disk refuses them; the training is kept.
        """
        for logger in self.loggers:
            logger.on_train_end()
        try:
            sheet = preview.run_sheet(self.experiment, self.augmentation)
            files.write_bytes(self.directory / files.AUGMENTATION, sheet)
            with self._validated_weights():
                results.write_results(
                    self.directory,
                    self.evaluator,
                    self.experiment,
                    self.progress.rows[-1],
                    mirrored=self.augmentation.mirrors,
                    facts=self._facts(),
                )
        except OSError as error:
            raise UserError(
                f"--workdir={self.directory}: cannot write the results "
                f"({error.strerror or error}); make room and give the command "
                "again, the training is kept"
            ) from error

    def test_rates(self, stage: Stage) -> lr_finder.Curve:
        """Returns the loss on a stage's batches at rising rates.

        Network, optimizer and progress are as before when it returns.
        """
        say(
            f"testing learning rates on stage {stage.index + 1}, up to "
            f"{lr_finder.STEPS} steps"
        )
        self._prepare_step(stage)
        first, config = stage.first_step, self.config
        batches = StageBatches(self.experiment, stage, self.augmentation)
        batches = batches.dataset(first, first + lr_finder.BATCHES)
        return lr_finder.run_range_test(
            self.model,
            self.distribution.shard(batches).as_numpy_iterator(),
            lr_finder.rising_rates(config.lr_min, config.lr_max),
            first_step=self.progress.step,
            variables=self.checkpoints.variables,
            stop=self.stop,
        )

    def _restart(self, stage: Stage) -> None:
        """Does what `--stage_restart` says, with noise of the stage's own."""
        how = self.config.stage_restart
        if how == "none" or stage.index == 0:
            return
        RESTARTS[how](
            self.optimizer,
            self.model.trainable_variables,
            np.random.default_rng([self.config.seed, 4, stage.index]),
        )
        if self.ema and how == "shrink_perturb":
            self.ema.reset()

    def _find_rate(self, stage: Stage) -> bool:
        """Finds the rate before a stage where `--lr` says so.

        Returns:
          Whether it searched.
        """
        rates, lr = self.progress.found_rates, self.config.lr
        if lr == "auto" and stage.index == 0:
            tested = lr_finder.stage_to_test(self.plan, lr)
        elif lr == "auto:stage":
            tested = stage
        else:
            return False
        curve = self.test_rates(tested)
        say(lr_finder.summary(curve))
        rates.append(lr_finder.choose(curve, rates))
        if not curve.suggestions:
            say(f"the rate of the stage before stays: {rates[-1]:g}")
        self._follow(rates)
        self._write_schedule()
        return True

    def _follow(self, peak: float | list[float]) -> None:
        """Sets the schedule: up to one highest rate, or to one a stage."""
        tables = make_rate_tables(self.config, self.plan, peak)
        self.rate = callbacks.CyclicLearningRate(tables)

    def _write_schedule(self) -> None:
        if self.rate:
            with self.checkpoints.tolerate("schedule", self.progress.step):
                files.write_schedule(self.directory, self.rate.tables)

    def _open_log(self) -> None:
        """Opens what takes a row an evaluation, as the end of an epoch."""
        log = RunLogger(self.directory)
        self.loggers = [log]
        if self.config.tensorboard:
            self.loggers.append(callbacks.make_tensorboard(self.directory))
        for logger in self.loggers:
            logger.set_model(self.model)
            logger.on_train_begin()
        if self.progress.step:
            with self.checkpoints.tolerate("log", self.progress.step):
                log.restore(self.progress.rows)

    def _prepare_step(self, stage: Stage) -> None:
        """Has the step compiled anew: kept, its shapes would relax."""
        several = len(set(stage.sizes)) > 1
        self.model.steps_per_execution = devices.steps_per_execution(
            self.machine, several
        )
        discard_train_function(self.model)
        if several:
            train_each_shape(self.model)

    def _count_boundary(self, stage: Stage, seconds: float) -> None:
        self.progress.boundary_seconds[stage.index] += seconds

    def _make_row(self, stage: Stage, logs: dict[str, float]) -> dict:
        """Returns a row of log.csv: the training's figures, and a validation."""
        progress, size = self.progress, self.config.final_size
        active = self.experiment.active_classes(stage)
        with self._validated_weights():
            figures = self.evaluator.validate(size, stage.image_size, active)
        row = {
            "step": progress.step,
            "stage": stage.index,
            "image_size": stage.image_size,
            "num_classes": stage.num_classes,
            "num_images": stage.num_images,
            "batch_size": stage.batch_size,
            **self.rate.at(progress.step - 1),
            "train_loss": logs["loss"],
            "train_accuracy": logs["accuracy"],
            **figures,
            "images_seen": self.plan.images_seen(progress.step),
            "gflops": self.plan.gflops(progress.step),
            "train_seconds": progress.train_seconds,
            "wall_seconds": self.checkpoints.wall_seconds(progress),
        }
        if self.ema:
            raw = self.evaluator.validate(size, size, active)
            row |= {
                name: raw[name.removeprefix("raw_")]
                for name in files.RAW_COLUMNS
            }
        return row

    def _validated_weights(self):
        """While entered, the model has the weights that are validated."""
        if self.ema:
            return self.ema.swap_weights()
        return contextlib.nullcontext()

    def _facts(self) -> dict:
        """Returns what metrics.json holds besides the figures."""
        progress = self.progress
        return {
            "native_size": self.experiment.data.native_size,
            "train_seconds": progress.train_seconds,
            "wall_seconds": self.checkpoints.wall_seconds(progress),
            "stage_seconds": progress.stage_seconds,
            "boundary_seconds": progress.boundary_seconds,
            "found_rates": progress.found_rates,
            "numerics": self.checkpoints.numerics,
        }
