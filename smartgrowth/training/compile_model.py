"""The compiled network of a run, and what is done to it between stages."""

import contextlib
import dataclasses

import keras
import numpy as np

from smartgrowth.config import Config
from smartgrowth.experiment import Experiment
from smartgrowth.models import audit, whitening
from smartgrowth.optim import ema, losses, optimizers
from smartgrowth.optim.stage_restart import RESTARTS
from smartgrowth.plan import Stage
from smartgrowth.runtime import devices
from smartgrowth.runtime.keras_internals import (
    discard_train_function,
    loss_metric,
    train_each_shape,
    unscaled_optimizer,
)


@dataclasses.dataclass(frozen=True)
class CompiledModel:
    """What a training step changes; `compile_model` makes one.

    optimizer: of the model, without float16's loss scaling around it.
    accuracy: the metric. ema: the weights' moving average, or None.
    machine: what it runs on.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    accuracy: keras.metrics.Metric
    ema: ema.WeightEMA | None
    machine: devices.Machine

    def prepare_step(self, stage: Stage) -> None:
        """Has the step compiled anew at the stage's first batch.

        Kept, its shapes would relax to unknown ones.
        """
        several = len(set(stage.sizes)) > 1
        self.model.steps_per_execution = devices.steps_per_execution(
            self.machine, several
        )
        discard_train_function(self.model)
        if several:
            train_each_shape(self.model)

    def restart(self, config: Config, stage: Stage) -> None:
        """Does to weights and optimizer what `--stage_restart` says.

        The noise is the stage's own, the same if a run does it again.
        """
        how = config.stage_restart
        if how == "none":
            return
        noise = np.random.default_rng([config.seed, 4, stage.index])
        RESTARTS[how](self.optimizer, self.model.trainable_variables, noise)
        if self.ema and how == "shrink_perturb":
            self.ema.reset()

    def validated_weights(self):
        """While entered, the model has the weights that are validated."""
        return self.ema.swap_weights() if self.ema else contextlib.nullcontext()


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
    model = experiment.network.build(
        data.mean, data.variance, policy, synchronized=synchronized
    )
    if config.whiten:
        size = data.stored_size(experiment.plan.stages[-1].image_size)
        whitening.whiten(model, data.train.images(size), data.train.rows)
    if config.enforce_rules:
        audit.enforce(experiment.audit(model))
    if config.ema:
        model = ema.EMAModel(model.input, model.output, name=model.name)
    accuracy = losses.make_accuracy(config.label_smoothing)
    model.compile(
        optimizer=optimizers.make_optimizer(
            config.optimizer,
            config.weight_decay,
            model.trainable_variables,
            loss_scale=policy == "mixed_float16",
        ),
        loss=losses.masked_crossentropy,
        metrics=[accuracy],
        jit_compile=devices.uses_xla(machine),
        auto_scale_loss=False,
    )
    optimizer = unscaled_optimizer(model)
    average = None
    if config.ema:
        resets = ()  # where `restart` begins the average anew
        if config.stage_restart == "shrink_perturb":
            resets = [s.first_step for s in experiment.plan.stages[1:]]
        average = ema.WeightEMA(model, optimizer, config.ema, resets)
    return CompiledModel(model, optimizer, accuracy, average, machine)


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
