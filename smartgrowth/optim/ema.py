"""The moving average of a network's weights, updated within the training step.

Keras' own (`use_ema`) leaves out the statistics of batch norm, and is written
into the weights at each end of `fit`: of every segment here.
"""

import contextlib
from collections.abc import Iterator, Sequence

import keras
import numpy as np
from keras import ops


class EMAModel(keras.Model):
    """A functional model whose training step updates its `WeightEMA`."""

    ema = None

    def train_step(self, *arguments):
        if keras.backend.backend() != "jax":
            logs = super().train_step(*arguments)
            self.ema.update()
            return logs
        # JAX hands the state of all variables through its step.
        logs, state = super().train_step(*arguments)
        trainable, fixed, optimizer, metrics = state
        mapping = [
            *zip(self.trainable_variables, trainable, strict=True),
            *zip(self.non_trainable_variables, fixed, strict=True),
            *zip(self.optimizer.variables, optimizer, strict=True),
        ]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            self.ema.update()
        optimizer = [
            scope.get_current_value(variable)
            for variable in self.optimizer.variables
        ]
        return logs, (trainable, fixed, optimizer, metrics)


class WeightEMA:
    """An exponential moving average of every weight and statistic of a model.

    a <- a + (w - a) (1 - min(decay, (1 + n) / (10 + n))) after the n-th step
    since the last reset: at first it follows quickly, as TensorFlow's
    ExponentialMovingAverage does when it is given the number of updates. Kept
    among the optimizer's variables, so that checkpoints and range tests treat
    it as they treat those.

    Args:
      model: built; its present weights are the first average.
      optimizer: built, with `iterations` as the run's clock.
      decay: from 0 to 1, what stays in a step.
      resets: steps before which `reset` is called. Known beforehand, so that
        the steps since then follow from `iterations` and need no variable.
    """

    def __init__(
        self,
        model: EMAModel,
        optimizer,
        decay: float,
        resets: Sequence[int] = (),
    ):
        self.optimizer, self.decay = optimizer, decay
        self.resets = tuple(resets)
        self.weights = [
            weight
            for weight in model.variables
            # Not the state of a generator of random numbers.
            if keras.backend.is_float_dtype(weight.dtype)
        ]
        self.averages = [
            optimizer.add_variable(
                weight.shape,
                dtype=weight.dtype,
                # Each device has the same; none need to be reduced.
                aggregation="only_first_replica",
                name="average",
            )
            for weight in self.weights
        ]
        self.reset()
        model.ema = self

    def reset(self) -> None:
        """Makes the present weights the average, at one of `resets`."""
        for average, weight in zip(self.averages, self.weights, strict=True):
            # A copy, for JAX: what runs a step takes over the memory of weights
            # and averages, which must not be one and the same.
            average.assign(np.array(weight))

    def update(self) -> None:
        """Moves the average towards the weights, once after every update."""
        step = ops.cast(self.optimizer.iterations, "float32")
        begins = np.array([0, *self.resets], np.float32)
        # Steps since the latest of the beginnings that are over.
        count = ops.min(ops.where(begins < step, step - begins, step))
        decay = ops.minimum(self.decay, (1.0 + count) / (10.0 + count))
        for average, weight in zip(self.averages, self.weights, strict=True):
            move = (weight - average) * ops.cast(1.0 - decay, average.dtype)
            average.assign(average + move)

    @contextlib.contextmanager
    def swap_weights(self) -> Iterator[None]:
        """While entered, the model's weights are their average."""
        kept = [np.array(weight) for weight in self.weights]
        for average, weight in zip(self.averages, self.weights, strict=True):
            weight.assign(np.array(average))
        try:
            yield
        finally:
            for weight, value in zip(self.weights, kept, strict=True):
                weight.assign(value)
