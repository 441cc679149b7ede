"""Augmentation: parameters are sampled, then applied exactly."""

import dataclasses
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from augmented import augmented_batches

from smartgrowth import UserError
from smartgrowth.config import Config
from smartgrowth.data.augment import pixels, policy
from smartgrowth.data.augment.policy import (
    PRESETS,
    VARIANTS,
    Augmentation,
    choose,
)
from smartgrowth.data.augment.variant import named_seed

SIZE, BATCH = 16, 6
BASIC, STRONG = Augmentation(PRESETS["basic"]), Augmentation(PRESETS["strong"])
NEW = VARIANTS["brightness"]  # under another name, a new variant
EVERYTHING = Augmentation(tuple(VARIANTS), mixup=0.3, cutmix=0.3)
RANDOM = Augmentation(chosen=2, magnitude=0.5)
NOISE_SEED = (5, 6)


@pytest.fixture
def images():
    random = np.random.default_rng(0)
    return random.integers(0, 256, (BATCH, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture
def targets():
    """Of five classes, of which the second and the fifth are not active."""
    return np.eye(5, dtype=np.float32)[[0, 2, 3, 0, 2, 3]] - np.float32(
        [0, 1, 0, 0, 1]
    )


@pytest.fixture(params=["float32", "mixed_bfloat16"])
def dtype_policy(request):
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy("float32")


def sample(augmentation, strength=1.0, size=SIZE, batch=BATCH, seed=(0, 0)):
    parameters = policy.sample_parameters(
        augmentation, strength, size, batch, tf.constant(seed, tf.int64)
    )
    return {name: value.numpy() for name, value in parameters.items()}


def apply(images, **parameters):
    """Eagerly, with injected parameters: a row of numbers for every image."""
    return policy.apply(
        tf.constant(images),
        {name: tf.constant(v, tf.float32) for name, v in parameters.items()},
        NOISE_SEED,
    ).numpy()


# Applying: what NumPy makes of the same parameters


def shifted(image, down, right):
    """Moved, the edge reflected (its own pixels repeated)."""
    reach = 4
    padded = np.pad(
        image, [(reach, reach), (reach, reach), (0, 0)], "symmetric"
    )
    top, left = reach - int(down), reach - int(right)
    return padded[top : top + SIZE, left : left + SIZE]


def seen_through(image, where):
    """The image at points (x, y) = where(x, y) from its center, in pixels."""
    middle = (SIZE - 1) / 2
    y, x = np.mgrid[:SIZE, :SIZE] - middle
    x, y = (part + middle for part in where(x, y))
    # Two sizes of margin, so that no point lies outside.
    padded = np.pad(image, [(32, 32), (32, 32), (0, 0)], "symmetric")
    x, y = x + 32, y + 32
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, low = (x - left)[..., None], (y - top)[..., None]
    above = padded[top, left] * (1 - right) + padded[top, left + 1] * right
    below = padded[top + 1, left] * (1 - right) + padded[top + 1, left + 1] * (
        right
    )
    return above * (1 - low) + below * low


def zoomed(image, log):
    return seen_through(image, lambda x, y: (x / np.exp(log), y / np.exp(log)))


def stretched(image, log):
    root = np.exp(log / 2)
    return seen_through(image, lambda x, y: (x / root, y * root))


def turned(image, angle):
    cos, sin = np.cos(angle), np.sin(angle)
    return seen_through(
        image, lambda x, y: (cos * x - sin * y, sin * x + cos * y)
    )


def sheared(image, by_y, by_x):
    return seen_through(image, lambda x, y: (x + by_y * y, y + by_x * x))


def cropped(image, height, width, top, left):
    def where(x, y):
        across = left + width * (x / SIZE + 0.5)
        down = top + height * (y / SIZE + 0.5)
        return SIZE * (across - 0.5), SIZE * (down - 0.5)

    return seen_through(image, where)


def tilted(image, right, down):
    def where(x, y):
        depth = 1 + right * x / (SIZE / 2) + down * y / (SIZE / 2)
        return x / depth, y / depth

    return seen_through(image, where)


LUMA = np.array([0.299, 0.587, 0.114])


def spread(image, log):
    mean = (image @ LUMA).mean()
    return mean + np.exp(log) * (image - mean)


def saturated(image, log):
    gray = (image @ LUMA)[..., None]
    return gray + np.exp(log) * (image - gray)


def hue_turned(image, angle):
    """In YIQ, by its definition."""
    to_yiq = np.array(
        [
            LUMA,
            [0.59590059, -0.27455667, -0.32134392],
            [0.21153661, -0.52273617, 0.31119955],
        ]
    )
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    return image @ (np.linalg.inv(to_yiq) @ turn @ to_yiq).T


def warmed(image, log):
    gains = np.exp([log, 0, -log])
    return image * gains / (gains @ LUMA)


def blurred(image, deviation):
    if not deviation:
        return image
    taps = np.exp(-0.5 * (np.arange(-8, 9) / deviation) ** 2)
    return convolved(image, taps / taps.sum())


def sharpened(image, factor):
    return convolved(image, (1 + factor) * np.eye(3)[1] - factor * TENT)


TENT = np.array([0.25, 0.5, 0.25])


def convolved(image, taps):
    """Rows and columns, the edge reflected."""
    for axis in (0, 1):
        reach = len(taps) // 2
        margin = [(0, 0)] * 3
        margin[axis] = (reach, reach)
        padded = np.pad(image, margin, "symmetric")
        image = sum(
            tap * np.take(padded, np.arange(SIZE) + place, axis)
            for place, tap in enumerate(taps)
        )
    return image


def noisy(image, deviation, number=0):
    field = pixels.make_noise((BATCH, SIZE, SIZE, 3), NOISE_SEED).numpy()
    assert abs(field.mean()) < 0.05
    assert field.std() == pytest.approx(1, abs=0.05)
    return image + deviation * field[number]


def cut_out(image, height, width, y, x):
    image = image.copy()
    for row in range(SIZE):
        for column in range(SIZE):
            if (
                abs((row + 0.5) / SIZE - y) < height / 2
                and abs((column + 0.5) / SIZE - x) < width / 2
            ):
                image[row, column] = 128
    return image


def grid_masked(image, spacing, side, y, x):
    image = image.copy()
    for row in range(SIZE):
        for column in range(SIZE):
            down = ((row + 0.5) / SIZE / spacing - y) % 1
            across = ((column + 0.5) / SIZE / spacing - x) % 1
            if down < side and across < side:
                image[row, column] = 128
    return image


# name -> (parameters of a few images, what becomes of one of them)
CASES = {
    "flip": ([[1], [0]], lambda i, on: i[:, ::-1] if on else i),
    "shift": ([[0, 0], [2, 0], [0, 2], [-2, 1], [1, -2], [-2, -2]], shifted),
    "rotation": ([[0], [0.3], [-0.2], [math.pi]], turned),
    "zoom": ([[0], [0.2], [-0.2], [0.5]], zoomed),
    "aspect": ([[0], [0.25], [-0.25]], stretched),
    "shear": ([[0, 0], [0.2, 0], [0, 0.2], [-0.1, 0.15]], sheared),
    "crop": (
        [[1, 1, 0, 0], [0.5, 0.75, 0.5, 0], [0.8, 0.6, 0.1, 0.3]],
        cropped,
    ),
    "perspective": ([[0, 0], [0.15, 0], [0, -0.15], [0.1, 0.1]], tilted),
    "brightness": ([[0], [0.2], [-0.1]], lambda i, b: i + 255 * b),
    "contrast": (
        [[0], [0.4], [-0.4]],
        spread,
    ),
    "saturation": ([[0], [0.6], [-0.6]], saturated),
    "hue": ([[0], [0.3], [-0.3], [math.pi]], hue_turned),
    "grayscale": (
        [[1], [0]],
        lambda i, on: np.stack([i @ LUMA] * 3, -1) if on else i,
    ),
    "temperature": ([[0], [0.15], [-0.15]], warmed),
    "channel_shuffle": (
        [[0, 1, 2], [2, 0, 1], [1, 0, 2]],
        lambda i, *order: i[..., np.array(order, int)],
    ),
    "sharpness": ([[0], [0.75], [-0.75], [-1]], sharpened),
    "blur": ([[0], [0.4], [0.8], [1.6]], blurred),
    "noise": ([[10], [0]], noisy),
    "posterize": ([[0], [1], [4]], lambda i, bits: i // 2**bits * 2**bits),
    "solarize": (
        [[256], [128], [200], [255]],
        lambda i, level: np.where(i >= level, 255.0 - i, i),
    ),
    "cutout": (
        [[0, 0, 0.5, 0.5], [0.4, 0.2, 0.5, 0.3], [0.25, 0.5, 1, 0]],
        cut_out,
    ),
    "grid_mask": (
        [[0.5, 0, 0.2, 0.2], [0.5, 0.5, 0, 0.25], [0.25, 0.4, 0.3, 0.9]],
        grid_masked,
    ),
}
EVERY = pytest.mark.parametrize("name", VARIANTS)


def injected(name):
    """Its parameters for a batch, those of the table over and over."""
    rows = CASES[name][0]
    return np.float32([rows[number % len(rows)] for number in range(BATCH)])


@EVERY
def test_a_variant_does_what_numpy_does(images, name):
    parameters, expect = injected(name), CASES[name][1]
    changed = apply(images, **{name: parameters})
    assert (changed.dtype, changed.shape) == (np.uint8, images.shape)
    for number in range(BATCH if name != "noise" else 1):
        numbers = parameters[number].astype(np.float64)
        expected = expect(images[number].astype(np.float64), *numbers.tolist())
        difference = np.abs(changed[number] - np.clip(expected, 0, 255))
        # Rounded to a level; float32, so one right between may go either way.
        assert difference.max() < 0.501
    assert not np.array_equal(changed, images)


@EVERY
def test_a_variant_is_the_same_eagerly_and_augmented_batches(images, name):
    parameters = {name: tf.constant(injected(name))}
    dataset = tf.data.Dataset.from_tensors((images, parameters)).map(
        lambda batch, given: policy.apply(batch, given, NOISE_SEED)
    )
    [in_graph] = dataset.as_numpy_iterator()
    np.testing.assert_array_equal(in_graph, apply(images, **parameters))


@EVERY
def test_the_identity_of_a_variant_changes_nothing(images, name):
    identity = [VARIANTS[name].identity] * BATCH
    np.testing.assert_array_equal(apply(images, **{name: identity}), images)


def test_nothing_sampled_nothing_changed(images):
    np.testing.assert_array_equal(apply(images), images)


def test_a_shift_moves_down_and_to_the_right(images):
    moved = apply(images, shift=[[2, 0]] * BATCH)
    np.testing.assert_array_equal(moved[:, 2:], images[:, :-2])
    np.testing.assert_array_equal(moved[:, :2], images[:, 1::-1])


def test_a_rotation_is_counter_clockwise(images):
    quarter = apply(images, rotation=[[math.pi / 2]] * BATCH)
    np.testing.assert_array_equal(quarter, np.rot90(images, axes=(1, 2)))


def test_geometry_is_composed_in_one_order(images):
    """Turned, then mirrored, then moved: as if one after the other."""
    parameters = {
        "rotation": [[math.pi / 2]] * BATCH,
        "flip": [[1]] * BATCH,
        "shift": [[2, -1]] * BATCH,
    }
    one_by_one = images
    for name, value in parameters.items():
        one_by_one = apply(one_by_one, **{name: value})
    np.testing.assert_array_equal(apply(images, **parameters), one_by_one)
    shuffled = apply(apply(images, shift=[[2, -1]] * BATCH), flip=[[1]] * BATCH)
    assert not np.array_equal(one_by_one, shuffled)


def test_color_is_composed_and_cut_once(images):
    """Lighter by more than there is room, and back: nothing was cut."""
    image = images[:1].astype(np.float64)
    numbers = {
        "saturation": [[0.4]],
        "hue": [[0.2]],
        "temperature": [[-0.1]],
        "channel_shuffle": [[1, 2, 0]],
        "contrast": [[-0.3]],
        "brightness": [[0.1]],
    }
    expected = warmed(hue_turned(saturated(image, 0.4), 0.2), -0.1)
    expected = expected[..., [1, 2, 0]]
    mean = (image @ LUMA).mean()
    expected = mean + np.exp(-0.3) * (expected - mean) + 25.5
    found = apply(images[:1], **numbers)
    assert np.abs(found - np.clip(expected, 0, 255)).max() < 0.501


def test_gray_stays_gray_but_for_its_temperature():
    gray = np.full((1, 4, 4, 3), 100, np.uint8)
    numbers = {"saturation": [[0.5]], "hue": [[1.0]], "grayscale": [[0.0]]}
    np.testing.assert_array_equal(apply(gray, **numbers), gray)
    warm = apply(gray, temperature=[[0.15]])[0, 0, 0]
    assert warm[0] > warm[1] > warm[2]
    assert warm @ LUMA == pytest.approx(100, abs=0.6)


# Sampling


def over(low, high):
    return np.atleast_1d(low), np.atleast_1d(high)


# name -> (strength, size) -> the range of every number that may be drawn
RANGES = {
    "flip": lambda s, size: over(1, 1),
    "shift": lambda s, size: over(
        [-round(size * s / 8)] * 2, [round(size * s / 8)] * 2
    ),
    "rotation": lambda s, size: over(-math.pi / 9 * s, math.pi / 9 * s),
    "zoom": lambda s, size: over(-math.log(1.25) * s, math.log(1.25) * s),
    "aspect": lambda s, size: over(-math.log(4 / 3) * s, math.log(4 / 3) * s),
    "shear": lambda s, size: over([-0.2 * s] * 2, [0.2 * s] * 2),
    "perspective": lambda s, size: over([-0.15 * s] * 2, [0.15 * s] * 2),
    "brightness": lambda s, size: over(-0.15 * s, 0.15 * s),
    "contrast": lambda s, size: over(-math.log(1.4) * s, math.log(1.4) * s),
    "saturation": lambda s, size: over(-math.log(1.6) * s, math.log(1.6) * s),
    "hue": lambda s, size: over(-0.1 * math.pi * s, 0.1 * math.pi * s),
    "grayscale": lambda s, size: over(1, 1),
    "temperature": lambda s, size: over(-0.12 * s, 0.12 * s),
    "channel_shuffle": lambda s, size: over([0] * 3, [2] * 3),
    "sharpness": lambda s, size: over(-0.5 * s, 0.5 * s),
    "blur": lambda s, size: over(0, size / 50 * s),
    "noise": lambda s, size: over(0, 16 * s),
    "posterize": lambda s, size: over(0, 4 * s),
    "solarize": lambda s, size: over(256 - 128 * s, 256),
    "cutout": lambda s, size: over(
        [0.1 * s, 0.1 * s, 0, 0], [0.4 * s, 0.4 * s, 1, 1]
    ),
    "grid_mask": lambda s, size: over(
        [0.25, 0.3 * s, 0, 0], [0.5, 0.5 * s, 1, 1]
    ),
}
SHARES = {
    "flip": 0.5,
    "grayscale": 0.1,
    "channel_shuffle": 0.05,
    "posterize": 0.1,
    "solarize": 0.05,
    "cutout": 0.5,
    "grid_mask": 0.1,
}


@EVERY
@pytest.mark.parametrize(("strength", "size"), [(1.0, 64), (0.5, 32)])
def test_ten_thousand_draws_fill_the_range_and_keep_to_it(name, strength, size):
    everyone = dataclasses.replace(VARIANTS[name], share=None)
    drawn = everyone.sample(
        tf.constant([3, 4], tf.int64), 10_000, size, strength
    ).numpy()
    assert drawn.shape == (10_000, len(VARIANTS[name].identity))
    if name == "crop":
        height, width, top, left = drawn.T
        area = (height * width).min()
        least = 1 - 0.5 * strength
        # A part that would be wider than the image is cut to it.
        assert least * (3 / 4) ** strength < area < least + 0.05
        assert (width / height).max() <= (4 / 3) ** strength + 1e-5
        assert (height / width).max() <= (4 / 3) ** strength + 1e-5
        assert min(top.min(), left.min()) >= 0
        assert max((top + height).max(), (left + width).max()) <= 1 + 1e-6
        return
    low, high = RANGES[name](strength, size)
    slack = 1e-5 + 0.01 * (high - low)
    assert (drawn.min(axis=0) >= low - 1e-5).all()
    assert (drawn.min(axis=0) <= low + slack).all()
    assert (drawn.max(axis=0) <= high + 1e-5).all()
    assert (drawn.max(axis=0) >= high - slack).all()


@EVERY
@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_the_strength_scales_how_many_are_hit(name, strength):
    drawn = sample(Augmentation((name,)), strength, batch=10_000)[name]
    hit = (drawn != VARIANTS[name].identity).any(axis=1).mean()
    if name not in SHARES:
        assert hit > 0.7  # some draw zero by chance: a shift of no pixel
        assert VARIANTS[name].share is None
        return
    expected = SHARES[name] * strength
    if name == "posterize":  # it may drop no bit
        expected *= 1 - 0.5 / (4 * strength)
    if name == "channel_shuffle":  # one order of six is the old one
        expected *= 5 / 6
    # Five standard deviations.
    assert hit == pytest.approx(expected, abs=5 * (expected / 10_000) ** 0.5)


@pytest.mark.parametrize(
    ("size", "strength", "reach"),
    [(16, 1.0, 2), (32, 1.0, 4), (32, 0.5, 2), (64, 0.1, 1), (16, 0.2, 0)],
)
def test_shifts_are_whole_pixels_up_to_an_eighth_both_ways(
    size, strength, reach
):
    shift = sample(BASIC, strength, size, 10_000)["shift"]
    possible = np.arange(-reach, reach + 1)
    for direction in shift.T:
        found, counts = np.unique(direction, return_counts=True)
        np.testing.assert_array_equal(found, possible)
        expected = 10_000 / len(possible)
        np.testing.assert_allclose(counts, expected, atol=5 * expected**0.5)


def test_variants_are_drawn_apart():
    everything = sample(EVERYTHING, batch=10_000)
    columns = np.concatenate(
        [values for name, values in everything.items() if name != "crop"],
        axis=1,
    )
    correlation = np.corrcoef(columns.T) - np.eye(columns.shape[1])
    # Those of one variant may: the places of three channels exclude another.
    assert (np.abs(correlation) > 0.06).sum() <= 30
    down, right = everything["shift"].T
    assert abs(np.corrcoef(down, right)[0, 1]) < 0.05


@EVERY
def test_a_variant_draws_the_same_whatever_is_on_beside_it(name):
    alone, beside = sample(Augmentation((name,))), sample(EVERYTHING)
    assert list(alone) == [name]
    np.testing.assert_array_equal(alone[name], beside[name])


@EVERY
def test_strength_zero_of_a_variant_changes_nothing(images, name):
    for number in range(5):
        drawn = sample(Augmentation((name,)), strength=0.0, seed=(0, number))
        assert list(drawn) == [name]
        np.testing.assert_array_equal(apply(images, **drawn), images)


@pytest.mark.parametrize("augmentation", [STRONG, EVERYTHING, RANDOM])
def test_strength_zero_of_them_all_changes_nothing(
    images, targets, augmentation
):
    drawn = sample(augmentation, strength=0.0)
    np.testing.assert_array_equal(apply(images, **drawn), images)
    shown, labels = policy.augment(
        images, targets, augmentation, 0.0, tf.constant([0, 1])
    )
    np.testing.assert_array_equal(shown, images)
    np.testing.assert_array_equal(labels, targets)


# randaugment


def test_every_image_gets_as_many_of_the_pool_as_asked():
    drawn = sample(dataclasses.replace(RANDOM, magnitude=1.0), batch=10_000)
    assert set(drawn) == set(VARIANTS) - {"flip"}
    hits = {
        name: (values != VARIANTS[name].identity).any(axis=1)
        for name, values in drawn.items()
    }
    counts = sum(hit.astype(int) for hit in hits.values())
    # Fewer only where a draw is the identity by chance: no shift, no bit less.
    assert counts.max() == 2
    assert (counts == 2).mean() > 0.9
    for name, hit in hits.items():
        assert hit.mean() == pytest.approx(2 / 21, abs=0.025), name
    # Chosen apart for each image.
    assert len({tuple(row) for row in np.array(list(hits.values())).T}) > 100


def test_the_magnitude_and_the_stage_scale_what_is_chosen():
    weak = dataclasses.replace(RANDOM, chosen=21, magnitude=0.5)
    for strength in (1.0, 0.5):
        angles = sample(weak, strength, batch=10_000)["rotation"]
        reach = math.pi / 9 * 0.5 * strength
        assert np.abs(angles).max() == pytest.approx(reach, rel=0.01)


def test_what_is_named_is_not_chosen_again():
    both = Augmentation(("shift", "cutout"), chosen=3, magnitude=1.0)
    assert not {"flip", "shift", "cutout"} & set(both.pool)
    drawn = sample(both, batch=1000)
    assert set(drawn) == {"shift", "cutout", *both.pool}


def test_a_new_variant_moves_no_other_s_draws(monkeypatch):
    """Wherever it stands: a draw is keyed by its name."""
    monkeypatch.setattr(policy, "NOT_CHOSEN", {"flip", "new"})
    augmentations = (STRONG, RANDOM)
    before = [sample(each) for each in augmentations]
    monkeypatch.setattr(policy, "VARIANTS", {"new": NEW} | VARIANTS)
    for each, drawn in zip(augmentations, before, strict=True):
        after = sample(each)
        assert after.keys() == drawn.keys()
        for name, values in drawn.items():
            np.testing.assert_array_equal(after[name], values)
    # What draws from the same range draws other numbers.
    both = sample(Augmentation(("new", "brightness")))
    assert not np.array_equal(both["new"], both["brightness"])


def test_a_new_variant_of_the_pool_is_chosen_in_another_s_place(monkeypatch):
    """randaugment draws a lot for each of its pool."""
    before = sample(RANDOM, batch=1000)
    monkeypatch.setattr(policy, "VARIANTS", {"new": NEW} | VARIANTS)
    after = sample(RANDOM, batch=1000)
    assert after["new"].any()
    for name, values in before.items():
        stayed = (after[name] == values).all(axis=1)
        assert (after[name][~stayed] == VARIANTS[name].identity).all(), name
        assert stayed.mean() > 0.9


def test_the_uses_of_a_batch_s_seed_have_seeds_of_their_own():
    seed = tf.constant([3, 4], tf.int64)
    names = [*VARIANTS, "noise of pixels", "partner", "mixup", "cutmix"]
    seeds = {tuple(named_seed(seed, name).numpy()) for name in names}
    assert len(seeds) == len(names)
    other = named_seed(tf.constant([3, 5], tf.int64), "flip")
    assert tuple(other.numpy()) not in seeds


# A batch


@pytest.mark.parametrize("augmentation", [BASIC, STRONG, EVERYTHING, RANDOM])
def test_a_step_shows_the_same_wherever_one_begins(
    images, targets, augmentation
):
    whole = augmented_batches(images, targets, augmentation, 0, 6)
    tail = augmented_batches(images, targets, augmentation, 3, 6)
    for first, second in zip(whole[3:], tail, strict=True):
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])
    assert len({batch.tobytes() for batch, _ in whole}) == 6
    eager, labels = policy.augment(
        images, targets, augmentation, 1.0, tf.constant([3, 4], tf.int64)
    )
    # Fused operators round some levels the other way.
    difference = np.abs(eager.numpy().astype(int) - whole[4][0])
    assert (difference > 1).mean() < 0.001
    np.testing.assert_allclose(labels, whole[4][1], rtol=1e-6)


@pytest.mark.parametrize("augmentation", [BASIC, STRONG, EVERYTHING, RANDOM])
def test_as_many_images_of_the_same_kind_come_out(
    images, targets, augmentation
):
    for shown, labels in augmented_batches(images, targets, augmentation, 0, 2):
        assert (shown.shape, shown.dtype) == (images.shape, np.uint8)
        assert (labels.shape, labels.dtype) == (targets.shape, np.float32)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_leaves_labels_exact_under_any_policy(
    images, dtype_policy, preset
):
    """Label 257 is not a number of bfloat16; a smoothed target is none."""
    targets = np.full((BATCH, 300), -1, np.float32)
    targets[:, 100:] = 0.1 / 200
    targets[:, 257] += 0.9
    for _, labels in augmented_batches(
        images, targets, Augmentation(PRESETS[preset]), 0, 3
    ):
        np.testing.assert_array_equal(labels, targets)


def test_a_policy_changes_no_pixel(images, targets, dtype_policy):
    seed = tf.constant([1, 2])
    shown, _ = policy.augment(images, targets, STRONG, 1.0, seed)
    keras.config.set_dtype_policy("float32")
    again, _ = policy.augment(images, targets, STRONG, 1.0, seed)
    np.testing.assert_array_equal(shown, again)


# Names


def test_the_presets_are_of_known_variants():
    assert PRESETS["basic"] == ("flip", "shift")
    assert len(PRESETS["strong"]) >= 14
    for names in PRESETS.values():
        assert set(names) <= set(VARIANTS)
    assert set(CASES) == set(VARIANTS) == {*RANGES, "crop"}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("none",), Augmentation()),
        (("basic",), BASIC),
        (("shift",), Augmentation(("shift",))),
        (("shift", "flip"), Augmentation(("shift", "flip"))),
        (("basic", "cutout"), Augmentation(("flip", "shift", "cutout"))),
        (("flip", "basic"), Augmentation(("flip", "shift"))),
        (("randaugment",), Augmentation((), 2, 0.5)),
        (("flip", "randaugment:3:0.9"), Augmentation(("flip",), 3, 0.9)),
        (
            (
                "flip",
                "keras:RandomErasing",
                "keras_cv:GridMask",
                "AutoContrast",
            ),
            Augmentation(
                ("flip",),
                stock=(
                    ("keras", "RandomErasing"),
                    ("keras_cv", "GridMask"),
                    ("keras_cv", "AutoContrast"),
                ),
            ),
        ),
    ],
)
def test_entries_choose_what_is_done(names, expected):
    assert choose(Config(augment=names)) == expected


def test_the_shares_of_mixing_are_taken_over():
    augmentation = choose(Config(augment=("none",), mixup=0.3, cutmix=0.5))
    assert augmentation == Augmentation(mixup=0.3, cutmix=0.5)


@pytest.mark.parametrize(
    ("names", "culprit"),
    [
        (("flop",), "flop"),
        (("flip", "flop"), "flop"),
        (("GridMask",), "GridMask"),
        (("torch:RandomFlip",), "torch:RandomFlip"),
    ],
)
def test_an_unknown_name_lists_the_known_ones(names, culprit):
    with pytest.raises(UserError, match=f"--augment: '{culprit}'") as caught:
        choose(Config(augment=names))
    for known in (*PRESETS, *VARIANTS, "keras_cv:NAME"):
        assert known in str(caught.value)


@pytest.mark.parametrize(
    "entry",
    [
        "randaugment:0",
        "randaugment:x",
        "randaugment:2:1.5",
        "randaugment:2:nan",
    ],
)
def test_a_malformed_randaugment_is_told(entry):
    with pytest.raises(UserError, match="randaugment:N:MAGNITUDE"):
        choose(Config(augment=(entry,)))


def test_more_than_there_are_cannot_be_chosen():
    with pytest.raises(UserError, match="has 21 variants to choose 22 from"):
        choose(Config(augment=("randaugment:22:0.5",)))


def test_mirror_images_are_known_of():
    assert BASIC.mirrors
    assert Augmentation(stock=(("keras", "RandomFlip"),)).mirrors
    assert not Augmentation(("shift",)).mirrors
    assert not RANDOM.mirrors
