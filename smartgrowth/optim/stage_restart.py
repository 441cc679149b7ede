"""What a stage boundary does to the weights and the optimizer."""

from collections.abc import Sequence

import numpy as np

# Ash and Adams 2020 (1910.08475) shrink the weights that were learned on a part
# of the data and add noise: w <- SHRINK w + N(0, NOISE^2). The method is
# theirs, these two values are not.
SHRINK, NOISE = 0.5, 0.01


def forget(optimizer, weights: Sequence, random: np.random.Generator) -> None:
    """The optimizer forgets earlier gradients; the weights stay."""
    optimizer.forget()


def shrink_and_perturb(
    optimizer, weights: Sequence, random: np.random.Generator
) -> None:
    """Shrinks all weights and adds noise; the optimizer forgets as well."""
    optimizer.forget()
    for weight in weights:
        noise = random.normal(0.0, NOISE, weight.shape)
        weight.assign(SHRINK * np.asarray(weight) + noise)


# --stage_restart -> what is done before a stage's first step, the run's own
# first stage excepted.
RESTARTS = {"momentum": forget, "shrink_perturb": shrink_and_perturb}
