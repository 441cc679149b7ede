"""The curve of a learning rate range test: what it suggests, its files.

NumPy alone; `lr_finder` runs the test.
"""

import dataclasses
import pathlib

import numpy as np

from smartgrowth import UserError
from smartgrowth.rendering.figure import render
from smartgrowth.runs import files

FIRST = 10  # losses that count as its start
SMOOTHING = 0.9
DIVERGED = 4.0  # times the lowest smoothed loss
# The lowest loss is on a plain if a rate this many times smaller brings nine
# tenths of the descent. On the bracketed curves measured it was 2.5 at most.
FLAT = 4.0
NOISE = 2.0  # deviations of a batch's loss that are no descent yet
CSV, PLOT = "lr_find.csv", "lr_find.png"
# suggestion -> its name in words. --lr=auto takes the first: with AdamW the
# lowest loss lay at 0.0085 to 0.022 on all eight stages tried, the steepest
# descent anywhere from 0.0003 to 0.0095. On one image a class of glyphs, 200
# steps at 0.0093 had a mean loss of 0.92, at the steepest's 0.00093 of 1.20.
SUGGESTIONS = {
    "half": "half the minimum",
    "steepest": "steepest",
    "valley": "valley",
    "tenth": "a tenth of the minimum",
}


@dataclasses.dataclass(frozen=True)
class Curve:
    """Loss against learning rate, as far as the test came.

    rates, losses, smoothed: float64 (N,); the losses are finite, in nats, one
    a batch. seconds: that the test took, its compiling included. overflowed:
    whether the loss was no number after these.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    seconds: float
    overflowed: bool = False

    @property
    def fell(self) -> bool:
        """Whether the loss fell by more than batches differ."""
        return _descends(self.losses, self.smoothed)

    @property
    def suggestions(self) -> dict[str, float]:
        """Rates by the names of `SUGGESTIONS`, as `suggest` finds them."""
        return suggest(self.rates, self.losses, self.overflowed)


def smooth(losses, beta: float = SMOOTHING) -> np.ndarray:
    """Returns the moving average, corrected for its start at zero.

    m <- beta m + (1 - beta) loss;  m / (1 - beta^n) after n losses.
    """
    mean, smoothed = 0.0, []
    for count, loss in enumerate(losses, start=1):
        mean = beta * mean + (1 - beta) * loss
        smoothed.append(mean / (1 - beta**count))
    return np.array(smoothed)


def suggest(
    rates: np.ndarray, losses: np.ndarray, overflowed: bool = False
) -> dict[str, float]:
    """Returns the rates that a curve suggests, to two digits, by name.

    steepest: where the loss falls fastest in log rate. valley: the middle, in
    log rate, of the longest run of falling losses, the points that interrupt it
    left out (as in fastai). half, tenth: of the rate of the lowest loss.
    All of the smoothed loss. Empty if it nowhere fell by more than noise, or
    has no minimum within: one at an end of the range, or on a plain, says
    nothing of where rates become too high. Few images are learned by heart in
    some steps, and their loss then stays at zero whatever the rate.
    """
    smoothed = smooth(losses)
    if not _descends(losses, smoothed):
        return {}
    if not _is_bracketed(rates, losses, smoothed, overflowed):
        return {}
    # Not among the first, whose average moves as they do.
    lowest = FIRST + int(smoothed[FIRST:].argmin())
    slopes = np.gradient(smoothed, np.log(rates))[FIRST : lowest + 1]
    first, last = _longest_descent(smoothed)
    found = {
        "half": rates[lowest] / 2,
        "steepest": rates[FIRST + slopes.argmin()],
        "valley": rates[(first + last) // 2],
        "tenth": rates[lowest] / 10,
    }
    return {name: float(f"{rate:.2g}") for name, rate in found.items()}


def summary(curve: Curve) -> str:
    """Returns what a test suggests and what it took, in a line."""
    cost = f"{len(curve.rates)} steps in {curve.seconds:.0f} s"
    found = curve.suggestions
    if not found:
        why = "has no minimum" if curve.fell else "never fell"
        return (
            f"no rate found: the loss {why} between {curve.rates[0]:.2g} and "
            f"{curve.rates[-1]:.2g}, {cost}"
        )
    used, *others = SUGGESTIONS
    rest = ", ".join(f"{SUGGESTIONS[name]} {found[name]:g}" for name in others)
    return (
        f"rate found: {found[used]:g} ({SUGGESTIONS[used]}; {rest}), {cost}, "
        "not counted as training"
    )


def write_curve(directory: pathlib.Path, curve: Curve) -> pathlib.Path:
    """Writes `lr_find.csv` and `lr_find.png`; returns the latter's path.

    Raises:
      UserError: the directory cannot be written.
    """
    columns = {
        "lr": curve.rates,
        "loss": curve.losses,
        "smoothed_loss": curve.smoothed,
    }
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    picture, _ = render(lambda figure: draw(figure, curve), "light")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        files.write_csv(
            directory / CSV,
            tuple(columns),
            [dict(zip(columns, row, strict=True)) for row in rows],
        )
        (directory / PLOT).write_bytes(picture)
    except OSError as error:
        raise UserError(
            f"--workdir={directory}: {CSV} cannot be written "
            f"({error.strerror or error}); make room or name another folder"
        ) from error
    return directory / PLOT


def draw(figure, curve: Curve) -> str:
    """Draws the curve and its suggestions into a figure; returns alt text."""
    from matplotlib.ticker import LogFormatter

    axis = figure.subplots()
    axis.plot(curve.rates, curve.losses, ".", color="C0", alpha=0.4, ms=4)
    axis.plot(curve.rates, curve.smoothed, color="C0", label="smoothed loss")
    found = curve.suggestions
    for place, (name, rate) in enumerate(found.items(), start=1):
        axis.axvline(
            rate,
            color=f"C{place}",
            linestyle=("-", "--", ":", "-.")[place - 1],
            label=f"{SUGGESTIONS[name]}: {rate:g}",
        )
    axis.set(xscale="log", xlabel="learning rate", ylabel="loss of the batch")
    # matplotlib's own choice writes formulas, which `figure.render` does not.
    axis.xaxis.set_major_formatter(LogFormatter())
    axis.xaxis.set_minor_formatter(LogFormatter())
    why = "no minimum within" if curve.fell else "no descent"
    axis.set_title(None if found else f"{why}: no suggestion")
    figure.legend(loc="outside upper left", ncols=2)
    return summary(curve)


def has_diverged(losses: list[float]) -> bool:
    """Returns whether a test is over, after the last of these losses.

    It is not a number; or, smoothed, gave back half of what it had fallen, or
    exceeded its start and `DIVERGED` times its lowest value.
    """
    if not np.isfinite(losses[-1]):
        return True
    if len(losses) < 2 * FIRST:
        return False
    smoothed = smooth(losses)
    lowest = smoothed[FIRST:].min()
    start, least = _start(losses)
    if smoothed[-1] > max(DIVERGED * lowest, start + least):
        return True
    won, lost = start - lowest, smoothed[-1] - lowest
    return won > least and lost > max(won / 2, least)


def _descends(losses: np.ndarray, smoothed: np.ndarray) -> bool:
    """Whether the loss fell by more than batches differ."""
    if len(losses) < 2 * FIRST:
        return False
    start, least = _start(losses)
    return start - smoothed[FIRST:].min() > least


def _is_bracketed(
    rates, losses, smoothed: np.ndarray, overflowed: bool
) -> bool:
    """Whether the lowest loss has higher ones on both sides, and near."""
    lowest = FIRST + int(smoothed[FIRST:].argmin())
    start, least = _start(losses)
    rose = smoothed[lowest:].max() - smoothed[lowest] > least
    fall = start - smoothed[lowest]
    as_low = smoothed[FIRST:] <= smoothed[lowest] + 0.1 * fall
    flat = rates[lowest] > FLAT * rates[FIRST + int(as_low.argmax())]
    return lowest > FIRST and not flat and (overflowed or bool(rose))


def _start(losses) -> tuple[float, float]:
    """The loss at rates that teach nothing yet, and the least real descent."""
    losses = np.asarray(losses)
    start = losses[:FIRST].mean()
    # A median: what happens where the loss diverges says nothing of noise.
    deviation = np.median(np.abs(np.diff(losses))) / (0.6745 * np.sqrt(2))
    return float(start), float(max(NOISE * deviation, 0.02 * start))


def _longest_descent(values: np.ndarray) -> tuple[int, int]:
    """First and last index of the longest falling subsequence.

    The first one as if nothing interrupted it: last - length + 1.
    """
    lengths = np.ones(len(values), int)
    for index in range(1, len(values)):
        before = lengths[:index][values[:index] > values[index]]
        lengths[index] = 1 + before.max(initial=0)
    last = int(lengths.argmax())
    return last - int(lengths[last]) + 1, last
