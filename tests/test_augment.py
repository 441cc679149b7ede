"""Augmentation: parameters are sampled, then applied exactly."""

import numpy as np
import pytest
import tensorflow as tf

from smartgrowth import UserError
from smartgrowth.data import augment

SIZE = 16
BOTH = ("flip", "shift")


@pytest.fixture
def images():
    random = np.random.default_rng(0)
    return random.integers(0, 256, (6, SIZE, SIZE, 3), dtype=np.uint8)


def sample(variants=BOTH, strength=1.0, size=SIZE, batch=6, seed=(0, 0)):
    parameters = augment.sample_parameters(
        variants, strength, size, batch, tf.constant(seed, tf.int64)
    )
    return {name: value.numpy() for name, value in parameters.items()}


def apply(images, flip=None, shift=None):
    """Eagerly, with injected parameters."""
    parameters = {}
    if flip is not None:
        parameters["flip"] = tf.constant(flip)
    if shift is not None:
        parameters["shift"] = tf.constant(shift, tf.float32)
    return augment.apply(tf.constant(images), parameters).numpy()


def shifted(image, down, right):
    """By NumPy: moved, the edge reflected (its own pixels repeated)."""
    reach = 4
    padded = np.pad(
        image, [(reach, reach), (reach, reach), (0, 0)], "symmetric"
    )
    top, left = reach - down, reach - right
    return padded[top : top + SIZE, left : left + SIZE]


# Applying


def test_nothing_sampled_nothing_changed(images):
    assert augment.apply(images, {}) is images


def test_a_flip_is_numpys(images):
    flip = [True, False, True, True, False, False]
    flipped = apply(images, flip=flip)
    assert flipped.dtype == np.uint8
    for before, after, mirrored in zip(images, flipped, flip, strict=True):
        expected = before[:, ::-1] if mirrored else before
        np.testing.assert_array_equal(after, expected)


SHIFTS = [(0, 0), (2, 0), (0, 2), (-2, 1), (1, -2), (-2, -2)]


def test_a_shift_moves_down_and_to_the_right_and_reflects_the_edge(images):
    moved = apply(images, shift=SHIFTS)
    for before, after, shift in zip(images, moved, SHIFTS, strict=True):
        np.testing.assert_array_equal(after, shifted(before, *shift))
    # Said once more without the helper: two down, the interior as it was.
    np.testing.assert_array_equal(moved[1][2:], images[1][:-2])
    np.testing.assert_array_equal(moved[1][:2], images[1][1::-1])


def test_both_are_a_flip_and_then_a_shift(images):
    flip = [True, False, True, True, True, False]
    both = apply(images, flip, SHIFTS)
    one_after_the_other = apply(apply(images, flip=flip), shift=SHIFTS)
    np.testing.assert_array_equal(both, one_after_the_other)
    assert not np.array_equal(both, apply(apply(images, shift=SHIFTS), flip))


@pytest.mark.parametrize("variants", [("flip",), ("shift",), BOTH])
def test_eager_and_in_tf_data_are_the_same(images, variants):
    def augmented(seed):
        parameters = augment.sample_parameters(
            variants, 1.0, SIZE, len(images), tf.stack([np.int64(5), seed])
        )
        return augment.apply(tf.constant(images), parameters)

    steps = tf.data.Dataset.range(4)
    in_graph = list(steps.map(augmented).as_numpy_iterator())
    eager = [augmented(step).numpy() for step in steps]
    np.testing.assert_array_equal(in_graph, eager)
    assert not np.array_equal(eager[0], eager[1])
    assert (eager[0].shape, eager[0].dtype) == (images.shape, np.uint8)


# Sampling


@pytest.mark.parametrize("variants", [("flip",), ("shift",), BOTH])
def test_strength_zero_changes_nothing(images, variants):
    for number in range(20):
        parameters = sample(variants, strength=0.0, seed=(0, number))
        unchanged = augment.apply(tf.constant(images), parameters)
        np.testing.assert_array_equal(unchanged, images)


def test_a_variant_that_is_off_has_no_entry():
    assert sample(()) == {}
    assert list(sample(("shift",))) == ["shift"]
    assert list(sample(("flip",))) == ["flip"]


def test_half_of_the_images_are_flipped():
    flip = sample(batch=10_000)["flip"]
    # Standard deviation 0.005.
    assert flip.mean() == pytest.approx(0.5, abs=0.02)


def test_strength_scales_how_many_are_flipped():
    flip = sample(strength=0.4, batch=10_000)["flip"]
    assert flip.mean() == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize(
    ("size", "strength", "reach"),
    [(16, 1.0, 2), (32, 1.0, 4), (32, 0.5, 2), (64, 0.1, 1), (16, 0.2, 0)],
)
def test_shifts_are_whole_pixels_up_to_an_eighth_both_ways(
    size, strength, reach
):
    shift = sample(strength=strength, size=size, batch=10_000)["shift"]
    assert shift.shape == (10_000, 2)
    possible = np.arange(-reach, reach + 1)
    for direction in shift.T:
        found, counts = np.unique(direction, return_counts=True)
        np.testing.assert_array_equal(found, possible)
        expected = 10_000 / len(possible)
        np.testing.assert_allclose(counts, expected, atol=5 * expected**0.5)


def test_down_and_right_are_drawn_apart():
    down, right = sample(size=64, batch=10_000)["shift"].T
    assert abs(np.corrcoef(down, right)[0, 1]) < 0.05
    flip, (down, _) = (sample(batch=10_000)[name].T for name in BOTH)
    assert abs(np.corrcoef(flip, down)[0, 1]) < 0.05


def test_the_same_seed_draws_the_same():
    first, again = sample(seed=(3, 4)), sample(seed=(3, 4))
    for name in BOTH:
        np.testing.assert_array_equal(first[name], again[name])


@pytest.mark.parametrize("other", [(3, 5), (4, 4), (4, 3)])
def test_another_seed_draws_something_else(other):
    first, second = sample(seed=(3, 4), batch=50), sample(seed=other, batch=50)
    for name in BOTH:
        assert not np.array_equal(first[name], second[name])


def test_a_variant_draws_the_same_whatever_is_on_beside_it():
    alone, beside = sample(("shift",)), sample(BOTH)
    np.testing.assert_array_equal(alone["shift"], beside["shift"])


# Names


@pytest.mark.parametrize(
    ("names", "variants"),
    [
        (("none",), ()),
        (("basic",), BOTH),
        (("shift",), ("shift",)),
        (("shift", "flip"), ("shift", "flip")),
        ((), ()),
    ],
)
def test_presets_and_names_choose_variants(names, variants):
    assert augment.choose_variants(names) == variants


@pytest.mark.parametrize(
    ("names", "culprit"),
    [
        (("flop",), "flop"),
        (("flip", "flop"), "flop"),
        (("none", "flip"), "none"),
    ],
)
def test_an_unknown_name_lists_the_known_ones(names, culprit):
    with pytest.raises(UserError, match=f"--augment: '{culprit}'") as caught:
        augment.choose_variants(names)
    for known in (*augment.PRESETS, *augment.VARIANTS):
        assert known in str(caught.value)
