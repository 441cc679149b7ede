"""The compiled network of a run: its model, optimizer, metric and averages."""

import dataclasses

import keras

from smartgrowth.config import Config
from smartgrowth.models.network import Network
from smartgrowth.optim import ema, losses, optimizers
from smartgrowth.runtime import devices


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What a step changes.

    optimizer: of the model, without the wrapping of float16's loss scale.
    accuracy: the metric. averages: of the weights, or None.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    accuracy: keras.metrics.Metric
    averages: ema.Averages | None


def compile_network(
    config: Config,
    network: Network,
    data,
    machine: devices.Machine,
    policy: str,
    synchronized: bool,
) -> Compiled:
    """Builds and compiles a network; to be called in its strategy's scope.

    Args:
      data: with the mean and variance of its channels.
      policy: the dtype policy's name.
      synchronized: as `Network.build` takes it.
    """
    model = network.build(
        data.mean, data.variance, policy, synchronized=synchronized
    )
    if config.ema:
        model = ema.AveragedModel(model.input, model.output, name=model.name)
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
        jit_compile=devices.compiles(machine),
        auto_scale_loss=False,
    )
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    averages = None
    if config.ema:
        averages = ema.Averages(model, optimizer, config.ema)
    return Compiled(model, optimizer, accuracy, averages)
