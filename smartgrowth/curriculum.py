"""Orders: in which the classes enter, and in which a class's images do.

Every order is a permutation, so the stages that take its beginnings are nested.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from smartgrowth import UserError


def class_order(
    name: str,
    class_names: Sequence[str],
    groups: Mapping[str, str] | None,
    seed: int,
) -> np.ndarray:
    """Indices into `class_names`, int64 (C,), in the order of entering.

    random: seeded. taxonomy: one class of every coarse group first, then the
    second ones, so that siblings come last. siblings_first, its control: group
    after group. Both are random within that.
    """
    order = np.random.default_rng([seed, 1]).permutation(len(class_names))
    if name == "random":
        return order
    if not groups:
        raise UserError(
            f"--class_order={name} needs the coarse groups of the classes, "
            "which this dataset has not; give them as a CSV of class,group "
            "with --taxonomy=PATH, or use --class_order=random"
        )
    members: dict[str, int] = {}  # how many of each group came so far
    rank = []
    for index in order:
        group = groups[class_names[index]]
        members[group] = members.get(group, 0) + 1
        rank.append(members[group])
    if name == "siblings_first":
        place = {group: number for number, group in enumerate(members)}
        rank = [place[groups[class_names[index]]] for index in order]
    return order[np.argsort(rank, kind="stable")]


def sample_order(name: str, labels: np.ndarray, seed: int) -> list[np.ndarray]:
    """For each class its image indices, int64, in the order of entering.

    labels: (N,) of the training images, every class at least once.
    """
    orders = [
        np.flatnonzero(labels == label) for label in range(labels.max() + 1)
    ]
    if name == "first":
        return orders
    return [
        np.random.default_rng([seed, 2, label]).permutation(indices)
        for label, indices in enumerate(orders)
    ]


def stage_images(
    stage, classes: np.ndarray, samples: Sequence[np.ndarray]
) -> np.ndarray:
    """The images of a `plan.Stage`, int64 (stage.num_images,).

    classes: a class order. samples: a sample order.
    """
    return np.concatenate(
        [
            samples[label][: stage.samples_per_class]
            for label in classes[: stage.num_classes]
        ]
    )
