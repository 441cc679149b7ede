"""From config and data to a run's orders of classes and images.

Descriptors, lists and earlier runs that an order needs are read here.
"""

import pathlib
from collections.abc import Sequence

import numpy as np

from smartgrowth import UserError
from smartgrowth.config import Config
from smartgrowth.curriculum import descriptors, earlier_run, orders
from smartgrowth.data.class_names import find_classes
from smartgrowth.data.store import Data
from smartgrowth.data.user_csv import read_rows
from smartgrowth.names import clean, key
from smartgrowth.runs import files
from smartgrowth.runs.identity import hash_identity
from smartgrowth.runs.parse import parsing, read_arrays, require
from smartgrowth.runtime.reporter import say


def class_order(config: Config, data: Data) -> np.ndarray:
    """Returns the class order of `--class_order`, int64 (C,).

    Raises:
      UserError: there are no groups, or a file that cannot be used.
    """
    name, names = config.class_order, data.class_names
    kept = read_orders(config, data)
    if kept:
        return kept[0]
    if name == "random":
        return orders.random_classes(len(names), config.seed)
    if name in ("taxonomy", "siblings_first"):
        return orders.grouped_classes(name, names, data.groups, config.seed)
    if name.startswith("file:"):
        return _listed_classes(name.removeprefix("file:"), names)
    features = descriptors.describe(config, data)
    centroids = orders.centroids(features, data.train.labels)
    order = {
        "far_first": orders.far_first,
        "near_first": orders.near_first,
    }[name]
    return order(centroids)


def image_order(config: Config, data: Data) -> list[np.ndarray]:
    """Returns the images of each class, in the order of `--sample_order`.

    Raises:
      UserError: a file or a run that cannot be used.
    """
    name, labels, seed = config.sample_order, data.train.labels, config.seed
    kept = read_orders(config, data)
    if kept:
        return kept[1]
    kind, _, rest = name.partition(":")
    if kind == "hardest":
        losses = earlier_run.read_losses("--sample_order", rest, data)
        return orders.hardest_images(labels, losses)
    if kind == "file":
        listed = _listed_images(rest, data)
        return orders.listed_images(labels, listed, seed)
    choose = {"iconic": orders.iconic, "medoids": orders.medoids}
    if name in choose:
        return orders.representative_images(
            choose[name], descriptors.describe(config, data), labels, seed
        )
    if name == "first":
        return orders.images_of_classes(labels)
    return orders.random_images(labels, seed)


def write_orders(config: Config, experiment) -> None:
    """Writes orders by similarity to `--workdir`, for when the run resumes.

    On another machine, recomputed descriptors may differ in the last digit.

    Args:
      config: of the run.
      experiment: an `Experiment`, which has the orders.
    """
    if config.needs_descriptor:
        files.write_npz(
            _orders_path(config),
            key=hash_identity(config, experiment.data),
            classes=experiment.class_order,
            samples=np.concatenate(experiment.image_order),
        )


def read_orders(
    config: Config, data: Data
) -> tuple[np.ndarray, list[np.ndarray]] | None:
    """Returns the orders written for this config and data; None if none.

    Those of a damaged file are found anew.
    """
    path = _orders_path(config)
    if not config.needs_descriptor or not path.exists():
        return None
    try:
        kept = read_arrays(path, {"key": 0, "classes": 1, "samples": 1})
        if str(kept["key"]) != hash_identity(config, data):
            return None
        with parsing(path):
            for name, items in (
                ("classes", data.class_names),
                ("samples", data.train.labels),
            ):
                whole = np.array_equal(np.sort(kept[name]), range(len(items)))
                require(whole, f"`{name}` is not an order of all")
    except UserError:
        say(f"warning: {path} is damaged, its orders are found anew")
        return None
    ends = np.cumsum(data.class_counts)[:-1]
    return kept["classes"], np.split(kept["samples"], ends)


def _orders_path(config: Config) -> pathlib.Path:
    return pathlib.Path(config.workdir).expanduser() / files.ORDERS


def hard_images(config: Config, data: Data) -> np.ndarray:
    """Returns the images of `--replay_hard`, int64 (K,); K is 0 if it is off.

    Raises:
      UserError: a run that cannot be used.
    """
    if not config.replay:
        return np.zeros(0, np.int64)
    return earlier_run.read_wrong("--replay_hard", config.replay[0], data)


def _listed_classes(path: str, names: Sequence[str]) -> np.ndarray:
    order = []
    flag = f"--class_order=file:{path}"
    for _, (wanted,) in read_rows(flag, path, ["class"]):
        matches = find_classes(wanted, names)
        if len(matches) != 1:
            what = "means several classes" if matches else "is no class"
            raise UserError(
                f"{flag}: {wanted!r} {what} of this "
                f"dataset; its classes are {_some(names)}"
            )
        order += matches
    left_out = [names[i] for i in sorted({*range(len(names))} - {*order})]
    if left_out or len(order) > len(names):
        what = f"{_some(left_out)} left out" if left_out else "a class twice"
        raise UserError(f"{flag}: {what}; name every class once")
    return np.array(order, np.int64)


def _listed_images(path: str, data: Data) -> np.ndarray:
    exact = {id: index for index, id in enumerate(data.train.ids)}
    # A list that was typed, or written on another system.
    place = {key(id).strip(): index for id, index in exact.items()} | exact
    flag = f"--sample_order=file:{path}"
    rows = read_rows(flag, path, ["image"], ["digest"])
    wanted = {}
    for _, (id, digest) in rows:
        spellings = (id, key(id), key(clean(id)))
        known = next((each for each in spellings if each in place), id)
        wanted.setdefault(known, digest)
    listed = list(dict.fromkeys(place[id] for id in wanted if id in place))
    if not listed:
        raise UserError(
            f"{flag}: none of its {len(wanted):,} images "
            f"is among the training images, such as {data.train.ids[0]!r}"
        )
    earlier_run.check_images(flag, path, wanted, data)
    if len(listed) < len(wanted):
        say(
            f"{flag}: {len(wanted) - len(listed):,} of its "
            f"{len(wanted):,} images are not among the training images"
        )
    return np.array(listed, np.int64)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
