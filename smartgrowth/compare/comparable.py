"""Which runs can be compared, and which conditions differed between them."""

from collections.abc import Sequence

from smartgrowth import UserError
from smartgrowth.compare.arms import Trial

# Parts of plan.json's identity that must agree, and their names in messages.
SAME = {
    "num_classes": "number of classes",
    "content": "data (classes, images or labels, of training or validation)",
    "test_size": "image size of the validation",
    "model": "model",
    "width": "width",
    "depth": "depth",
    "dropout": "dropout",
}


def check_same_task(trials: Sequence[Trial]) -> None:
    """Raises `UserError` if two runs did not have the same task."""
    first = trials[0]  # the baseline's
    for trial in trials:
        ours, theirs = (each.description["identity"] for each in (first, trial))
        different = [
            f"{words} {_short(ours.get(name))} against "
            f"{_short(theirs.get(name))}"
            for name, words in SAME.items()
            if ours.get(name) != theirs.get(name)
        ]
        if different:
            raise UserError(
                f"{first.name} ({first.directory}) and {trial.name} "
                f"({trial.directory}) cannot be compared: "
                f"{'; '.join(different)}"
            )


def _short(value) -> str:
    """Returns the first 12 characters, enough of a digest for a message."""
    return str(value)[:12]
