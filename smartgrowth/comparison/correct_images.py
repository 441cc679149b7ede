"""Which validation images each run got right, paired between the arms.

From predictions.npz; runs from before that file, and damaged ones, have none.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from smartgrowth import UserError
from smartgrowth.runs import files
from smartgrowth.runs.parse import parsing, read_arrays
from smartgrowth.runs.reader import Run

# What is read of predictions.npz: name -> number of dimensions.
ARRAYS = {"labels": 1, "probabilities": 2, "ids": 1}


def differences(
    runs: Mapping[tuple[str, int], Run], arms: Iterable[str], baseline: str
) -> tuple[dict[str, list[np.ndarray]], str]:
    """Returns where an arm and the baseline differ, for each seed of both.

    Args:
      runs: (arm, seed) -> the run, all of one budget.
      arms: without the baseline.
      baseline: its name.

    Returns:
      Arm -> of each seed, int8 (images,): 1 where the arm alone is right, -1
      where the baseline alone is, else 0. And why arms are left out, or "".
    """
    read, first, problems, found = {}, None, {}, {}
    for key, run in sorted(
        runs.items(), key=lambda pair: pair[0][0] != baseline
    ):
        path = run.directory / files.PREDICTIONS
        if not path.is_file():
            problems[key] = "has no predictions.npz"
            continue
        try:
            arrays = read_arrays(path, ARRAYS)
            which = arrays["labels"], arrays["ids"]
            with parsing(path):
                right = arrays["probabilities"].argmax(axis=1) == which[0]
        except UserError:
            problems[key] = "has a damaged predictions.npz"
            continue
        first = first or which
        if not all(map(np.array_equal, which, first)):
            problems[key] = "has a predictions.npz of other images"
            continue
        read[key] = right.astype(np.int8)
    left_out = set()
    for arm in arms:
        seeds = [seed for name, seed in runs if name == arm]
        pairs = [
            ((arm, seed), (baseline, seed))
            for seed in sorted(seeds)
            if (baseline, seed) in runs
        ]
        missing = {key for pair in pairs for key in pair if key not in read}
        if missing:
            left_out |= missing
        elif pairs:
            found[arm] = [read[one] - read[other] for one, other in pairs]
    if not left_out:
        return found, ""
    (arm, seed), *others = sorted(left_out)
    why = f"{arm} seed {seed} {problems[arm, seed]}"
    return found, why + (f", and {len(others)} more" if others else "")
