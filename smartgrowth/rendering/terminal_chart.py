"""A plan's learning rate and momentum, drawn in characters for a terminal."""

import sys
from collections.abc import Sequence

import numpy as np

WIDTH, HEIGHT = 64, 6  # characters
BLOCKS, PLAIN = " ▁▂▃▄▅▆▇█", " #"  # from an empty character to a full one


def rate_chart(
    rates: np.ndarray,
    momenta: np.ndarray,
    begins: Sequence[int],
    unit: str = "",
) -> str:
    """Draws both curves over all steps, with the stages below.

    Args:
      rates, momenta: floats of shape (steps,), above 0 somewhere.
      begins: the first step of each stage.
      unit: what rates are multiples of, if they are not known yet.

    Returns:
      Lines of text, in ASCII where the terminal has nothing else.
    """
    try:
        # There is no stream at all where the process was started without.
        BLOCKS.encode(getattr(sys.stdout, "encoding", None) or "ascii")
        blocks = BLOCKS
    except UnicodeEncodeError:
        blocks = PLAIN
    width = min(WIDTH, len(rates))
    axis, numbers = _stages(begins, len(rates), width, blocks)
    parts = [
        f"learning rate{_range(rates)}{unit}",
        *_bars(rates, 0.0, rates.max(), width, HEIGHT, blocks),
        axis,
    ]
    if momenta.min() < momenta.max():
        # A floor below the lowest, or that would not be seen.
        floor = 2 * momenta.min() - momenta.max()
        height = HEIGHT // 2
        parts += [
            f"momentum{_range(momenta)}",
            *_bars(momenta, floor, momenta.max(), width, height, blocks),
            axis,
        ]
    parts.append(numbers)
    if momenta.min() == momenta.max():
        parts.append(f"momentum{_range(momenta)}")
    return "\n".join(part.rstrip() for part in parts)


def _range(values: np.ndarray) -> str:
    if values.min() == values.max():
        return f" {values.max():.3g} throughout"
    return f", {values.min():.2g} to {values.max():.2g}"


def _bars(values, low, high, width, height, blocks) -> list[str]:
    """Returns lines from the top: each column is as high as its steps' mean."""
    columns = np.array([part.mean() for part in np.array_split(values, width)])
    full = len(blocks) - 1
    share = (columns - low) / (high - low)
    levels = np.rint(share * height * full).astype(int)
    return [
        "".join(
            blocks[np.clip(level - row * full, 0, full)] for level in levels
        )
        for row in reversed(range(height))
    ]


def _stages(begins, steps, width, blocks) -> tuple[str, str]:
    """Returns a line with marks where stages begin, and one of numbers."""
    dash, mark = "─┴" if blocks is BLOCKS else "-+"
    axis, numbers = [dash] * width, [" "] * (width + 8)
    free = 0  # columns that no number has yet
    for number, begin in enumerate(begins, start=1):
        column = begin * width // steps
        axis[column] = mark
        text = f"stage {number}" if number == 1 else str(number)
        if column >= free:
            numbers[column : column + len(text)] = text
            free = column + len(text) + 1
    return "".join(axis), "".join(numbers)
