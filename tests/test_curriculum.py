"""Orders are permutations, so that every stage keeps what the last one had."""

import numpy as np
import pytest

from smartgrowth import UserError
from smartgrowth.curriculum import class_order, sample_order, stage_images
from smartgrowth.plan import Stage

NAMES = tuple(f"class {index}" for index in range(12))
# Three groups of 6, 4 and 2 classes.
GROUPS = {
    name: "fish" if i % 2 else ("bird" if i % 3 else "star")
    for i, name in enumerate(NAMES)
}
LABELS = np.random.default_rng(3).permutation(
    np.repeat(range(5), [4, 1, 9, 6, 3])
)


@pytest.mark.parametrize("name", ["random", "taxonomy"])
def test_a_class_order_is_a_seeded_permutation(name):
    orders = [class_order(name, NAMES, GROUPS, seed) for seed in range(5)]
    for order in orders:
        assert sorted(order) == list(range(12))
        assert order.dtype == np.int64
    assert len({tuple(order) for order in orders}) == 5
    again = class_order(name, NAMES, GROUPS, 3)
    np.testing.assert_array_equal(again, orders[3])


@pytest.mark.parametrize("seed", range(5))
def test_the_taxonomy_puts_one_class_of_every_group_first(seed):
    order = class_order("taxonomy", NAMES, GROUPS, seed)
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
        class_order("taxonomy", NAMES, None, 0)
    assert len(class_order("random", NAMES, None, 0)) == 12


@pytest.mark.parametrize("name", ["random", "first"])
def test_a_sample_order_permutes_each_classs_images(name):
    orders = sample_order(name, LABELS, seed=1)
    assert [len(order) for order in orders] == [4, 1, 9, 6, 3]
    for label, order in enumerate(orders):
        assert (LABELS[order] == label).all()
    everything = np.concatenate(orders)
    assert sorted(everything) == list(range(len(LABELS)))


def test_first_is_the_datasets_own_order():
    for order in sample_order("first", LABELS, seed=1):
        assert (np.diff(order) > 0).all()


def test_random_samples_are_seeded():
    one, same, other = (sample_order("random", LABELS, s) for s in (1, 1, 2))
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(one, other, strict=True))
    assert (np.diff(one[2]) < 0).any()


def test_classes_of_one_size_have_orders_of_their_own():
    orders = sample_order("random", np.arange(60) % 3, seed=1)
    ranks = {tuple(order // 3) for order in orders}
    assert len(ranks) == 3


def test_a_classs_order_does_not_depend_on_other_classes():
    places = np.flatnonzero(LABELS == 0)
    among = sample_order("random", LABELS, seed=1)[0]
    # Drawn for the class: 4 of its own, whichever places they have.
    ranks = np.searchsorted(places, among)
    assert sorted(ranks) == [0, 1, 2, 3]
    alone = sample_order("random", np.zeros(4, int), seed=1)[0]
    np.testing.assert_array_equal(ranks, alone)


def stage(samples, classes) -> Stage:
    return Stage(0, samples_per_class=samples, num_classes=classes)


def test_a_stage_has_the_images_that_it_counts():
    classes = np.array([3, 1, 4, 2, 0])
    samples = sample_order("random", LABELS, seed=0)
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


def test_stages_are_nested():
    classes = class_order("random", NAMES[:5], None, 7)
    samples = sample_order("random", LABELS, 7)
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
    order = class_order("siblings_first", names, groups, seed=3)
    assert sorted(order) == list(range(12))
    entering = [groups[names[index]] for index in order]
    assert [entering[i] for i in (0, 3, 6, 9)] == list(dict.fromkeys(entering))
    for start in range(0, 12, 3):
        assert len(set(entering[start : start + 3])) == 1
    other = class_order("siblings_first", names, groups, seed=4)
    assert list(order) != list(other)
