"""The flags of the curriculum: which images and classes enter when."""

import dataclasses

from smartgrowth.flags.checks import Check, one_of
from smartgrowth.flags.flag import Identity, flag


def parse_replay(text: str) -> tuple[str, float] | None:
    """The run and the fraction of a RUN:FRACTION; None if it is no such."""
    run, _, number = text.rpartition(":")
    try:
        fraction = float(number)
    except ValueError:
        return None
    return (run, fraction) if run and 0 < fraction <= 1 else None


@dataclasses.dataclass(frozen=True)
class Curriculum:
    """The group Curriculum."""

    sample_order: str = flag(
        "random",
        "Order in which a class's images enter: random; first, as they are "
        "stored; iconic: the medoid first, then whatever is worst represented; "
        "medoids: the medoid first, then what best represents the rest; "
        "hardest:RUN, by their loss in a finished run; file:PATH, a CSV of "
        "ids.",
        identity=Identity.ALWAYS,
        check=one_of(
            ("random", "first", "iconic", "medoids"), ("hardest", "file")
        ),
    )
    class_order: str = flag(
        "random",
        "Order in which classes enter: random; taxonomy: one class of every "
        "coarse group first, siblings last; siblings_first, its control; "
        "far_first: the next always the one least like those before; "
        "near_first, its control; file:PATH, a CSV of names.",
        identity=Identity.ALWAYS,
        check=one_of(
            (
                "random",
                "taxonomy",
                "siblings_first",
                "far_first",
                "near_first",
            ),
            ("file",),
        ),
    )
    taxonomy: str | None = flag(
        None,
        "A CSV of class,group: the coarse groups of the classes.",
        identity=Identity.INDIRECT,
    )
    descriptor: str = flag(
        "classical",
        "What likeness is measured by. classical: colors and edges; learned: "
        "a small network trained on the same images.",
        identity=Identity.ALWAYS,
        choices=("classical", "learned"),
    )
    replay_hard: str | None = flag(
        None,
        "RUN:FRACTION. From the second stage on, that fraction of every batch "
        "is of training images that a finished run got wrong.",
        identity=Identity.ALWAYS,
        check=Check(
            lambda text: parse_replay(text) is not None,
            "RUN:FRACTION, a finished run's folder and a number above 0, up "
            "to 1",
        ),
    )
    balance: str = flag(
        "none",
        "oversample: show the images of small classes more often, so that "
        "every class is shown as often as any.",
        identity=Identity.ALWAYS,
        choices=("none", "oversample"),
    )
