"""SGD and AdamW whose learning rate and momentum follow tables.

A table has one value a step and is read inside the compiled step at
`iterations`, the run's only clock: rates survive a resume by themselves and
cost no round trip to the host. Assigning `optimizer.momentum` from a callback,
the usual way, has no effect once the step is compiled.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

import keras
import numpy as np
from keras import ops

from smartgrowth import UserError
from smartgrowth.optim.rates import GroupRates, RateTables
from smartgrowth.runtime.keras_internals import (
    LossScaleOptimizer,
    ScheduledOptimizer,
    TraceCache,
    adam_moments,
)


@dataclasses.dataclass(frozen=True, eq=False)
class Tables:
    """What is looked up for the variables of a layer group, float32 (steps,).

    correction, age: of Adam's moments, since they were last set to zero.
    """

    rates: np.ndarray
    momenta: np.ndarray
    correction: np.ndarray
    age: np.ndarray


def make_tables(tables: RateTables, group: GroupRates) -> Tables:
    """Returns what a group's variables look up."""
    parts = np.split(np.asarray(tables.momenta, np.float64), group.resets)
    # beta_1's powers of Adam's bias correction, for a beta_1 that varies.
    powers = np.concatenate([np.cumprod(part) for part in parts])
    ages = np.concatenate([1 + np.arange(len(part)) for part in parts])
    rates = np.asarray(tables.rates, np.float64) * group.scale
    return Tables(
        *(
            np.asarray(table, np.float32)
            for table in (rates, tables.momenta, 1.0 - powers, ages)
        )
    )


class TableOptimizer(ScheduledOptimizer):
    """Mixin of an optimizer that looks its rates up at `iterations`.

    Once a step, and what follows from them once as well: done for each of a
    hundred variables, that was two thirds of the time that a step takes to be
    traced (8 s of processor time instead of 3 for the default network).
    """

    _tables = _installed = None  # by `GroupRates`; all of them
    _now = None  # within `apply`: what `look_up` returned, by `GroupRates`
    _traces = None  # of `apply` by these tables
    _group_of = ()  # place of each variable's layer group; () if there is one

    def install_tables(self, tables: RateTables) -> None:
        """Sets rate and momentum of every step, before the step is compiled.

        The last values serve any further steps.
        """
        if tables is self._installed:  # with every segment's callbacks
            return
        self._installed, self._traces = tables, TraceCache()
        # Groups that are trained alike are one.
        self._tables = {
            group: make_tables(tables, group) for group in tables.groups
        }

    def set_groups(self, group_of: Sequence[int]) -> None:
        """Says to which of the tables' groups each variable belongs."""
        self._group_of = tuple(group_of)

    @contextlib.contextmanager
    def temporary_tables(
        self, tables: RateTables, present: int
    ) -> Iterator[None]:
        """While entered, a step that is compiled reads these tables instead.

        Args:
          present: the value of `iterations`. Resets up to there, of the
            installed tables, say how old the moments are.
        """
        names = "_installed", "_tables", "_traces"
        kept = {name: getattr(self, name) for name in names}
        groups = self._installed.groups if self._installed else tables.groups
        past = tuple(group.until(present) for group in groups)
        self.install_tables(RateTables(tables.rates, tables.momenta, past))
        try:
            yield
        finally:
            for name, value in kept.items():
                setattr(self, name, value)

    def reset_moments(self, variables: Sequence | None = None) -> None:
        """Sets what is kept of earlier gradients to zero.

        variables: of which; all unless given.
        """
        slots = None if variables is None else set(map(self.slot, variables))
        for moments in self.moments:
            for slot, moment in enumerate(moments):
                if slots is None or slot in slots:
                    moment.assign(np.zeros(moment.shape))

    def apply(self, grads, trainable_variables=None):
        variables, apply = trainable_variables, super().apply
        if variables is None:  # JAX
            variables = self.trained_variables

        def update(grads):
            self._now = {
                group: self.look_up(tables)
                for group, tables in self._tables.items()
            }
            try:
                apply(grads, variables)
            finally:
                self._now = None

        # Half of what a step takes to be traced; no image size changes it.
        self._traces.call(update, grads, tuple(map(id, variables)))

    def look_up(self, tables: Tables) -> dict:
        """Returns the present step's scalars, float32, by name.

        rate, momentum: of the tables. decay: what weight decay leaves of a
        weight.
        """
        rate, momentum = self._take(tables.rates), self._take(tables.momenta)
        return {
            "rate": rate,
            "momentum": momentum,
            "decay": 1.0 - rate * (self.weight_decay or 0.0),
        }

    def now(self, slot: int) -> dict:
        """Returns, within `apply`, what the variable in a slot looks up."""
        groups = self._installed.groups
        place = self._group_of[slot] if len(groups) > 1 else 0
        return self._now[groups[place]]

    def decayed(self, variable, now: dict):
        """Returns a variable's value after the weight decay, if it has any."""
        return variable * now["decay"] if self.decays(variable) else variable

    def current_learning_rate(self):
        """Returns the rate that is scaled for each layer group, a scalar."""
        if self._tables is None:
            return super().current_learning_rate()
        return self._take(np.asarray(self._installed.rates, np.float32))

    def _take(self, table: np.ndarray):
        step = ops.minimum(self.iterations, len(table) - 1)
        return ops.take(ops.convert_to_tensor(table), step)


class SGD(TableOptimizer, keras.optimizers.SGD):
    """SGD with Nesterov momentum and decoupled weight decay.

    w <- w - r d w;  v <- m v - r g;  w <- w + m v - r g.
    """

    @property
    def moments(self) -> tuple[list, ...]:
        return (self.momentums,)

    def update_step(self, gradient, variable, learning_rate):
        slot = self.slot(variable)
        now, velocity = self.now(slot), self.momentums[slot]
        gradient = ops.cast(gradient, variable.dtype)
        move = gradient * now["rate"]
        value = velocity * now["momentum"] - move
        self.assign(velocity, value)
        self.assign(
            variable,
            self.decayed(variable, now) + value * now["momentum"] - move,
        )


class AdamW(TableOptimizer, keras.optimizers.AdamW):
    """AdamW (Loshchilov and Hutter 2017, 1711.05101) with a varying beta_1."""

    @property
    def moments(self) -> tuple[list, ...]:
        return adam_moments(self)

    def look_up(self, tables: Tables) -> dict:
        now = super().look_up(tables)
        power = ops.power(self.beta_2, self._take(tables.age))
        return now | {
            "follow": 1.0 - now["momentum"],
            "move": now["rate"] / self._take(tables.correction),
            "scale": 1.0 / (1.0 - power),
        }

    def update_step(self, gradient, variable, learning_rate):
        slot, (means, squares) = self.slot(variable), adam_moments(self)
        now, mean, square = self.now(slot), means[slot], squares[slot]
        gradient = ops.cast(gradient, variable.dtype)
        mean_now = mean + (gradient - mean) * now["follow"]
        square_now = square + (ops.square(gradient) - square) * (
            1.0 - self.beta_2
        )
        self.assign(mean, mean_now)
        self.assign(square, square_now)
        root = ops.sqrt(square_now * now["scale"]) + self.epsilon
        self.assign(
            variable,
            self.decayed(variable, now) - now["move"] * mean_now / root,
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
