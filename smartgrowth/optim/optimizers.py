"""SGD and AdamW whose learning rate and momentum follow tables.

A table has one value a step and is read inside the compiled step at
`iterations`, the run's only clock: rates survive a resume by themselves and
cost no round trip to the host. Assigning `optimizer.momentum` from a callback,
the usual way, has no effect once the step is compiled.
"""

import contextlib
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from smartgrowth import UserError


class _Tables:
    """Mixin: rate and momentum tables, indexed by `iterations`."""

    _tables = None
    _forgets_at = ()

    def install_tables(
        self, rates, momenta, forgets_at: Sequence[int] = ()
    ) -> None:
        """Sets rate and momentum of every step, before the step is compiled.

        rates, momenta: floats of shape (steps,); the last value serves any
        further steps.
        forgets_at: steps before which `forget` is called, rising.
        """
        self._forgets_at = forgets_at
        parts = np.split(np.asarray(momenta, np.float64), forgets_at)
        # beta_1's powers of Adam's bias correction, for a beta_1 that varies.
        powers = np.concatenate([np.cumprod(part) for part in parts])
        ages = np.concatenate([1 + np.arange(len(part)) for part in parts])
        self._tables = tuple(
            np.asarray(table, np.float32)
            for table in (rates, momenta, 1.0 - powers, ages)
        )

    def forget(self) -> None:
        """Sets what is remembered of earlier gradients to zero."""
        for variable in self.moments:
            variable.assign(np.zeros(variable.shape))

    @contextlib.contextmanager
    def other_tables(self, rates, momenta, step: int):
        """While entered, a step that is compiled reads these instead.

        step: the present one, `iterations`.
        """
        kept = self._tables, self._forgets_at
        before = [past for past in self._forgets_at if past <= step]
        self.install_tables(rates, momenta, before)
        try:
            yield
        finally:
            self._tables, self._forgets_at = kept

    def _now(self, index):
        table = self._tables[index]
        step = ops.minimum(self.iterations, len(table) - 1)
        return ops.take(ops.convert_to_tensor(table), step)

    def _get_current_learning_rate(self):
        if self._tables is None:
            return super()._get_current_learning_rate()
        return self._now(0)


class SGD(_Tables, keras.optimizers.SGD):
    """SGD with Nesterov momentum and decoupled weight decay.

    v <- m v - r g;  w <- w + m v - r g;  w <- w - r d w (decayed first).
    """

    @property
    def moments(self) -> list:
        return self.momentums

    def update_step(self, gradient, variable, learning_rate):
        gradient = ops.cast(gradient, variable.dtype)
        move = gradient * ops.cast(learning_rate, variable.dtype)
        momentum = ops.cast(self._now(1), variable.dtype)
        velocity = self.momentums[self._get_variable_index(variable)]
        value = velocity * momentum - move
        self.assign(velocity, value)
        self.assign_add(variable, value * momentum - move)


class AdamW(_Tables, keras.optimizers.AdamW):
    """AdamW (Loshchilov and Hutter 2017, 1711.05101) with a varying beta_1."""

    @property
    def moments(self) -> list:
        return [*self._momentums, *self._velocities]

    def update_step(self, gradient, variable, learning_rate):
        gradient = ops.cast(gradient, variable.dtype)
        index = self._get_variable_index(variable)
        mean, square = self._momentums[index], self._velocities[index]
        beta_1 = ops.cast(self._now(1), variable.dtype)
        correction_2 = 1.0 - ops.power(self.beta_2, self._now(3))
        self.assign_add(mean, (gradient - mean) * (1.0 - beta_1))
        self.assign_add(
            square, (ops.square(gradient) - square) * (1.0 - self.beta_2)
        )
        mean_now = mean / self._now(2)
        root = ops.sqrt(square / correction_2)
        self.assign_sub(
            variable, learning_rate * mean_now / (root + self.epsilon)
        )


class LossScaleOptimizer(keras.optimizers.LossScaleOptimizer):
    """Float16's loss scaling, for which a skipped update counts as a step.

    Keras' own leaves `iterations` alone then, and the clock would fall behind
    the batches shown.
    """

    def _stateful_handle_non_finite_grads(self):
        super()._stateful_handle_non_finite_grads()
        self.inner_optimizer.iterations.assign_add(1)

    def _stateless_handle_non_finite_grads(
        self, optimizer_variables, trainable_variables
    ):
        trainable, state = super()._stateless_handle_non_finite_grads(
            optimizer_variables, trainable_variables
        )
        clock = self.inner_optimizer.iterations
        return trainable, [
            value + 1 if variable is clock else value
            for variable, value in zip(self.variables, state, strict=True)
        ]


OPTIMIZERS = {
    "sgd": lambda decay: SGD(
        learning_rate=0.0, momentum=0.9, nesterov=True, weight_decay=decay
    ),
    # beta_2 of 0.99, not 0.999: after a stage learned by heart, gradients and
    # with them the second moment are near zero, and the next stage's first
    # steps come out ten times too large until it has followed. With 0.999 the
    # glyphs' h123 never recovered (2.2%), with 0.99 it reached 78.5%; without
    # growth both end alike (78.6% and 78.5%). Keras refuses a decay of None.
    "adamw": lambda decay: AdamW(
        learning_rate=0.0, beta_2=0.99, weight_decay=decay or 0.0
    ),
}


def make_optimizer(name: str, weight_decay: float, variables, loss_scale):
    """A built optimizer over `variables`, without tables yet.

    Weight decay is decoupled, scaled by the rate, and spares what has one
    dimension: biases and batch norm. loss_scale: wrap it for float16.
    """
    if name not in OPTIMIZERS:
        raise UserError(
            f"--optimizer={name} is unknown; known: {', '.join(OPTIMIZERS)}"
        )
    optimizer = OPTIMIZERS[name](weight_decay or None)
    if weight_decay:
        optimizer.exclude_from_weight_decay(
            var_list=[v for v in variables if len(v.shape) < 2]
        )
    if loss_scale:
        optimizer = LossScaleOptimizer(optimizer)
    optimizer.build(variables)
    return optimizer
