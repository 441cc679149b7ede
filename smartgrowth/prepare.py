"""From settings and data to what a run trains on: plan, orders, hard images.

Whatever an order needs (descriptions, lists, an earlier run) is found here.
"""

import pathlib
from collections.abc import Sequence

import numpy as np

from smartgrowth import (
    UserError,
    curriculum,
    descriptors,
    hardest,
    rate_chart,
    run_directory,
    schedules,
)
from smartgrowth.config import Config
from smartgrowth.data.store import Data, find_classes
from smartgrowth.data.user_csv import read_rows
from smartgrowth.models import Network
from smartgrowth.plan import Plan, make_network, make_plan, table


def plan_run(config: Config, data: Data) -> tuple[Plan, Network, np.ndarray]:
    """The plan of `config` on `data`, its network, and its class order."""
    network = make_network(config, len(data.class_names))
    classes = class_order(config, data)
    counts = data.class_counts[classes].tolist()
    return make_plan(config, counts, network), network, classes


def class_order(config: Config, data: Data) -> np.ndarray:
    """The order that `--class_order` means, int64 (C,).

    Raises:
      UserError: there are no groups, or a file that cannot be used.
    """
    name, names = config.class_order, data.class_names
    kept = read_orders(config, data)
    if kept:
        return kept[0]
    if name == "random":
        return curriculum.random_classes(len(names), config.seed)
    if name in ("taxonomy", "siblings_first"):
        return curriculum.grouped_classes(name, names, data.groups, config.seed)
    if name.startswith("file:"):
        return _listed_classes(name.removeprefix("file:"), names)
    features = descriptors.describe(config, data)
    centroids = curriculum.centroids(features, data.train.labels)
    order = {
        "far_first": curriculum.far_first,
        "near_first": curriculum.near_first,
    }[name]
    return order(centroids)


def sample_order(config: Config, data: Data) -> list[np.ndarray]:
    """The order that `--sample_order` means: for each class its images.

    Raises:
      UserError: a file or a run that cannot be used.
    """
    name, labels, seed = config.sample_order, data.train.labels, config.seed
    kept = read_orders(config, data)
    if kept:
        return kept[1]
    kind, _, rest = name.partition(":")
    if kind == "hardest":
        losses = hardest.read_losses("--sample_order", rest, data)
        return curriculum.hardest_images(labels, losses)
    if kind == "file":
        listed = _listed_images(rest, data.train.ids)
        return curriculum.listed_images(labels, listed, seed)
    choose = {"iconic": curriculum.iconic, "medoids": curriculum.medoids}
    if name in choose:
        return curriculum.representative_images(
            choose[name], descriptors.describe(config, data), labels, seed
        )
    if name == "first":
        return curriculum.images_of_classes(labels)
    return curriculum.random_images(labels, seed)


def write_orders(
    config: Config, data: Data, classes: np.ndarray, samples: list[np.ndarray]
) -> None:
    """Keeps orders by likeness in `--workdir`, for a run that goes on.

    On another machine the descriptions, made anew, may differ in a last digit.
    """
    if config.needs_descriptor:
        run_directory.write_npz(
            _orders_path(config),
            key=run_directory.hash_identity(config, data),
            classes=classes,
            samples=np.concatenate(samples),
        )


def read_orders(
    config: Config, data: Data
) -> tuple[np.ndarray, list[np.ndarray]] | None:
    """What `write_orders` kept for these very settings and data, if any."""
    if not config.needs_descriptor:
        return None
    try:
        kept = run_directory.read_npz(_orders_path(config))
    except OSError:
        return None
    if str(kept["key"]) != run_directory.hash_identity(config, data):
        return None
    ends = np.cumsum(data.class_counts)[:-1]
    return kept["classes"], np.split(kept["samples"], ends)


def _orders_path(config: Config) -> pathlib.Path:
    return pathlib.Path(config.workdir).expanduser() / run_directory.ORDERS


def hard_images(config: Config, data: Data) -> np.ndarray:
    """The training images that `--replay_hard` means, int64 (K,); none if off.

    Raises:
      UserError: a run that cannot be used.
    """
    if not config.replay:
        return np.zeros(0, np.int64)
    return hardest.read_wrong("--replay_hard", config.replay[0], data)


def make_tables(
    config: Config, plan: Plan, rate: float | Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Rate and momentum of every step, as `schedules.make_tables`.

    rate: the highest; or one for each stage from the first one on, the last of
    which serves those that follow.
    """
    count = len(plan.stages)
    if not np.isscalar(rate):
        rate = [*rate, *[rate[-1]] * (count - len(rate))]
    return schedules.make_tables(
        config.schedule,
        rate,
        [stage.steps for stage in plan.stages],
        restart=config.schedule_scope == "stage",
        cycles=_cycles(config, plan),
        cycle_mult=config.cycle_mult,
    )


def _cycles(config: Config, plan: Plan) -> list[int | None]:
    """Steps of the first cycle in each stage; None for as long as it gets."""
    if config.cycle_epochs is None:
        return [config.cycle_len] * len(plan.stages)
    cycles = [
        max(round(config.cycle_epochs * s.num_images / s.batch_size), 1)
        for s in plan.stages
    ]
    if config.schedule_scope == "run" and len(set(cycles)) > 1:
        steps = ", ".join(map(str, cycles))
        raise UserError(
            f"--cycle_epochs={config.cycle_epochs:g} is {steps} steps in the "
            "stages of this plan, and one schedule runs through all of them; "
            "give --schedule_scope=stage, or --cycle_len in steps"
        )
    return cycles


def rate_drawing(config: Config, plan: Plan) -> str:
    """Learning rate and momentum of the whole plan, in characters."""
    rate, unit = config.lr, ""
    if config.finds_rate:
        rate, unit = 1.0, " times the rate that is found"
    rates, momenta = make_tables(config, plan, rate)
    begins = [stage.first_step for stage in plan.stages]
    return rate_chart.rate_chart(rates, momenta, begins, unit)


def overview(config: Config, plan: Plan, data: Data) -> str:
    """A plan's table, and below it what its columns cannot say."""
    lines = [table(plan)]
    for stage in plan.stages:
        if len(set(stage.sizes)) > 1:
            sizes = ", ".join(map(str, stage.sizes))
            lines.append(
                f"stage {stage.index + 1}: batches at {sizes} px in turn, at "
                "random"
            )
    if config.balance == "oversample":
        counts = data.class_counts
        lines.append(
            f"classes of {counts.min():,} to {counts.max():,} training images, "
            "each shown as often as the largest that has entered"
        )
    if config.replay:
        run, fraction = config.replay
        count = len(hard_images(config, data))
        lines.append(
            f"{fraction:.0%} of every batch from the second stage on: of the "
            f"{count:,} training images that {run} got wrong"
        )
    return "\n".join(lines)


def _listed_classes(path: str, names: Sequence[str]) -> np.ndarray:
    order = []
    flag = f"--class_order=file:{path}"
    for _, (wanted,) in read_rows(flag, path, ["class"]):
        found = find_classes(wanted, names)
        if len(found) != 1:
            what = "means several classes" if found else "is no class"
            raise UserError(
                f"{flag}: {wanted!r} {what} of this "
                f"dataset; its classes are {_some(names)}"
            )
        order += found
    left_out = [names[i] for i in sorted({*range(len(names))} - {*order})]
    if left_out or len(order) > len(names):
        what = f"{_some(left_out)} left out" if left_out else "a class twice"
        raise UserError(f"{flag}: {what}; name every class once")
    return np.array(order, np.int64)


def _listed_images(path: str, ids: Sequence[str]) -> np.ndarray:
    place = {id: index for index, id in enumerate(ids)}
    flag = f"--sample_order=file:{path}"
    rows = read_rows(flag, path, ["image"])
    wanted = dict.fromkeys(id for _, (id,) in rows)
    listed = [place[id] for id in wanted if id in place]
    if not listed:
        raise UserError(
            f"{flag}: none of its {len(wanted):,} images "
            f"is among the training images, such as {ids[0]!r}"
        )
    if len(listed) < len(wanted):
        print(
            f"{flag}: {len(wanted) - len(listed):,} of its "
            f"{len(wanted):,} images are not among the training images"
        )
    return np.array(listed, np.int64)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
