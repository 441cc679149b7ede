"""One network, its optimizer and its progress, through every stage of a run."""

import contextlib
import dataclasses
import pathlib
import time

import keras
import numpy as np

import smartgrowth
from smartgrowth import UserError
from smartgrowth.config import Config
from smartgrowth.curriculum.choose import (
    hard_images,
    sample_order,
    write_orders,
)
from smartgrowth.data.augment import policy
from smartgrowth.data.store import Data
from smartgrowth.evaluation import results
from smartgrowth.evaluation.evaluator import Evaluator
from smartgrowth.models import audit
from smartgrowth.models.network import Network
from smartgrowth.optim import stage_restart
from smartgrowth.optim.rates import make_tables
from smartgrowth.plan import Plan, Stage
from smartgrowth.runs import files
from smartgrowth.runs.directory import claim
from smartgrowth.runtime import devices, keras_internals
from smartgrowth.runtime.distribution import ALONE, Team
from smartgrowth.training import callbacks, compile_model, lr_finder, preview
from smartgrowth.training.batches import Batches
from smartgrowth.training.checkpointing import Keeper, Progress
from smartgrowth.training.progress_line import ProgressLine, check_finite


class Learner:
    """What a run trains, and the steps that the driver takes with it."""

    def __init__(
        self,
        config: Config,
        data: Data,
        plan: Plan,
        network: Network,
        classes: np.ndarray,
        directory: pathlib.Path,
        plan_hash: str,
        team: Team = ALONE,
    ):
        self.team = team
        self.config, self.data, self.plan = config, data, plan
        self.network, self.classes, self.directory = network, classes, directory
        self.batches = Batches(
            config,
            data,
            classes,
            sample_order(config, data),
            hard_images(config, data),
        )
        self.machine = machine = devices.find_machine()
        self.policy, why = devices.choose_precision(config.precision, machine)
        devices.prepare(config.seed, config.deterministic)
        with team.scope():
            made = compile_model.compile_network(
                config,
                network,
                data,
                machine,
                self.policy,
                synchronized=team.strategy is not None,
            )
        self.model, self.optimizer = made.model, made.optimizer
        self.averages = made.averages
        self._enforce_rules()
        self.rate = None  # until it is found, if --lr says so
        if not config.finds_rate:
            self.set_rate(config.lr)
        self.evaluator = Evaluator(self.model, data, team)
        self.board = None
        if config.tensorboard:
            self.board = callbacks.open_tensorboard(directory, self.model)
        self.line = ProgressLine(plan)
        self.keeper = Keeper(
            directory,
            plan_hash,
            self.model,
            made.accuracy,
            devices.describe_numerics() | {"policy": self.policy},
            60 * config.checkpoint_minutes,
            self.line.say,
        )
        zeros = [0.0] * len(plan.stages)
        self.progress = Progress(zeros, list(zeros))
        self.compiled = None  # index of the stage whose shapes are compiled
        self.stop = None  # an event, while the run can be stopped
        print(
            f"{config.model}, {self.model.count_params():,} parameters, on "
            f"{team.describe(machine.name)} in {self.policy} ({why})"
        )
        if not self.batches.augmentation.is_reproducible:
            print(policy.NOT_REPRODUCIBLE)

    def _enforce_rules(self) -> None:
        if self.config.enforce_rules:
            epochs = self.plan.epochs(len(self.data.train.labels))
            size = self.config.final_size
            ids = self.data.train.ids
            audit.enforce(audit.audit(self.model, epochs, size, ids))

    def set_rate(self, rate: float | list[float]) -> None:
        """Follows the schedule up to a highest rate, or one a stage."""
        begins = [stage.first_step for stage in self.plan.stages[1:]]
        self.rate = callbacks.CyclicLearningRate(
            *make_tables(self.config, self.plan, rate),
            forgets_at=begins if self.config.stage_restart != "none" else (),
        )

    def enter(self, stage: Stage) -> None:
        """Does what `--stage_restart` says, before the stage's first step.

        The same noise again if a run goes on from there.
        """
        how, progress = self.config.stage_restart, self.progress
        if how == "none" or stage.index <= progress.restarted:
            return
        stage_restart.RESTARTS[how](
            self.optimizer,
            self.model.trainable_variables,
            np.random.default_rng([self.config.seed, 4, stage.index]),
        )
        if self.averages and how == "shrink_perturb":
            self.averages.start_anew()
        progress.restarted = stage.index

    def choose_rate(self, stage: Stage) -> None:
        """Finds the rate before a stage, if `--lr` says so and none is known.

        Kept in a checkpoint at once: a run that goes on does not search again.
        """
        progress, found = self.progress, self.progress.found_rates
        every = self.config.lr == "auto:stage"
        if not self.config.finds_rate or len(found) > every * stage.index:
            return
        tested = stage
        if not every:
            tested = lr_finder.stage_to_test(self.plan, self.config.lr)
        curve = self.test_rates(tested)
        self.line.say(lr_finder.describe(curve))
        found.append(lr_finder.choose(curve, found))
        if not curve.suggestions:
            self.line.say(f"the rate of the stage before stays: {found[-1]:g}")
        self.set_rate(found)
        self.write_schedule()
        last = progress.rows[-1]["val_accuracy"] if progress.rows else None
        self.keeper.save(progress, best=last == progress.best_accuracy)

    def test_rates(self, stage: Stage) -> lr_finder.Curve:
        """The loss on a stage's batches at rising rates; changes nothing."""
        self.line.say(
            f"testing learning rates on stage {stage.index + 1}, up to "
            f"{lr_finder.STEPS} steps"
        )
        self.compile_step(stage)
        self.compiled = None
        first, config = stage.first_step, self.config
        batches = self.team.own_rows(
            self.batches.of(stage, first, first + lr_finder.BATCHES)
        )
        return lr_finder.run_range_test(
            self.model,
            batches.as_numpy_iterator(),
            lr_finder.rising_rates(config.lr_min, config.lr_max),
            first_step=self.progress.step,
            variables=self.keeper.variables,
            stop=self.stop,
            say=self.line.say,
        )

    def compile_step(self, stage: Stage) -> None:
        """Anew, once a stage: kept, its shapes would relax to unknown."""
        several = len(set(stage.sizes)) > 1
        self.model.steps_per_execution = devices.steps_at_once(
            self.machine, several
        )
        self.model.train_function = None  # `fit` makes another
        if several:
            keras_internals.compile_each_shape(self.model)
        self.compiled = stage.index

    def fit(self, stage: Stage, end: int) -> dict[str, float]:
        """Trains from the present step to `end`, within `stage`.

        Returns the training loss and accuracy since the last evaluation.
        """
        progress, began = self.progress, time.monotonic()
        entering = self.compiled != stage.index
        if entering:
            self.compile_step(stage)
        batches = self.team.own_rows(self.batches.of(stage, progress.step, end))
        clock = callbacks.BatchClock(
            first_step=progress.step,
            last_step=end,
            began=began,
            restore=self.keeper.restore_metrics,
            show=lambda step, loss: self.line.show(
                stage, step, loss, self.rate.at(step - 1)["lr"]
            ),
            due=self.keeper.due,
            save=lambda step, seconds: self.keeper.save(
                progress.after(stage, step, seconds), within=True
            ),
            stop=self.stop,
        )
        self.line.start(progress.step)
        history = self.model.fit(
            batches,
            verbose=0,
            shuffle=False,  # Keras warns of its own default for datasets
            callbacks=callbacks.Callbacks(
                [self.rate, clock], add_history=True, model=self.model
            ),
        ).history
        self.progress = progress.after(stage, end, clock.seconds)
        if entering:
            self.progress.boundary_seconds[stage.index] += clock.first_batch
        loss = check_finite(history["loss"][-1], end)
        return {"loss": loss, "accuracy": history["accuracy"][-1]}

    def evaluate(self, stage: Stage, logs: dict[str, float]) -> None:
        """Adds a row to the log; saves at a stage's end, a new best, or if due.

        Raises KeyboardInterrupt if the run is to stop, once it has saved.
        """
        progress, size = self.progress, self.config.final_size
        entered = self.classes[: stage.num_classes]
        with self.judged():
            figures = self.evaluator.validate(size, stage.image_size, entered)
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
            "wall_seconds": self.keeper.wall_seconds(progress),
        }
        if self.averages:
            raw = self.evaluator.validate(size, size, entered)
            row |= {name: raw[name[4:]] for name in files.RAW_COLUMNS}
        progress.rows.append(row)
        self.keeper.write_log(progress)
        if self.board:
            self.board.on_epoch_end(progress.step, row)
        self.line.say_row(stage, row)
        best = row["val_accuracy"] > progress.best_accuracy
        if best:
            progress.best_accuracy = row["val_accuracy"]
        over = progress.step == stage.last_step
        stop = self.stop.is_set()
        if best or over or stop or self.keeper.due():
            self.keeper.save(progress, best=best)
        if stop:
            raise KeyboardInterrupt

    def judged(self):
        """While entered, the model has the weights that are validated."""
        if self.averages:
            return self.averages.in_place()
        return contextlib.nullcontext()

    def claim(self, description: dict) -> None:
        """Makes the directory this run's; writes what is known before step 1.

        description: of the plan.
        """
        config = self.config
        if not self.team.leads:
            config = dataclasses.replace(config, workdir=str(self.directory))
        claim(config, description)
        self.team.meet()  # or others would read what --restart deletes
        if self.rate:
            self.write_schedule()
        with self.keeper.tolerate("data report", 0):
            files.write_json(
                self.directory / files.DATA_REPORT, self.data.report()
            )
            write_orders(config, self.data, self.classes, self.batches.samples)

    def write_schedule(self) -> None:
        """Rate and momentum over the run, as far as they are known."""
        shown = np.unique(np.linspace(0, self.plan.steps - 1, 1000).astype(int))
        rows = [{"step": int(s)} | self.rate.at(s) for s in shown]
        with self.keeper.tolerate("schedule", self.progress.step):
            files.write_csv(
                self.directory / files.SCHEDULE,
                ("step", "lr", "momentum"),
                rows,
            )

    def resume(self, directory: pathlib.Path) -> int:
        """Goes on from a run directory's newest checkpoint, if there is one.

        Returns the step.
        """
        self.progress = self.keeper.load(self.progress, directory)
        step = self.progress.step
        self.team.agree(self.keeper.plan_hash, step)
        if self.progress.found_rates:
            self.set_rate(self.progress.found_rates)
            self.write_schedule()
        if step:
            stage = self.plan.stage_at(min(step, self.plan.steps - 1))
            print(
                f"resuming at step {step} of {self.plan.steps}, stage "
                f"{stage.index + 1} of {len(self.plan.stages)}"
            )
        return step

    def finish(self) -> None:
        """Writes the trained model, its predictions and the final figures."""
        progress = self.progress
        if self.board:
            self.board.on_train_end()
        try:
            shown = preview.variants(
                self.data,
                self.config.final_size,
                self.batches.augmentation.variants,
            ) + preview.batches(self.batches, self.plan)
            path = self.directory / files.AUGMENTATION
            path.write_bytes(preview.png(shown))
            with self.judged():
                results.write_results(
                    self.directory,
                    self.evaluator,
                    self.network,
                    progress.rows[-1],
                    size=self.config.final_size,
                    mirrored=self.batches.augmentation.mirrors,
                    facts=self._facts(),
                )
        except OSError as error:
            raise UserError(
                f"--workdir={self.directory}: cannot write the results "
                f"({error.strerror or error}); make room and give the command "
                "again, the training is kept"
            ) from error

    def _facts(self) -> dict:
        """What metrics.json holds besides the figures."""
        progress = self.progress
        return {
            "native_size": self.data.native_size,
            "train_seconds": progress.train_seconds,
            "wall_seconds": self.keeper.wall_seconds(progress),
            "stage_seconds": progress.stage_seconds,
            "boundary_seconds": progress.boundary_seconds,
            "found_rates": progress.found_rates,
            "numerics": self.keeper.numerics,
            "versions": {
                "smartgrowth": smartgrowth.__version__,
                "keras": keras.__version__,
            },
        }
