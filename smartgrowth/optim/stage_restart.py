"""`--stage_restart`: what happens to weights and optimizer between stages."""

from collections.abc import Sequence

import numpy as np

# Ash and Adams 2020 (1910.08475) shrink the weights that were learned on a part
# of the data and add noise: w <- SHRINK w + N(0, NOISE^2). The method is
# theirs, these two values are not.
SHRINK, NOISE = 0.5, 0.01


def reset_moments(
    optimizer, weights: Sequence, random: np.random.Generator
) -> None:
    """Sets the optimizer's moments to zero; the weights stay."""
    optimizer.reset_moments()


def shrink_and_perturb(
    optimizer, weights: Sequence, random: np.random.Generator
) -> None:
    """Shrinks all weights and adds noise; resets the moments as well."""
    optimizer.reset_moments()
    for weight in weights:
        noise = random.normal(0.0, NOISE, weight.shape)
        weight.assign(SHRINK * np.asarray(weight) + noise)


# --stage_restart -> what is done before the first step of every stage but the
# run's first.
RESTARTS = {"momentum": reset_moments, "shrink_perturb": shrink_and_perturb}
