"""Orders in which classes become active, and in which their images do.

Every order is a permutation. A stage takes its beginning, so stages are nested.
Arrays in, arrays out; `choose` prepares them.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from smartgrowth import UserError

# Images of a class after which an order continues at random: each of them
# costs a pass over the class or its pairs, and late ones hardly differ.
COVER, MEDOIDS = 1000, 100
PAIRED = 4000  # most images of a class whose pairs are all compared


def random_classes(count: int, seed: int) -> np.ndarray:
    """Returns a seeded order of `count` classes, int64 (count,)."""
    return np.random.default_rng([seed, 1]).permutation(count)


def grouped_classes(
    name: str,
    class_names: Sequence[str],
    groups: Mapping[str, str] | None,
    seed: int,
) -> np.ndarray:
    """Returns a class order by the groups of a taxonomy, int64 (C,).

    Args:
      name: "taxonomy" starts with one class of every group, then takes a
        second of each, and so on. "siblings_first", its control, takes group
        after group. Both are random otherwise.
      class_names: C names.
      groups: class name -> group.
      seed: of the random order.

    Raises:
      UserError: there are no groups.
    """
    if not groups:
        raise UserError(
            f"--class_order={name} needs the coarse groups of the classes, "
            "which this dataset has not; give them as a CSV of class,group "
            "with --taxonomy=PATH, or use --class_order=far_first"
        )
    order = random_classes(len(class_names), seed)
    members: dict[str, int] = {}  # classes of each group so far
    rank = []
    for index in order:
        group = groups[class_names[index]]
        members[group] = members.get(group, 0) + 1
        rank.append(members[group])
    if name == "siblings_first":
        place = {group: number for number, group in enumerate(members)}
        rank = [place[groups[class_names[index]]] for index in order]
    return order[np.argsort(rank, kind="stable")]


def far_first(centroids: np.ndarray) -> np.ndarray:
    """Returns a farthest-first traversal (Gonzalez 1985), int64 (C,).

    It starts with the two classes farthest apart. Each next class is the one
    whose nearest predecessor is farthest away.

    Args:
      centroids: of the classes, (C, D).
    """
    distances = _distances(centroids, centroids)
    apart = distances - np.eye(len(distances))  # never a class with itself
    order = list(np.unravel_index(apart.argmax(), apart.shape))
    return _extend(order, distances, np.minimum, np.argmax)


def near_first(centroids: np.ndarray) -> np.ndarray:
    """Returns the most similar classes first, int64 (C,).

    This is the control of `far_first`. It starts with the closest pair; each
    next class is the one nearest on average to its predecessors.

    Args:
      centroids: of the classes, (C, D).
    """
    distances = _distances(centroids, centroids)
    apart = distances + np.diag(np.full(len(distances), np.inf))
    order = list(np.unravel_index(apart.argmin(), apart.shape))
    return _extend(order, distances, np.add, np.argmin)


def centroids(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns each class's mean descriptor: (N, D), (N,) -> (C, D)."""
    return np.stack(
        [
            features[labels == label].mean(axis=0)
            for label in range(labels.max() + 1)
        ]
    )


def images_of_classes(labels: np.ndarray) -> list[np.ndarray]:
    """Returns the image indices of each class, int64, in stored order.

    Args:
      labels: (N,), of the training images; every class at least once.
    """
    return [
        np.flatnonzero(labels == label) for label in range(labels.max() + 1)
    ]


def random_images(labels: np.ndarray, seed: int) -> list[np.ndarray]:
    """Returns the image indices of each class in a seeded order."""
    return [
        np.random.default_rng([seed, 2, label]).permutation(indices)
        for label, indices in enumerate(images_of_classes(labels))
    ]


def representative_images(
    choose: Callable[[np.ndarray], np.ndarray],
    features: np.ndarray,
    labels: np.ndarray,
    seed: int,
) -> list[np.ndarray]:
    """Returns each class's images: those `choose` selects, then a random rest.

    Args:
      choose: `iconic` or `medoids`.
      features: descriptors of the training images, (N, D).
      labels: (N,).
      seed: of the random order.
    """
    orders = []
    for label, indices in enumerate(images_of_classes(labels)):
        order = choose(features[indices])
        rest = np.setdiff1d(np.arange(len(indices)), order)
        rest = np.random.default_rng([seed, 4, label]).permutation(rest)
        orders.append(indices[np.concatenate([order, rest])])
    return orders


def medoids(features: np.ndarray, limit: int = MEDOIDS) -> np.ndarray:
    """Returns indices of up to `limit` of (N, D) descriptors, int64.

    The first is the medoid. Each next one minimizes the mean distance of all N
    to their nearest selected one: the BUILD phase of PAM (Kaufman and Rousseeuw
    1990). Above `PAIRED` images, only a fixed subset is used.
    """
    some = np.random.default_rng(0).permutation(len(features))[:PAIRED]
    distances = _distances(features[some], features[some])
    order: list[int] = []
    nearest = np.full(len(some), np.inf)
    while len(order) < min(limit, len(some)):
        totals = np.minimum(distances, nearest).sum(axis=1)
        totals[order] = np.inf  # never twice, even if no other image helps
        order.append(int(totals.argmin()))
        nearest = np.minimum(nearest, distances[order[-1]])
    return some[order]


def iconic(features: np.ndarray, limit: int = COVER) -> np.ndarray:
    """Returns indices of up to `limit` of (N, D) descriptors, int64.

    The first is the medoid. Each next one is the least represented so far: its
    nearest predecessor is farthest away.
    """
    total = sum(  # in parts, so that a class of any size fits in memory
        _distances(features, features[start : start + 1000]).sum(axis=1)
        for start in range(0, len(features), 1000)
    )
    order = [int(total.argmin())]
    nearest = _distances(features, features[order])[:, 0]
    while len(order) < min(limit, len(features)):
        nearest[order[-1]] = -1.0  # never twice, even among equal images
        order.append(int(nearest.argmax()))
        new = _distances(features, features[order[-1:]])[:, 0]
        nearest = np.where(nearest < 0, nearest, np.minimum(nearest, new))
    return np.array(order)


def hardest_images(labels: np.ndarray, losses: np.ndarray) -> list[np.ndarray]:
    """Returns each class's images by their loss (N,), the highest first."""
    return [
        indices[np.argsort(-losses[indices], kind="stable")]
        for indices in images_of_classes(labels)
    ]


def listed_images(
    labels: np.ndarray, listed: np.ndarray, seed: int
) -> list[np.ndarray]:
    """Returns each class's images: the listed ones, then a random rest.

    Args:
      labels: (N,).
      listed: indices of images, int64 (K,), none twice.
      seed: of the random order.
    """
    place = np.full(len(labels), len(listed))
    place[listed] = np.arange(len(listed))
    return [
        order[np.argsort(place[order], kind="stable")]
        for order in random_images(labels, seed)
    ]


def stage_images(
    stage, classes: np.ndarray, samples: Sequence[np.ndarray]
) -> np.ndarray:
    """Returns the images of a `plan.Stage`, int64 (stage.num_images,).

    Args:
      stage: a stage.
      classes: a class order.
      samples: a sample order.
    """
    return np.concatenate(
        [
            samples[label][: stage.samples_per_class]
            for label in classes[: stage.num_classes]
        ]
    )


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns Euclidean distances: (N, D), (M, D) -> float64 (N, M)."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0))


def _extend(order, distances, combine, choose) -> np.ndarray:
    """Extends `order` by the index that `choose` selects, until complete.

    It selects by the combined distances to the indices in `order`.
    """
    worst = -np.inf if choose is np.argmax else np.inf
    together = combine.reduce(distances[order])
    while len(order) < len(distances):
        together[order] = worst
        order.append(choose(together))
        # Earlier indices stay excluded: their inf survives the combination.
        together = combine(together, distances[order[-1]])
    return np.array(order, np.int64)
