"""All that a run is before it has a directory or a device, made once.

Flags make a `Config`, names of datasets make `Data`; here both become what is
trained: a plan, a network, and the orders in which classes and images enter.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

import numpy as np

from smartgrowth import UserError, boundaries
from smartgrowth.config import Config
from smartgrowth.curriculum import choose, orders
from smartgrowth.data.store import Data
from smartgrowth.flags.model import is_users
from smartgrowth.models.network import Network
from smartgrowth.planning import make_network, make_plan
from smartgrowth.runs import identity
from smartgrowth.runs.reader import read_plan
from smartgrowth.stages import Decision, Plan, Stage

# Evaluations unless --evals says: at most as many, and at most as many as have
# a share of the training's cost in their forward passes.
MOST_EVALUATIONS, EVALUATION_SHARE = 20, 0.05
CLEAN_IMAGES = 1000  # at most, of a stage


@dataclasses.dataclass(frozen=True, eq=False)
class Experiment:
    """A configuration on a dataset; `make_experiment` makes one.

    config: the flags. data: the images. plan: the stages. network: what is
      trained, not built yet. class_order: int64 (classes,), labels in the
      order in which they become active.
    """

    config: Config
    data: Data
    plan: Plan
    network: Network
    class_order: np.ndarray

    def after(self, decisions: Sequence[Decision]) -> "Experiment":
        """Returns the experiment as it is planned once this is decided.

        The orders that were found stay found.
        """
        plan = dataclasses.replace(self.plan, decisions=tuple(decisions))
        changed = dataclasses.replace(self, plan=boundaries.lay_out(plan))
        for name in ("image_order", "hard_images"):
            if name in self.__dict__:
                changed.__dict__[name] = self.__dict__[name]
        # Nor are the files read again that flags name.
        changed.__dict__["description"] = identity.describe_plan(
            changed.plan, self.description["identity"]
        )
        return changed

    @functools.cached_property
    def image_order(self) -> list[np.ndarray]:
        """For each label its training images, int64, the first to enter first.

        Raises:
          UserError: `--sample_order` names a file or run that cannot be used.
        """
        return choose.image_order(self.config, self.data)

    @functools.cached_property
    def hard_images(self) -> np.ndarray:
        """The training images that `--replay_hard` names, int64 (K,).

        Raises:
          UserError: the run that it names cannot be used.
        """
        return choose.hard_images(self.config, self.data)

    def find_orders(self) -> None:
        """Finds image order and hard images now, and not while a stage begins.

        Raises:
          UserError: a file or run that a flag names cannot be used.
        """
        self.image_order, self.hard_images  # noqa: B018 - kept once found

    @functools.cached_property
    def description(self) -> dict:
        """What plan.json holds: the stages, their cost, the run's identity."""
        return identity.describe_plan(
            self.plan, identity.identify(self.config, self.data)
        )

    @property
    def epochs(self) -> float:
        """Passes over the whole training set that the plan makes.

        The most that it may make, as long as it is not decided.
        """
        plan, count = self.plan, len(self.data.train.labels)
        if plan.rules and len(plan.decisions) + 1 < len(plan.stages):
            return boundaries.most_images(plan) / count
        return plan.epochs(count)

    def audit(self, model) -> list:
        """Returns the assignment's rules against a built network.

        A `models.audit.Finding` for each; imports Keras.
        """
        from smartgrowth.models import audit

        return audit.audit(
            model,
            self.epochs,
            self.config.final_size,
            self.data.train.ids,
            self.config.init_from,
        )

    def stage_images(self, stage: Stage) -> np.ndarray:
        """Returns the training images of a stage, int64 (num_images,)."""
        return orders.stage_images(stage, self.class_order, self.image_order)

    def clean_images(self, stage: Stage) -> np.ndarray:
        """Returns the training images by which a stage judges what it learned.

        All, or `CLEAN_IMAGES` at random, the same at every evaluation.
        """
        images = self.stage_images(stage)
        noise = np.random.default_rng([self.config.seed, 6, stage.index])
        return np.sort(noise.permutation(images)[:CLEAN_IMAGES])

    def active_classes(self, stage: Stage) -> np.ndarray:
        """Returns the labels that a stage trains on, int64 (num_classes,)."""
        return self.class_order[: stage.num_classes]


def make_experiment(config: Config, data: Data) -> Experiment:
    """Returns what `config` means on `data`.

    Raises:
      UserError: the settings make no plan, an order cannot be found, or a
        network of the user's breaks a rule that `--enforce_rules` enforces.
    """
    network = make_network(config, len(data.class_names))
    class_order = choose.class_order(config, data)
    counts = data.class_counts[class_order].tolist()
    plan = make_plan(config, counts, network, _repeated_plan(config))
    if not config.evals and config.decides_growth:
        # Which falls at evaluations.
        plan = dataclasses.replace(plan, evals=MOST_EVALUATIONS)
    elif not config.evals:
        images = len(data.validation.labels)
        count = count_evaluations(config, plan, network, images)
        plan = dataclasses.replace(plan, evals=count)
    experiment = Experiment(config, data, plan, network, class_order)
    if config.enforce_rules and is_users(config.model):
        # Built by now; a network of this program is once it trains.
        from smartgrowth.models import audit

        audit.enforce(experiment.audit(network.model))
    return experiment


def count_evaluations(
    config: Config, plan: Plan, network: Network, num_images: int
) -> int:
    """Returns how many evaluations a run gets beside those at stages' ends.

    Args:
      plan: its stages, with their cost.
      network: prices an image at each size.
      num_images: to validate on.
    """
    final_size, training = config.final_size, plan.gflops()
    final = network.flops_per_image(final_size)
    # Of an image, at the mean of the moments: they are even over the cost.
    flops = final + sum(
        network.flops_per_image(seen) * plan.gflops_of(stage) / training
        for stage in plan.stages
        if (seen := config.size_seen(stage.image_size)) != final_size
    )
    affordable = EVALUATION_SHARE * training / (num_images * flops / 1e9)
    return min(max(int(affordable), 1), MOST_EVALUATIONS)


def _repeated_plan(config: Config) -> dict | None:
    """Returns the plan.json of the run whose stages are repeated, if any.

    Raises:
      UserError: it is no run, or has not decided them all yet.
    """
    if not config.grow_schedule:
        return None
    run = config.grow_schedule.removeprefix("file:")
    try:
        plan = read_plan(pathlib.Path(run).expanduser())
    except UserError as error:
        raise UserError(
            f"--grow_schedule={config.grow_schedule}: {error}"
        ) from None
    stages = plan["stages"]
    if "rules" in plan and len(plan["decisions"]) < len(stages) - 1:
        raise UserError(
            f"--grow_schedule={config.grow_schedule}: that run has ended "
            f"{len(plan['decisions'])} of its {len(stages)} stages yet; let it "
            "finish first"
        )
    return plan
