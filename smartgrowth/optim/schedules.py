"""Schedules: pure functions step -> value, NumPy alone.

Each `make_` function returns a closure that takes a step (int or int array,
counted from 0) and returns float64 values of the same shape. They know nothing
of optimizers or of stages; `join` puts several one after another.
"""

from collections.abc import Callable, Sequence

import numpy as np

Schedule = Callable[[np.ndarray], np.ndarray]


def constant(value: float) -> Schedule:
    """Returns `value` at every step."""
    return lambda step: np.full(np.shape(step), float(value))


def cosine(start: float, end: float, steps: int) -> Schedule:
    """Returns half a cosine from `start` at step 0 to `end` at the last step.

    end + (start - end) * (1 + cos(pi * t)) / 2 with t = step / (steps - 1).
    """
    return lambda step: (
        end + (start - end) * (1 + np.cos(np.pi * _progress(step, steps))) / 2
    )


def one_cycle(
    peak: float,
    steps: int,
    warmup: float = 0.25,
    start_factor: float = 25.0,
    end_factor: float = 1e4,
) -> Schedule:
    """Returns one-cycle (Smith 2018, 1803.09820), cosine ramps as in fastai.

    From peak / start_factor at step 0 to `peak` after the share `warmup` of
    the steps, then to peak / end_factor at the last step.
    """
    rise = min(max(round(warmup * steps), 1), max(steps - 1, 1))
    up = cosine(peak / start_factor, peak, rise + 1)
    down = cosine(peak, peak / end_factor, steps - rise)
    return lambda step: np.where(
        np.asarray(step) < rise, up(step), down(np.asarray(step) - rise)
    )


def triangular(
    low: float, high: float, cycle: int, decay: Callable = None
) -> Schedule:
    """Returns triangles between `low` and `high` (Smith 2017, 1506.01186).

    `low` at step 0, `high` after half of `cycle`, `low` again after `cycle`
    steps, and so on. An odd cycle is a step longer on its way down, so that it
    has its length and its peak is at a step; one of a single step is all peak.

    Args:
      low, high: ends of the slopes.
      cycle: steps up and down, at least 1.
      decay: (number of the cycle, step) -> factor of the height; see
        `triangular2` and `exp_range`.
    """
    rise = cycle // 2

    def schedule(step):
        step = np.asarray(step, np.float64)
        number, place = np.divmod(step, cycle)
        up, down = place / max(rise, 1), (cycle - place) / (cycle - rise)
        height = np.where(place < rise, up, down)
        scale = decay(number, step) if decay else 1.0
        return low + (high - low) * height * scale

    return schedule


def triangular2(low: float, high: float, cycle: int) -> Schedule:
    """Returns `triangular` with a height that halves after every cycle."""
    return triangular(low, high, cycle, lambda number, step: 0.5**number)


def exp_range(low: float, high: float, cycle: int, gamma: float) -> Schedule:
    """Returns `triangular` with a height times `gamma` at every step."""
    return triangular(low, high, cycle, lambda number, step: gamma**step)


def sgdr(
    high: float, low: float, cycle_steps: int, cycle_mult: float, steps: int
) -> Schedule:
    """Returns warm restarts (Loshchilov and Hutter 2016, 1608.03983).

    Each cycle is half a cosine from `high` to `low`. The first takes
    `cycle_steps`, each next one `cycle_mult` times as many (rounded, at least
    2, or it could not reach `low`). The last cycle is shortened to end with
    the schedule. If less than half of it is left, it is merged into the one
    before.
    """
    lengths = []
    length = float(cycle_steps)
    while sum(lengths) < steps:
        lengths.append(max(round(length), 2))
        length *= cycle_mult
    lengths[-1] -= sum(lengths) - steps
    shortest = max(length / cycle_mult / 2, 2)
    if len(lengths) > 1 and lengths[-1] < shortest:
        lengths[-2:] = [lengths[-2] + lengths[-1]]
    return join([cosine(high, low, n) for n in lengths], lengths)


def join(schedules: Sequence[Schedule], lengths: Sequence[int]) -> Schedule:
    """Returns the schedules one after another.

    Args:
      schedules: each counts its steps from 0 at its own start.
      lengths: steps of each; the last one continues beyond its length.
    """
    bounds = np.cumsum([0, *lengths])

    def schedule(step):
        step = np.asarray(step)
        value = schedules[0](step)
        for start, part in zip(bounds[1:-1], schedules[1:], strict=True):
            value = np.where(step >= start, part(step - start), value)
        return value

    return schedule


def _progress(step, steps: int) -> np.ndarray:
    """Returns 0 at step 0, 1 at the last of `steps` and after."""
    return np.clip(np.asarray(step, np.float64) / max(steps - 1, 1), 0, 1)


def make_schedules(
    name: str,
    rate: float,
    steps: int,
    *,
    cycle_steps: int | None = None,
    cycle_mult: float = 1.0,
    momentum: tuple[float, float] = (0.85, 0.95),
) -> tuple[Schedule, Schedule]:
    """Returns learning rate and momentum over `steps` steps, two schedules.

    Args:
      name: a key of `SCHEDULES`.
      rate: the highest learning rate.
      steps: length of the schedule.
      cycle_steps: length of the (first) cycle; `steps` if None.
      cycle_mult: growth of the cycles, for sgdr.
      momentum: lowest and highest. Where the rate cycles, the momentum moves
        the other way (Smith 2018); elsewhere it is the highest.
    """
    cycle = min(cycle_steps or steps, steps)
    rates = SCHEDULES[name](rate, steps, cycle, cycle_mult)
    if name in ("constant", "cosine", "sgdr"):
        return rates, constant(momentum[1])
    low, high = momentum
    # The inverse of the rate's place between zero and its peak.
    return rates, lambda step: high - (high - low) * rates(step) / rate


# name -> (peak rate, steps, cycle length, cycle growth) -> schedule. A cycle
# of the triangles goes up and down once, from a tenth of the peak.
SCHEDULES = {
    "constant": lambda rate, steps, cycle, mult: constant(rate),
    "cosine": lambda rate, steps, cycle, mult: cosine(rate, 0.0, steps),
    "one_cycle": lambda rate, steps, cycle, mult: one_cycle(rate, steps),
    "triangular": lambda rate, steps, cycle, mult: triangular(
        rate / 10, rate, cycle
    ),
    "triangular2": lambda rate, steps, cycle, mult: triangular2(
        rate / 10, rate, cycle
    ),
    "exp_range": lambda rate, steps, cycle, mult: exp_range(
        rate / 10, rate, cycle, 0.1 ** (1 / steps)
    ),
    "sgdr": lambda rate, steps, cycle, mult: sgdr(
        rate, 0.0, cycle, mult, steps
    ),
}


def make_tables(
    name: str,
    rate: float | Sequence[float],
    lengths: Sequence[int],
    *,
    per_stage: bool,
    cycles: Sequence[int | None] | None = None,
    clock: tuple[np.ndarray, float] | None = None,
    **options,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns rate and momentum of every step of a run, float64 (steps,).

    Args:
      name: as in `make_schedules`.
      rate: as in `make_schedules`; or one per stage, which then takes its part
        of the schedule with that peak.
      lengths: steps of each stage.
      per_stage: whether every stage has a schedule of its own.
      cycles: `cycle_steps` of `make_schedules` for each stage; one schedule
        over all stages uses the first.
      clock: for one schedule over all stages: the time of every step on it,
        and its length; by steps unless given.
      **options: as in `make_schedules`.
    """
    if not np.isscalar(rate):
        tables = [
            make_tables(
                name,
                peak,
                lengths,
                per_stage=per_stage,
                cycles=cycles,
                clock=clock,
                **options,
            )
            for peak in rate
        ]
        ends = np.cumsum(lengths)[:-1]
        rates = [np.split(table[0], ends) for table in tables]
        parts = [part[index] for index, part in enumerate(rates)]
        return np.concatenate(parts), tables[0][1]
    cycles = cycles or [None] * len(lengths)
    times, length = clock or (np.arange(sum(lengths)), sum(lengths))
    if not per_stage:
        lengths = [length]
    parts = [
        make_schedules(name, rate, n, cycle_steps=cycle, **options)
        for n, cycle in zip(lengths, cycles, strict=False)
    ]
    rates, momenta = (
        join(part, lengths)(times) for part in zip(*parts, strict=True)
    )
    return rates, momenta
