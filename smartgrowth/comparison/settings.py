"""The flags of --mode=compare alone; no run depends on them."""

import dataclasses

from smartgrowth import UserError
from smartgrowth.comparison.equality import KINDS
from smartgrowth.flags.checks import AT_LEAST_ONE, SHARE_ABOVE_ZERO, Check
from smartgrowth.flags.flag import Identity, check_values, flag


def parse_shard(text: str) -> tuple[int, int] | None:
    """Returns K and N of K/N; (0, 0) for "all", None if it is no such."""
    if text == "all":
        return 0, 0
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal()):
        return None
    found = int(number), int(count)
    return found if 1 <= found[0] <= found[1] else None


def _is_cluster(text: str) -> bool:
    kind, _, count = text.partition(":")
    return text != "" and (kind != "local" or count.isdecimal())


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What is compared, how often, and what the arms have equal.

    Raises:
      UserError: a value is out of range.
    """

    arms: tuple[str, ...] = flag(
        (),
        "Flagfiles, or folders of finished runs; the first is the baseline.",
        identity=Identity.NEVER,
        each=str,
    )
    seeds: int = flag(
        5,
        "Runs of every arm, from --seed on.",
        identity=Identity.NEVER,
        check=AT_LEAST_ONE,
    )
    jobs: int = flag(
        1,
        "Runs at once, which share the cores; above 1 their seconds mean "
        "nothing, and none appear.",
        identity=Identity.NEVER,
        check=AT_LEAST_ONE,
    )
    cluster: str | None = flag(
        None,
        "Train on the workers of a Dask cluster: the address of its scheduler, "
        "or local:N for N workers on this machine. All must have the same "
        "folders at the same paths.",
        identity=Identity.NEVER,
        check=Check(
            _is_cluster,
            "the address of a scheduler, such as tcp://10.0.0.1:8786, or "
            "local:N",
        ),
    )
    shard: str | None = flag(
        None,
        "K/N: train only part K of N, of about equal cost; every machine gets "
        "the same command with a K of its own. all: train nothing, and make "
        "the page from the runs that are there.",
        identity=Identity.NEVER,
        check=Check(
            lambda text: parse_shard(text) is not None,
            "K/N with K from 1 to N, such as 2/3, or all",
        ),
    )
    budgets: tuple[float, ...] = flag(
        (1.0,),
        "Shares of the cost, each trained to its own end.",
        identity=Identity.NEVER,
        check=SHARE_ABOVE_ZERO,
        each=float,
    )
    target: float | None = flag(
        None,
        "Accuracy, 0 to 1, whose cost is read off the curves; what the "
        "baseline of the same seed ended with unless given.",
        identity=Identity.NEVER,
        check=SHARE_ABOVE_ZERO,
    )
    equal: str = flag(
        "gflops",
        "What the arms get the same of: as much as the baseline spends, or "
        "--budget_gflops.",
        identity=Identity.NEVER,
        choices=tuple(KINDS),
    )

    def __post_init__(self):
        check_values(self)
        if not self.arms:
            raise UserError(
                "--arms=: must be flagfiles or folders of finished runs"
            )
        if self.equal == "seconds" and self.jobs > 1:
            raise UserError(
                "--equal=seconds: runs that share the machine cannot be timed; "
                "give --jobs=1"
            )
        if self.cluster and self.jobs > 1:
            raise UserError(
                "--cluster with --jobs: a cluster runs as many at once as its "
                "workers have threads; leave --jobs out"
            )
        if self.equal == "seconds" and self.cluster:
            raise UserError(
                "--equal=seconds with --cluster: machines differ in speed; "
                "give --equal=gflops"
            )
        if self.equal == "seconds" and self.shard:
            raise UserError(
                "--equal=seconds with --shard: machines differ in speed; give "
                "--equal=gflops"
            )
