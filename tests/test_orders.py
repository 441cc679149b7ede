"""Orders are permutations, so that every stage keeps what the last one had."""

import numpy as np
import pytest

from smartgrowth import UserError
from smartgrowth.curriculum import orders
from smartgrowth.curriculum.orders import (
    centroids,
    far_first,
    grouped_classes,
    hardest_images,
    iconic,
    images_of_classes,
    listed_images,
    medoids,
    near_first,
    random_classes,
    random_images,
    representative_images,
    stage_images,
)
from smartgrowth.stages import Stage

NAMES = tuple(f"class {index}" for index in range(12))
# Three groups of 6, 4 and 2 classes.
GROUPS = {
    name: "fish" if i % 2 else ("bird" if i % 3 else "star")
    for i, name in enumerate(NAMES)
}
LABELS = np.random.default_rng(3).permutation(
    np.repeat(range(5), [4, 1, 9, 6, 3])
)


FEATURES = np.random.default_rng(4).normal(size=(len(LABELS), 3))


@pytest.mark.parametrize("name", ["random", "taxonomy"])
def test_a_class_order_is_a_seeded_permutation(name):
    def class_order(seed):
        if name == "random":
            return random_classes(len(NAMES), seed)
        return grouped_classes(name, NAMES, GROUPS, seed)

    orders = [class_order(seed) for seed in range(5)]
    for order in orders:
        assert sorted(order) == list(range(12))
        assert order.dtype == np.int64
    assert len({tuple(order) for order in orders}) == 5
    np.testing.assert_array_equal(class_order(3), orders[3])


@pytest.mark.parametrize("seed", range(5))
def test_the_taxonomy_puts_one_class_of_every_group_first(seed):
    order = grouped_classes("taxonomy", NAMES, GROUPS, seed)
    entered = [GROUPS[NAMES[index]] for index in order]
    # Round after round: as long as a group has a class left, it gives one.
    sizes = {group: list(GROUPS.values()).count(group) for group in entered}
    assert sorted(sizes.values()) == [2, 4, 6]
    begin = 0
    for turn in range(6):
        ready = {group for group, size in sizes.items() if size > turn}
        assert set(entered[begin : begin + len(ready)]) == ready
        begin += len(ready)
    assert begin == len(entered)


def test_a_taxonomy_needs_groups():
    with pytest.raises(UserError, match="--class_order=taxonomy.*--taxonomy="):
        grouped_classes("taxonomy", NAMES, None, 0)


SAMPLE_ORDERS = {
    "random": lambda seed: random_images(LABELS, seed),
    "first": lambda seed: images_of_classes(LABELS),
    "iconic": lambda seed: representative_images(
        iconic, FEATURES, LABELS, seed
    ),
    "medoids": lambda seed: representative_images(
        medoids, FEATURES, LABELS, seed
    ),
    "hardest": lambda seed: hardest_images(LABELS, FEATURES[:, 0]),
    "file": lambda seed: listed_images(LABELS, np.array([3, 19, 7]), seed),
}


@pytest.mark.parametrize("name", SAMPLE_ORDERS)
def test_a_sample_order_permutes_each_classs_images(name):
    orders = SAMPLE_ORDERS[name](1)
    assert [len(order) for order in orders] == [4, 1, 9, 6, 3]
    for label, order in enumerate(orders):
        assert (LABELS[order] == label).all()
    everything = np.concatenate(orders)
    assert sorted(everything) == list(range(len(LABELS)))


def test_first_is_the_datasets_own_order():
    for order in images_of_classes(LABELS):
        assert (np.diff(order) > 0).all()


def test_random_samples_are_seeded():
    one, same, other = (random_images(LABELS, s) for s in (1, 1, 2))
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(one, other, strict=True))
    assert (np.diff(one[2]) < 0).any()


def test_classes_of_one_size_have_orders_of_their_own():
    orders = random_images(np.arange(60) % 3, 1)
    ranks = {tuple(order // 3) for order in orders}
    assert len(ranks) == 3


def test_a_classs_order_does_not_depend_on_other_classes():
    places = np.flatnonzero(LABELS == 0)
    among = random_images(LABELS, 1)[0]
    # Drawn for the class: 4 of its own, whichever places they have.
    ranks = np.searchsorted(places, among)
    assert sorted(ranks) == [0, 1, 2, 3]
    alone = random_images(np.zeros(4, int), 1)[0]
    np.testing.assert_array_equal(ranks, alone)


def stage(samples, classes) -> Stage:
    return Stage(0, samples_per_class=samples, num_classes=classes)


def test_a_stage_has_the_images_that_it_counts():
    classes = np.array([3, 1, 4, 2, 0])
    samples = random_images(LABELS, 0)
    sizes = {3: 6, 1: 1, 4: 3, 2: 9, 0: 4}
    for limit in (1, 2, 5, None):
        for count in (2, 3, 5):
            images = stage_images(stage(limit, count), classes, samples)
            expected = [min(sizes[c], limit or 99) for c in classes[:count]]
            assert len(images) == len(set(images)) == sum(expected)
            entered, numbers = np.unique(LABELS[images], return_counts=True)
            assert dict(zip(entered, numbers, strict=True)) == dict(
                zip(classes[:count], expected, strict=True)
            )


@pytest.mark.parametrize("name", SAMPLE_ORDERS)
def test_stages_are_nested(name):
    classes = random_classes(5, 7)
    samples = SAMPLE_ORDERS[name](7)
    grown = [
        set(stage_images(stage(limit, count), classes, samples))
        for limit, count in [(1, 2), (2, 2), (2, 4), (5, 5), (None, 5)]
    ]
    for smaller, larger in zip(grown, grown[1:], strict=False):
        assert smaller < larger
    assert grown[-1] == set(range(len(LABELS)))


def test_siblings_first_is_group_after_group():
    names = [f"{group}{number}" for number in range(3) for group in "abcd"]
    groups = {name: name[0] for name in names}
    order = grouped_classes("siblings_first", names, groups, seed=3)
    assert sorted(order) == list(range(12))
    entering = [groups[names[index]] for index in order]
    assert [entering[i] for i in (0, 3, 6, 9)] == list(dict.fromkeys(entering))
    for start in range(0, 12, 3):
        assert len(set(entering[start : start + 3])) == 1
    other = grouped_classes("siblings_first", names, groups, seed=4)
    assert list(order) != list(other)


# By likeness

# On a line: two near each other, one in the middle, two near each other.
LINE = np.array([[0.0], [10.0], [0.5], [9.0], [5.0]])


def test_far_first_begins_with_the_two_least_alike():
    # 0 and 10; then 5, which is 5 from both; 9 is 1 from 10, 0.5 nearer yet.
    assert far_first(LINE).tolist() == [0, 1, 4, 3, 2]


def test_near_first_begins_with_the_two_most_alike():
    # 0 and 0.5; then the nearest on average to those that came.
    assert near_first(LINE).tolist() == [0, 2, 4, 3, 1]


@pytest.mark.parametrize("order", [far_first, near_first])
def test_orders_by_likeness_are_permutations(order):
    points = np.random.default_rng(0).normal(size=(40, 6))
    assert sorted(order(points)) == list(range(40))
    assert order(points).dtype == np.int64
    # Equal classes too.
    assert sorted(order(np.zeros((5, 2)))) == list(range(5))
    assert sorted(order(points[:2])) == [0, 1]


def test_far_first_covers_better_than_near_first():
    points = np.random.default_rng(1).normal(size=(60, 4))
    reach = {}
    for order in (far_first, near_first):
        chosen = points[order(points)[:10]]
        gaps = np.linalg.norm(points[:, None] - chosen, axis=2).min(axis=1)
        reach[order] = gaps.max()
    assert reach[far_first] < 0.8 * reach[near_first]


def test_centroids_are_means():
    means = centroids(FEATURES, LABELS)
    assert means.shape == (5, 3)
    np.testing.assert_allclose(means[2], FEATURES[LABELS == 2].mean(axis=0))


def test_the_iconic_image_is_the_medoid_then_comes_a_cover():
    # The sum of distances is least at 5; 0 and 10 are then worst represented.
    assert iconic(LINE).tolist() == [4, 0, 1, 3, 2]
    assert iconic(LINE, limit=2).tolist() == [4, 0]


def test_equal_images_come_last_each_once():
    points = np.array([[0.0], [0.0], [4.0], [0.0], [1.0]])
    order = iconic(points).tolist()
    assert order[:3] == [0, 2, 4]
    assert sorted(order) == [0, 1, 2, 3, 4]


def test_a_medoid_is_the_same_counted_in_parts():
    points = np.random.default_rng(2).normal(size=(2500, 3))
    sums = np.linalg.norm(points[:, None] - points, axis=2).sum(axis=1)
    assert iconic(points, limit=1).tolist() == [sums.argmin()]


def test_each_next_medoid_brings_the_images_nearest():
    # 4.9 in all from 5; then 0, 1 and 2 lie far, 9 and 10 as far but fewer.
    line = np.array([[0.0], [1.0], [2.0], [5.0], [9.0], [10.0], [5.5]])
    assert medoids(line, limit=3).tolist() == [3, 1, 4]


def test_medoids_are_chosen_greedily():
    points = np.random.default_rng(3).normal(size=(60, 3))
    gaps = np.linalg.norm(points[:, None] - points, axis=2)
    order = medoids(points, limit=8)
    for count in range(1, 8):
        before = gaps[order[:count]].min(axis=0)
        totals = np.minimum(gaps, before).sum(axis=1)
        assert totals[order[count]] == pytest.approx(totals.min())
    assert order[0] == iconic(points, limit=1)[0] == gaps.sum(axis=1).argmin()


def test_of_very_many_images_some_are_looked_at(monkeypatch):
    monkeypatch.setattr(orders, "PAIRED", 20)
    points = np.random.default_rng(4).normal(size=(50, 3))
    order = medoids(points)
    assert len(order) == len(set(order)) == 20
    assert order.tolist() == medoids(points).tolist()
    assert max(order) >= 20  # not just the first ones


def test_iconic_orders_are_each_classs_own():
    orders = SAMPLE_ORDERS["iconic"](0)
    indices = np.flatnonzero(LABELS == 2)
    np.testing.assert_array_equal(orders[2], indices[iconic(FEATURES[indices])])


def test_beyond_the_cover_the_order_is_random(monkeypatch):
    monkeypatch.setattr(iconic, "__defaults__", (3,))
    one, other = (SAMPLE_ORDERS["iconic"](seed)[2] for seed in (0, 1))
    assert one[:3].tolist() == other[:3].tolist()
    assert sorted(one) == sorted(other)
    assert one.tolist() != other.tolist()


def test_the_hardest_come_first():
    losses = np.arange(len(LABELS)) % 7 / 7
    for label, order in enumerate(hardest_images(LABELS, losses)):
        assert (LABELS[order] == label).all()
        assert (np.diff(losses[order]) <= 0).all()


def test_listed_images_come_first_as_listed():
    listed = np.flatnonzero(LABELS == 2)[[5, 0, 7]]
    order = listed_images(LABELS, listed, seed=3)[2]
    np.testing.assert_array_equal(order[:3], listed)
    rest = [i for i in random_images(LABELS, 3)[2] if i not in listed]
    np.testing.assert_array_equal(order[3:], rest)
