"""The learning rate range test (Smith 2017, 1506.01186).

The rate rises exponentially from batch to batch until the loss diverges. The
network, its optimizer and its clock are then put back as they were: what the
test learns, and what it costs, is no part of a training.
"""

import itertools
import time
from collections.abc import Iterable, Sequence

import numpy as np

from smartgrowth import UserError
from smartgrowth.flags.training import DEFAULT_RATES
from smartgrowth.optim.rates import RateTables
from smartgrowth.runs import checkpoint
from smartgrowth.runtime.keras_internals import (
    discard_train_function,
    unscaled_optimizer,
)
from smartgrowth.runtime.reporter import REPORTER, Reporter
from smartgrowth.stages import Plan, Stage
from smartgrowth.training.lr_curve import (
    SUGGESTIONS,
    Curve,
    has_diverged,
    smooth,
)

# By optimizer. SGD's rate rises more slowly, on thin evidence: on 10 classes of
# Tiny-ImageNet the lowest loss stood at 0.034 (0.024 with another seed) after
# 20 steps per decade, at 0.17 after 67; trainings at 0.03 and 0.1 did best.
STEPS = {"adamw": 100, "sgd": 300}
# Shown in turn. With a new batch every time, a new network learned nothing of
# the 60 glyphs in 100 steps, nor in 300: the loss rose and fell above chance,
# 4.09. With 4 it falls to 2.8 before it breaks down at 0.02.
BATCHES = 4
MOMENTUM = 0.9  # between the schedules' 0.85, at their peak, and 0.95


def run_range_test(
    model,
    batches: Iterable,
    rates: np.ndarray,
    *,
    first_step: int,
    variables: dict[str, list],
    stop=None,
    reporter: Reporter = REPORTER,
) -> Curve:
    """Trains at rising rates, then puts everything back.

    Args:
      model: compiled, with an optimizer of `optimizers` and a train function
        that has not run yet: rates are compiled into it.
      batches: of images and targets, NumPy; shown in turn, again and again.
      rates: float (N,), rising.
      first_step: the optimizer's `iterations`.
      variables: all that training changes, by group, as `checkpoint.collect`
        takes it; restored bit for bit, whatever happens.
      stop: an event; once it is set, raises KeyboardInterrupt.
      reporter: shows progress.

    Returns:
      The curve, until the loss diverged: was no number any more, or smoothed
      gave back half of what it had fallen, or exceeded its start and 4 times
      its lowest value.
    """
    began = time.monotonic()
    # Copies: an array may share its memory with the variable.
    kept = {
        name: np.array(value)
        for name, value in checkpoint.collect(variables).items()
    }
    optimizer = unscaled_optimizer(model)
    # Looked up at `iterations`, which goes on from where it is: the second
    # moments that AdamW has by then want the bias correction of that step.
    table = np.concatenate([np.full(first_step, rates[0]), rates])
    losses = []
    try:
        tables = RateTables(table, np.full(len(table), MOMENTUM))
        with optimizer.temporary_tables(tables, first_step):
            for rate, batch in zip(
                rates, itertools.cycle(batches), strict=False
            ):
                if stop is not None and stop.is_set():
                    raise KeyboardInterrupt
                model.reset_metrics()  # or the loss would be a running mean
                logs = model.train_on_batch(*batch, return_dict=True)
                losses.append(float(logs["loss"]))
                if has_diverged(losses):
                    break
                reporter.progress(
                    f"range test: step {len(losses)}/{len(rates)}  "
                    f"loss {losses[-1]:.3f}  rate {rate:.2g}"
                )
    finally:
        checkpoint.restore(variables, kept)
        discard_train_function(model)  # the test's rates are compiled into it
    seconds = time.monotonic() - began
    overflowed = not np.all(np.isfinite(losses))
    losses = np.array([loss for loss in losses if np.isfinite(loss)])
    rates = np.asarray(rates)[: len(losses)]
    return Curve(rates, losses, smooth(losses), seconds, overflowed)


def stage_to_test(
    plan: Plan, lr: float | str, stage: Stage | None = None
) -> Stage:
    """Returns the stage whose batches a test shows.

    A rate for the whole run is that of the stage that costs most: where most of
    the training happens, a wrong rate does most harm. A rate for every stage is
    the stage's own.

    Args:
      lr: of `--lr`.
      stage: the one that begins; the plan's first unless given.
    """
    if lr == "auto:stage":
        return stage or plan.stages[0]
    return max(plan.stages, key=plan.gflops_of)


def choose_rate(curve: Curve, before: Sequence[float], optimizer: str) -> float:
    """Returns the rate that `--lr=auto` takes.

    The curve's; or else the last of `before`; or else, if the loss fell
    whatever the rate, the optimizer's default within the rates of the test.

    Raises:
      UserError: there is none of these.
    """
    found = curve.suggestions
    if found:
        return found[next(iter(SUGGESTIONS))]
    if before:
        return before[-1]
    if curve.fell:
        low, high = curve.rates[[0, -1]]
        return float(np.clip(DEFAULT_RATES[optimizer], low, high))
    raise UserError(
        "--lr=auto: the loss never fell, whatever the rate; give one yourself, "
        "--lr=NUMBER, or test others, --lr_min and --lr_max; and --restart"
    )


def rising_rates(low: float, high: float, steps: int) -> np.ndarray:
    """Returns rates from `low` to `high` by a constant factor, (steps,)."""
    return np.geomspace(low, high, steps)
