"""The compiled network of a run, and what is done to it between stages."""

import contextlib

import keras
import numpy as np

from smartgrowth.evaluation.evaluator import Evaluator
from smartgrowth.experiment import Experiment
from smartgrowth.models import audit, freezing, whitening
from smartgrowth.optim import ema, losses, optimizers
from smartgrowth.optim.rates import newly_trained
from smartgrowth.optim.stage_restart import RESTARTS
from smartgrowth.runs import files
from smartgrowth.runtime import devices
from smartgrowth.runtime.keras_internals import (
    compile_alike,
    discard_train_function,
    loss_metric,
    train_each_shape,
    train_only,
    unscaled_optimizer,
)
from smartgrowth.runtime.reporter import say
from smartgrowth.stages import Stage
from smartgrowth.training import pretrained


class CompiledModel:
    """What a training step changes; `compile_model` makes one.

    Attributes:
      model: the whole network.
      trained: what `fit` trains: the network, or its trained layers alone.
      optimizer: of both, without float16's loss scaling around it.
      accuracy: the metric.
      ema: the weights' moving average, or None.
      machine: what it runs on.
    """

    def __init__(
        self,
        model: keras.Model,
        accuracy: keras.metrics.Metric,
        average: ema.WeightEMA | None,
        machine: devices.Machine,
    ):
        self.model = self.trained = model
        self.optimizer = unscaled_optimizer(model)
        self.accuracy, self.ema, self.machine = accuracy, average, machine
        self.parts = {}  # layer group -> the layers from there on, as a model

    def prepare_step(self, stage: Stage) -> None:
        """Has the step compiled anew at the stage's first batch.

        Kept, its shapes would relax to unknown ones, and other layers might be
        trained.
        """
        first, *_ = freezing.train_from(self.model, stage.trainable)
        train_only(self.model)
        self.trained = self.part(first) if stage.precomputed else self.model
        # Keras resets only what the model's first step has already built.
        self.accuracy.reset_state()
        several = len(set(stage.sizes)) > 1
        self.trained.steps_per_execution = devices.steps_per_execution(
            self.machine, several, short=stage.precomputed
        )
        discard_train_function(self.trained)
        if several:
            train_each_shape(self.trained)

    def part(self, first: str) -> keras.Model:
        """Returns the layers from a layer group on, compiled as the whole is.

        Its input is what the layers before make of images.
        """
        if first not in self.parts:
            part = type(self.model)(
                freezing.input_of(self.model, first), self.model.output
            )
            compile_alike(part, self.model, self.accuracy)
            part.ema = self.ema
            self.parts[first] = part
        return self.parts[first]

    def restart(self, experiment: Experiment, stage: Stage) -> None:
        """Does to weights and optimizer what begins with a stage.

        Layers that the stage before did not train have no moments. The noise of
        `--stage_restart` is the stage's own, the same if a run does it again.
        """
        names = experiment.network.group_names
        freezing.train_from(self.model, stage.trainable)
        new = newly_trained(experiment.plan, stage.index, names)
        self.optimizer.reset_moments(freezing.variables_of(self.model, new))
        config = experiment.config
        how = config.stage_restart
        if how == "none":
            return
        noise = np.random.default_rng([config.seed, 4, stage.index])
        RESTARTS[how](self.optimizer, self.model.trainable_variables, noise)
        if self.ema and how == "shrink_perturb":
            self.ema.reset()

    def follow(self, experiment: Experiment) -> None:
        """Takes up a plan in which more is decided."""
        if self.ema:
            self.ema.resets = _average_resets(experiment)

    def validated_weights(self):
        """While entered, the model has the weights that are validated."""
        return self.ema.swap_weights() if self.ema else contextlib.nullcontext()

    def validate(
        self, experiment: Experiment, evaluator: Evaluator, stage: Stage
    ) -> dict[str, float]:
        """Returns the columns of log.csv that come from validation images."""
        active, config = experiment.active_classes(stage), experiment.config
        size, seen = config.final_size, config.size_seen(stage.image_size)
        with self.validated_weights():
            figures = evaluator.validate(size, seen, active)
            if experiment.plan.rules:
                figures["stage_train_accuracy"] = evaluator.accuracy(
                    experiment.clean_images(stage), seen, active
                )
        if self.ema:
            raw = evaluator.score(size)
            raw = raw.loss, raw.accuracy
            figures |= dict(zip(files.RAW_COLUMNS, raw, strict=True))
        return figures


def compile_model(
    experiment: Experiment,
    machine: devices.Machine,
    policy: str,
    synchronized: bool,
) -> CompiledModel:
    """Builds and compiles the network; to be called in its strategy's scope.

    Args:
      machine: what it will run on.
      policy: the dtype policy's name.
      synchronized: batch norm over the batch of all TensorFlow devices.

    Raises:
      UserError: the network breaks a rule that `--enforce_rules` enforces.
    """
    config, data = experiment.config, experiment.data
    mean, variance, source = data.mean, data.variance, None
    if config.init_from:
        source = pretrained.read(config.init_from)
        mean, variance = source.mean, source.variance
    model = experiment.network.build(
        mean, variance, policy, synchronized=synchronized
    )
    if source:
        say(source.load_into(model, data.class_names))
        if warning := source.warning(config):
            say(warning)
    if config.whiten:
        last = experiment.plan.stages[-1].image_size
        size = data.stored_size(config.size_seen(last))
        whitening.whiten(model, data.train.images(size), data.train.rows)
    if config.enforce_rules:
        audit.enforce(experiment.audit(model))
    if config.ema:
        model = ema.EMAModel(model.input, model.output, name=model.name)
    accuracy = losses.make_accuracy(config.label_smoothing)
    variables = model.trainable_variables
    model.compile(
        optimizer=optimizers.make_optimizer(
            config.optimizer,
            config.weight_decay,
            variables,
            loss_scale=policy == "mixed_float16",
        ),
        loss=losses.masked_crossentropy,
        metrics=[accuracy],
        jit_compile=devices.uses_xla(machine),
        auto_scale_loss=False,
    )
    optimizer = unscaled_optimizer(model)
    optimizer.set_groups(freezing.variable_groups(model, variables))
    average = None
    if config.ema:
        average = ema.WeightEMA(
            model, optimizer, config.ema, _average_resets(experiment)
        )
    return CompiledModel(model, accuracy, average, machine)


def _average_resets(experiment: Experiment) -> tuple[int, ...]:
    """Returns the steps before which `restart` begins the average anew."""
    if experiment.config.stage_restart != "shrink_perturb":
        return ()
    return tuple(stage.first_step for stage in experiment.plan.stages[1:])


def group_variables(model, accuracy) -> dict[str, list]:
    """Returns all variables that training changes, by what they belong to."""
    optimizer = unscaled_optimizer(model)
    own = {id(variable) for variable in optimizer.variables}
    return {
        "model": model.variables,
        "optimizer": optimizer.variables,
        "loss_scale": [
            variable
            for variable in model.optimizer.variables
            if id(variable) not in own
        ],
        "metrics": [*loss_metric(model).variables, *accuracy.variables],
    }
