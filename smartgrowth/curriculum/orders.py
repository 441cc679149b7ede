"""Orders: in which the classes enter, and in which a class's images do.

Every order is a permutation, so the stages that take its beginnings are nested.
Arrays in, arrays out; where they come from is `choose`'s affair.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from smartgrowth import UserError

# Images of a class after which an order goes on at random: every one of them
# costs a pass over the class, or over its pairs, and so late none stands out.
COVER, MEDOIDS = 1000, 100
PAIRED = 4000  # images of a class, at most, whose pairs are all compared


def random_classes(count: int, seed: int) -> np.ndarray:
    """A seeded order of `count` classes, int64 (count,)."""
    return np.random.default_rng([seed, 1]).permutation(count)


def grouped_classes(
    name: str,
    class_names: Sequence[str],
    groups: Mapping[str, str] | None,
    seed: int,
) -> np.ndarray:
    """Indices into `class_names`, int64 (C,), by the groups of a taxonomy.

    taxonomy: one class of every coarse group first, then the second ones, so
    that siblings come last. siblings_first, its control: group after group.
    Both are random within that.
    """
    if not groups:
        raise UserError(
            f"--class_order={name} needs the coarse groups of the classes, "
            "which this dataset has not; give them as a CSV of class,group "
            "with --taxonomy=PATH, or use --class_order=far_first"
        )
    order = random_classes(len(class_names), seed)
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


def far_first(centroids: np.ndarray) -> np.ndarray:
    """Farthest-first traversal (Gonzalez 1985) of class centroids (C, D).

    The two least alike first; then always the class whose nearest one among
    those before is farthest away. Returns int64 (C,).
    """
    distances = _distances(centroids, centroids)
    apart = distances - np.eye(len(distances))  # no class from itself
    order = list(np.unravel_index(apart.argmax(), apart.shape))
    return _extend(order, distances, np.minimum, np.argmax)


def near_first(centroids: np.ndarray) -> np.ndarray:
    """The control of `far_first`: the most alike first.

    The closest pair, then always the class that is nearest on average to those
    before. Returns int64 (C,).
    """
    distances = _distances(centroids, centroids)
    apart = distances + np.diag(np.full(len(distances), np.inf))
    order = list(np.unravel_index(apart.argmin(), apart.shape))
    return _extend(order, distances, np.add, np.argmin)


def centroids(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean description of each class: (N, D), (N,) -> (C, D)."""
    return np.stack(
        [
            features[labels == label].mean(axis=0)
            for label in range(labels.max() + 1)
        ]
    )


def images_of_classes(labels: np.ndarray) -> list[np.ndarray]:
    """For each class its image indices, int64, as they are stored.

    labels: (N,) of the training images, every class at least once.
    """
    return [
        np.flatnonzero(labels == label) for label in range(labels.max() + 1)
    ]


def random_images(labels: np.ndarray, seed: int) -> list[np.ndarray]:
    """As `images_of_classes`, in seeded orders."""
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
    """Each class's images as `choose` has them, the others after, at random.

    choose: `iconic` or `medoids`. features: (N, D).
    """
    orders = []
    for label, indices in enumerate(images_of_classes(labels)):
        order = choose(features[indices])
        rest = np.setdiff1d(np.arange(len(indices)), order)
        rest = np.random.default_rng([seed, 4, label]).permutation(rest)
        orders.append(indices[np.concatenate([order, rest])])
    return orders


def medoids(features: np.ndarray, limit: int = MEDOIDS) -> np.ndarray:
    """Indices of up to `limit` of (N, D) descriptions, the medoid first.

    Each next one is that which brings all N nearest, on average, to those
    chosen: the BUILD of PAM (Kaufman and Rousseeuw 1990). Of more than `PAIRED`
    images, some are chosen from and looked at, always the same ones.
    """
    some = np.random.default_rng(0).permutation(len(features))[:PAIRED]
    distances = _distances(features[some], features[some])
    order: list[int] = []
    nearest = np.full(len(some), np.inf)
    while len(order) < min(limit, len(some)):
        totals = np.minimum(distances, nearest).sum(axis=1)
        totals[order] = np.inf  # not again, though others bring nothing either
        order.append(int(totals.argmin()))
        nearest = np.minimum(nearest, distances[order[-1]])
    return some[order]


def iconic(features: np.ndarray, limit: int = COVER) -> np.ndarray:
    """Indices of up to `limit` of (N, D) descriptions: medoid, then cover.

    Each next one is that which is worst represented so far: whose nearest one
    among those before is farthest away.
    """
    total = sum(  # a part at a time, so that a class of any size fits
        _distances(features, features[start : start + 1000]).sum(axis=1)
        for start in range(0, len(features), 1000)
    )
    order = [int(total.argmin())]
    nearest = _distances(features, features[order])[:, 0]
    while len(order) < min(limit, len(features)):
        nearest[order[-1]] = -1.0  # not again, though others be as near
        order.append(int(nearest.argmax()))
        new = _distances(features, features[order[-1:]])[:, 0]
        nearest = np.where(nearest < 0, nearest, np.minimum(nearest, new))
    return np.array(order)


def hardest_images(labels: np.ndarray, losses: np.ndarray) -> list[np.ndarray]:
    """Each class's images by their loss (N,), the highest first."""
    return [
        indices[np.argsort(-losses[indices], kind="stable")]
        for indices in images_of_classes(labels)
    ]


def listed_images(
    labels: np.ndarray, listed: np.ndarray, seed: int
) -> list[np.ndarray]:
    """Each class's images as `listed` names them, the others after, at random.

    listed: indices of images, int64 (K,), none twice.
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
    """The images of a `plan.Stage`, int64 (stage.num_images,).

    classes: a class order. samples: a sample order.
    """
    return np.concatenate(
        [
            samples[label][: stage.samples_per_class]
            for label in classes[: stage.num_classes]
        ]
    )


def oversample(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """One pass over `images` in which every class comes equally often.

    images: indices (K,); labels: of all images. A class with fewer images than
    the largest repeats them, each as often as the next one to within once.
    """
    parts = [
        images[labels[images] == label] for label in np.unique(labels[images])
    ]
    most = max(len(part) for part in parts)
    return np.concatenate([np.resize(part, most) for part in parts])


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean, (N, D), (M, D) -> float64 (N, M)."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0))


def _extend(order, distances, combine, choose) -> np.ndarray:
    """Adds to `order` what `choose` prefers by the combined distances."""
    worst = -np.inf if choose is np.argmax else np.inf
    together = combine.reduce(distances[order])
    while len(order) < len(distances):
        together[order] = worst
        order.append(choose(together))
        # What came before stays out: its inf outlives the combination.
        together = combine(together, distances[order[-1]])
    return np.array(order, np.int64)
