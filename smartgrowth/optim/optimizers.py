"""SGD and AdamW whose learning rate and momentum follow tables.

A table has one value a step and is read inside the compiled step at
`iterations`, the run's only clock: rates survive a resume by themselves and
cost no round trip to the host. Assigning `optimizer.momentum` from a callback,
the usual way, has no effect once the step is compiled.
"""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np
from keras import ops

from smartgrowth import UserError
from smartgrowth.optim.rates import RateTables
from smartgrowth.runtime.keras_internals import (
    LossScaleOptimizer,
    ScheduledOptimizer,
    TraceCache,
    adam_moments,
)

RATE, MOMENTUM, CORRECTION, AGE = range(4)  # places of an optimizer's tables


class TableOptimizer(ScheduledOptimizer):
    """Mixin of an optimizer that looks its rates up at `iterations`.

    Once a step, and what follows from them once as well: done for each of a
    hundred variables, that was two thirds of the time that a step takes to be
    traced (8 s of processor time instead of 3 for the default network).
    """

    _tables = _installed = None
    _resets = ()
    _now = None  # within `apply`: what `look_up` returned
    _traces = None  # of `apply` by these tables

    def install_tables(self, tables: RateTables) -> None:
        """Sets rate and momentum of every step, before the step is compiled.

        The last values serve any further steps.
        """
        if tables is self._installed:  # with every segment's callbacks
            return
        self._installed, self._traces = tables, TraceCache()
        self._resets = tables.resets
        parts = np.split(np.asarray(tables.momenta, np.float64), self._resets)
        # beta_1's powers of Adam's bias correction, for a beta_1 that varies.
        powers = np.concatenate([np.cumprod(part) for part in parts])
        ages = np.concatenate([1 + np.arange(len(part)) for part in parts])
        self._tables = tuple(
            np.asarray(table, np.float32)
            for table in (tables.rates, tables.momenta, 1.0 - powers, ages)
        )

    @contextlib.contextmanager
    def temporary_tables(
        self, tables: RateTables, present: int
    ) -> Iterator[None]:
        """While entered, a step that is compiled reads these tables instead.

        Args:
          present: the value of `iterations`. Resets up to there, of the
            installed tables, say how old the moments are.
        """
        names = "_installed", "_tables", "_resets", "_traces"
        kept = {name: getattr(self, name) for name in names}
        past = tuple(step for step in self._resets if step <= present)
        self.install_tables(RateTables(tables.rates, tables.momenta, past))
        try:
            yield
        finally:
            for name, value in kept.items():
                setattr(self, name, value)

    def reset_moments(self) -> None:
        """Sets what is kept of earlier gradients to zero."""
        for variable in self.moments:
            variable.assign(np.zeros(variable.shape))

    def apply(self, grads, trainable_variables=None):
        apply = super().apply

        def update(grads):
            self._now = self.look_up()
            try:
                apply(grads, trainable_variables)
            finally:
                self._now = None

        # Half of what a step takes to be traced; no image size changes it.
        key = tuple(map(id, trainable_variables or ()))
        self._traces.call(update, grads, key)

    def look_up(self) -> dict:
        """Returns the present step's scalars, float32, by name.

        rate, momentum: of the tables. decay: what weight decay leaves of a
        weight.
        """
        rate, momentum = self._take(RATE), self._take(MOMENTUM)
        return {
            "rate": rate,
            "momentum": momentum,
            "decay": 1.0 - rate * (self.weight_decay or 0.0),
        }

    def decayed(self, variable):
        """Returns a variable's value after the weight decay, if it has any."""
        return (
            variable * self._now["decay"] if self.decays(variable) else variable
        )

    def current_learning_rate(self):
        if self._tables is None:
            return super().current_learning_rate()
        return self._take(RATE)

    def _take(self, place: int):
        table = self._tables[place]
        step = ops.minimum(self.iterations, len(table) - 1)
        return ops.take(ops.convert_to_tensor(table), step)


class SGD(TableOptimizer, keras.optimizers.SGD):
    """SGD with Nesterov momentum and decoupled weight decay.

    w <- w - r d w;  v <- m v - r g;  w <- w + m v - r g.
    """

    @property
    def moments(self) -> list:
        return self.momentums

    def update_step(self, gradient, variable, learning_rate):
        now, velocity = self._now, self.momentums[self.slot(variable)]
        gradient = ops.cast(gradient, variable.dtype)
        move = gradient * now["rate"]
        value = velocity * now["momentum"] - move
        self.assign(velocity, value)
        self.assign(
            variable, self.decayed(variable) + value * now["momentum"] - move
        )


class AdamW(TableOptimizer, keras.optimizers.AdamW):
    """AdamW (Loshchilov and Hutter 2017, 1711.05101) with a varying beta_1."""

    @property
    def moments(self) -> list:
        means, squares = adam_moments(self)
        return [*means, *squares]

    def look_up(self) -> dict:
        now, power = super().look_up(), ops.power(self.beta_2, self._take(AGE))
        return now | {
            "follow": 1.0 - now["momentum"],
            "move": now["rate"] / self._take(CORRECTION),
            "scale": 1.0 / (1.0 - power),
        }

    def update_step(self, gradient, variable, learning_rate):
        now, (means, squares) = self._now, adam_moments(self)
        index = self.slot(variable)
        mean, square = means[index], squares[index]
        gradient = ops.cast(gradient, variable.dtype)
        mean_now = mean + (gradient - mean) * now["follow"]
        square_now = square + (ops.square(gradient) - square) * (
            1.0 - self.beta_2
        )
        self.assign(mean, mean_now)
        self.assign(square, square_now)
        root = ops.sqrt(square_now * now["scale"]) + self.epsilon
        self.assign(
            variable, self.decayed(variable) - now["move"] * mean_now / root
        )


OPTIMIZERS = {
    "sgd": lambda decay: SGD(
        learning_rate=0.0, momentum=0.9, nesterov=True, weight_decay=decay
    ),
    # beta_2 of 0.99, not 0.999: after a stage that was memorized, gradients and
    # with them the second moment are near zero, and the next stage's first
    # steps come out ten times too large until it has followed. With 0.999 the
    # glyphs' h123 never recovered (2.2%), with 0.99 it reached 78.5%; without
    # growth both end alike (78.6% and 78.5%). Keras refuses a decay of None.
    "adamw": lambda decay: AdamW(
        learning_rate=0.0, beta_2=0.99, weight_decay=decay or 0.0
    ),
}


def make_optimizer(
    name: str, weight_decay: float, variables, loss_scale: bool
) -> keras.optimizers.Optimizer:
    """Returns a built optimizer over `variables`, without tables yet.

    Args:
      name: a key of `OPTIMIZERS`.
      weight_decay: decoupled and scaled by the rate; variables of one
        dimension (biases, batch norm) are excluded.
      loss_scale: wrap it for float16.

    Raises:
      UserError: the name is unknown.
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
