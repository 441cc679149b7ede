"""A batch depends on seed, stage and step, and on nothing else."""

import inspect
import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from smartgrowth.data import pipeline, store
from smartgrowth.data.augment import policy
from smartgrowth.data.augment.policy import PRESETS, Augmentation
from smartgrowth.data.source import TRAIN, VALIDATION
from smartgrowth.stages import Stage

BATCH = 7  # divides none of the counts below
ALL_CLASSES = np.arange(4)
BASIC = Augmentation(PRESETS["basic"])
MIXED = Augmentation(PRESETS["strong"], mixup=0.3, cutmix=0.3)


@pytest.fixture(scope="module")
def stages():
    """Two stages of one run: few images at 16 px, then all of them at 24."""
    return (
        Stage(
            0,
            0,
            20,
            BATCH,
            10,
            image_size=16,
            samples_per_class=5,
            num_classes=2,
            augmentation=0.5,
        ),
        Stage(
            1, 20, 30, BATCH, 46, image_size=24, num_classes=4, augmentation=1.0
        ),
    )


@pytest.fixture(scope="module")
def few(tiny_data):
    """Five images of each of the classes 2 and 0."""
    return np.concatenate(
        [
            np.flatnonzero(tiny_data.train.labels == label)[:5]
            for label in (2, 0)
        ]
    )


def show(data, stage, first=None, last=None, images=None, **settings):
    """The batches of some steps as arrays; all of the stage's unless told."""
    count = len(data.train.labels)
    settings = {"classes": ALL_CLASSES, "seed": 3} | settings
    dataset = pipeline.make_batches(
        data,
        stage,
        np.arange(count) if images is None else images,
        **settings,
    )(
        stage.first_step if first is None else first,
        stage.last_step if last is None else last,
    )
    batches = list(dataset.as_numpy_iterator())
    return (np.concatenate(part) for part in zip(*batches, strict=True))


def identify(data, images) -> list[int]:
    """Which training images those are."""
    known = {
        image.tobytes(): index
        for index, image in enumerate(data.train.images(images.shape[1]))
    }
    return [known[image.tobytes()] for image in images]


# A pure function


@pytest.mark.parametrize("augmentation", [Augmentation(), BASIC, MIXED])
@pytest.mark.parametrize("start", [1, 13, 19])
def test_a_dataset_begun_late_is_the_tail_of_one_begun_early(
    tiny_data, stages, few, start, augmentation
):
    for stage, images in zip(stages, (few, None), strict=True):
        whole, whole_targets = show(
            tiny_data, stage, images=images, augmentation=augmentation
        )
        tail, targets = show(
            tiny_data,
            stage,
            first=stage.first_step + start,
            images=images,
            augmentation=augmentation,
        )
        np.testing.assert_array_equal(tail, whole[start * BATCH :])
        np.testing.assert_array_equal(targets, whole_targets[start * BATCH :])


def test_a_dataset_cut_short_is_the_head_of_the_whole(tiny_data, stages):
    whole, _ = show(tiny_data, stages[1], augmentation=BASIC)
    head, _ = show(tiny_data, stages[1], last=29, augmentation=BASIC)
    np.testing.assert_array_equal(head, whole[: 9 * BATCH])


def test_the_order_of_parallel_calls_is_kept(tiny_data, stages):
    """Batches asked for together come as those asked for one at a time."""
    shown = [next(show(tiny_data, stages[1], s, s + 1)) for s in range(20, 50)]
    whole, _ = show(tiny_data, stages[1])
    np.testing.assert_array_equal(np.concatenate(shown), whole)
    dataset = pipeline.make_validation(tiny_data, tiny_data.train, 16, 8)
    assert dataset.options().deterministic in (None, True)


# Passes


def test_every_variant_can_be_chosen_in_a_map(tiny_data, stages):
    """As it is written: AutoGraph rewrites no `len` of a tensor, no `if`."""
    images, targets = show(
        tiny_data,
        stages[1],
        augmentation=Augmentation(
            ("flip", "noise", "blur", "sharpness", "zoom", "aspect"),
            chosen=12,
            magnitude=0.5,
            mixup=0.5,
            cutmix=0.5,
        ),
    )
    assert images.dtype == np.uint8 and len(images) == len(targets)


@pytest.mark.parametrize("stock", [(), (("keras", "RandomFlip"),)])
def test_autograph_rewrites_the_code_for_layers_alone(
    tiny_data, stages, monkeypatch, stock
):
    """Rewriting it takes longer than all else before the first batch."""
    files, augment = [], policy.augment

    def look(*arguments, **options):
        files.extend(frame.filename for frame in inspect.stack())
        return augment(*arguments, **options)

    monkeypatch.setattr(policy, "augment", look)
    show(
        tiny_data, stages[1], augmentation=Augmentation(("flip",), stock=stock)
    )
    rewritten = any("autograph_generated" in name for name in files)
    assert files and rewritten == bool(stock)


@pytest.mark.parametrize("strength", [1.0, 0.5])
@pytest.mark.parametrize("replay", [0.0, 0.25])
def test_no_image_is_in_one_pose_twice_in_a_row(tiny_data, strength, replay):
    passes = 6
    stage = Stage(
        2,
        300,
        passes * 2,
        23,
        46,
        image_size=24,
        num_classes=4,
        replay=replay,
        augmentation=strength,
    )
    hard = np.arange(0, 46, 3)
    shown, _ = show(
        tiny_data, stage, hard=hard, augmentation=Augmentation(("flip",))
    )
    poses = {}
    for image in shown:
        for mirrored, pose in enumerate((image, image[:, ::-1])):
            try:
                (index,) = identify(tiny_data, pose[None])
            except KeyError:
                continue
            poses.setdefault(index, []).append(mirrored)
    assert sum(map(len, poses.values())) == len(shown)
    # Replayed images have turns of their own beside the ordinary ones.
    turns = [poses[i] for i in poses if not replay or i not in hard]
    share = np.mean([pose for turn in turns for pose in turn])
    assert share == pytest.approx(strength / 2, abs=0.1)
    pairs = [pair for turn in turns for pair in itertools.pairwise(turn)]
    assert (1, 1) not in pairs
    # Below full strength some are not mirrored though it is their turn.
    assert ((0, 0) in pairs) == (strength < 1)
    first = np.mean([turn[0] for turn in turns])
    assert 0.1 < first < 0.8  # each image begins in a pose of its own


@pytest.mark.parametrize("batch", [1, 7, 23, 45, 46])
def test_every_pass_shows_every_image_once(tiny_data, batch):
    passes = 5
    steps = -(-passes * 46 // batch)
    stage = Stage(0, 100, steps, batch, 46, image_size=24, num_classes=4)
    shown = identify(tiny_data, next(show(tiny_data, stage)))
    assert len(shown) == steps * batch
    orders = np.reshape(shown[: passes * 46], (passes, 46))
    for order in orders:
        assert sorted(order) == list(range(46))
    assert len({tuple(order) for order in orders}) == passes


def test_seeds_and_stages_have_orders_of_their_own(tiny_data):
    def order(seed, index):
        stage = Stage(index, 0, 2, 23, 46, image_size=16, num_classes=4)
        return identify(tiny_data, next(show(tiny_data, stage, seed=seed)))

    orders = {(s, i): tuple(order(s, i)) for s in (0, 1, 2) for i in (0, 1, 2)}
    assert len(set(orders.values())) == 9
    assert order(1, 2) == list(orders[1, 2])


@pytest.mark.parametrize("count", [1, 2, 3, 10, 46, 64, 200])
def test_the_permutation_is_one_for_every_count(count):
    place = tf.range(count, dtype=tf.int64)
    orders = []
    for drawn_pass in range(20):
        order = pipeline._permute(
            place, count, (0, 0), tf.fill([count], np.int64(drawn_pass))
        ).numpy()
        assert sorted(order) == list(range(count))
        orders.append(tuple(order))
    if count > 9:  # 10! orders: twenty passes do not repeat one
        assert len(set(orders)) == 20


def test_no_image_prefers_a_place(tiny_data):
    """Over 400 passes every image is first, middle and last about equally."""
    count, passes = 8, 400
    place = tf.tile(tf.range(count, dtype=tf.int64), [passes])
    drawn_pass = tf.repeat(tf.range(passes, dtype=tf.int64), count)
    order = pipeline._permute(place, count, (5, 1), drawn_pass).numpy()
    table = np.zeros((count, count))
    np.add.at(table, (order, place.numpy()), 1)
    # 50 expected, standard deviation 6.6
    assert table.min() > 20
    assert table.max() < 85


# What is shown


def test_only_the_stage_s_images_appear(tiny_data, stages, few):
    images, targets = show(tiny_data, stages[0], images=few, classes=[2, 0])
    shown = identify(tiny_data, images)
    assert set(shown) == set(few.tolist())
    labels = tiny_data.train.labels[shown]
    assert set(labels) == {0, 2}
    np.testing.assert_array_equal(targets.argmax(axis=1), labels)


def test_every_image_has_the_target_of_its_label(tiny_data, stages):
    images, targets = show(tiny_data, stages[1])
    labels = tiny_data.train.labels[identify(tiny_data, images)]
    np.testing.assert_array_equal(targets, np.eye(4, dtype=np.float32)[labels])


def test_chosen_classes_show_their_own_images(tiny_store):
    data = store.open_data(tiny_store, ("sun", "rock crystal"))
    stage = Stage(0, 0, 4, BATCH, 23, image_size=24, num_classes=2)
    images, targets = show(data, stage, classes=[0, 1])
    shown = identify(data, images)
    assert set(shown) <= set(data.train.rows)
    labels = dict(zip(data.train.rows, data.train.labels, strict=True))
    assert [labels[row] for row in shown] == targets.argmax(axis=1).tolist()


def test_images_are_uint8_of_a_fixed_shape(tiny_data, stages):
    dataset = pipeline.make_batches(
        tiny_data,
        stages[1],
        np.arange(46),
        ALL_CLASSES,
        seed=0,
        augmentation=BASIC,
    )(20, 21)
    images, targets = dataset.element_spec
    assert (images.shape, images.dtype) == ((BATCH, 24, 24, 3), tf.uint8)
    assert (targets.shape, targets.dtype) == ((BATCH, 4), tf.float32)


def test_sizes_above_the_native_one_are_enlarged(tiny_data):
    stage = Stage(0, 0, 2, 23, 46, image_size=40, num_classes=4)
    small = Stage(0, 0, 2, 23, 46, image_size=24, num_classes=4)
    large, _ = show(tiny_data, stage)
    native, _ = show(tiny_data, small)
    assert (large.shape, large.dtype) == ((46, 40, 40, 3), np.uint8)
    expected = [
        np.asarray(
            Image.fromarray(image).resize((40, 40), Image.Resampling.BILINEAR)
        )
        for image in native
    ]
    # Pillow rounds after each direction.
    difference = large.astype(int) - expected
    assert np.abs(difference).max() <= 1
    assert abs(difference.mean()) < 0.05  # rounded, not cut off


def test_the_store_s_bytes_are_what_is_shown(tiny_data, tiny_source):
    originals = [e.image for e in tiny_source.examples() if e.split == TRAIN]
    stage = Stage(0, 0, 1, 46, 46, image_size=24, num_classes=4)
    images, _ = show(tiny_data, stage)
    np.testing.assert_array_equal(
        images, np.stack(originals)[identify(tiny_data, images)]
    )


# Crops


def test_a_crop_is_a_patch_of_its_image_at_full_resolution(tiny_data, stages):
    stage = stages[0]
    crops, _ = show(tiny_data, stage, cut_from=24)
    assert crops.shape[1:] == (16, 16, 3)
    rows = tiny_data.train.rows
    whole = tiny_data.train.images(24)[rows]
    places = set()
    for crop in crops:
        found = [
            (y, x)
            for y, x in itertools.product(range(9), range(9))
            if (whole[:, y : y + 16, x : x + 16] == crop).all((1, 2, 3)).any()
        ]
        assert len(found) == 1
        places.update(found)
    # Of 140 drawn from 81, all borders are among them.
    assert {y for y, _ in places} == {x for _, x in places} == set(range(9))


def test_crops_show_the_same_images_and_change_from_pass_to_pass(
    tiny_data, stages
):
    stage = stages[0]
    crops, targets = show(tiny_data, stage, cut_from=24)
    resized, same = show(tiny_data, stage)
    np.testing.assert_array_equal(targets, same)
    late, _ = show(tiny_data, stage, 10, 20, cut_from=24)
    np.testing.assert_array_equal(late, crops[10 * BATCH :])
    assert len(np.unique(crops, axis=0)) > len(np.unique(resized, axis=0))


def test_a_crop_of_the_whole_side_is_the_image(tiny_data, stages):
    whole, _ = show(tiny_data, stages[1], cut_from=24)
    resized, _ = show(tiny_data, stages[1])
    np.testing.assert_array_equal(whole, resized)


# Several sizes in turn


@pytest.fixture(scope="module")
def jittered():
    """A quarter of the batches at 16 px, three at 24 and 40."""
    sizes = (16, 24, 24, 40)
    return Stage(
        1, 30, 40, BATCH, 46, image_size=24, num_classes=4, jitter_sizes=sizes
    )


def batches_of(data, stage, first, last):
    dataset = pipeline.make_batches(
        data, stage, np.arange(46), ALL_CLASSES, seed=3
    )(first, last)
    assert dataset.cardinality() == last - first
    return list(dataset.as_numpy_iterator())


def sizes_shown(data, stage, first, last):
    return [len(x[0]) for x, _ in batches_of(data, stage, first, last)]


def test_sizes_have_the_shares_that_were_asked_for(tiny_data, jittered):
    shown = sizes_shown(tiny_data, jittered, 30, 70)
    assert {size: shown.count(size) for size in set(shown)} == {
        16: 10,
        24: 20,
        40: 10,
    }
    # Drawn, not in a fixed round.
    rounds = {tuple(shown[i : i + 4]) for i in range(0, 40, 4)}
    assert len(rounds) > 3
    assert shown == pipeline.sizes_of(jittered, 3, np.arange(30, 70)).tolist()


def test_a_size_is_a_function_of_seed_and_step(tiny_data, jittered):
    whole = sizes_shown(tiny_data, jittered, 30, 70)
    assert sizes_shown(tiny_data, jittered, 41, 63) == whole[11:33]
    steps = np.arange(30, 70)
    assert pipeline.sizes_of(jittered, 4, steps).tolist() != whole


def test_jitter_does_not_change_which_images_are_shown(tiny_data, jittered):
    plain = Stage(1, 30, 40, BATCH, 46, image_size=24, num_classes=4)
    labels, others = (
        [targets for _, targets in batches_of(tiny_data, stage, 30, 70)]
        for stage in (plain, jittered)
    )
    np.testing.assert_array_equal(labels, others)


# Hard images, balance


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5, 1.0])
def test_hard_images_have_the_share_that_was_asked_for(tiny_data, fraction):
    stage = Stage(
        1, 10, 60, BATCH, 46, image_size=24, num_classes=4, replay=fraction
    )
    hard = np.array([2, 3, 11, 40])
    easy = np.setdiff1d(np.arange(46), hard)
    images, targets = show(tiny_data, stage, images=easy, hard=hard)
    shown = np.array(identify(tiny_data, images))
    count = np.isin(shown, hard).sum()
    assert count == int(60 * BATCH * fraction)
    by_batch = np.isin(shown, hard).reshape(60, BATCH).sum(axis=1)
    low, high = np.floor(BATCH * fraction), np.ceil(BATCH * fraction)
    assert low <= by_batch.min() <= by_batch.max() <= high
    np.testing.assert_array_equal(
        targets.argmax(axis=1), tiny_data.train.labels[shown]
    )
    # Both are shown in whole passes.
    for part in (hard, easy):
        seen = [index for index in shown if index in part]
        passes = len(seen) // len(part)
        copies = np.bincount(seen[: passes * len(part)], minlength=46)[part]
        assert (copies == passes).all()


def test_a_stage_without_replay_shows_no_hard_image(tiny_data, few):
    stage = Stage(0, 0, 20, BATCH, 10, image_size=24, num_classes=4)
    images, _ = show(tiny_data, stage, images=few, hard=np.array([45]))
    assert set(identify(tiny_data, images)) == set(few.tolist())


def test_replay_goes_on_where_it_was(tiny_data, few):
    stage = Stage(0, 0, 20, BATCH, 10, image_size=24, num_classes=4, replay=0.4)
    hard = np.array([44, 45])
    whole, _ = show(tiny_data, stage, images=few, hard=hard)
    tail, _ = show(tiny_data, stage, first=9, images=few, hard=hard)
    np.testing.assert_array_equal(tail, whole[9 * BATCH :])


@pytest.fixture(scope="module")
def unequal(tiny_data):
    """The images of four classes: 13, 5, 1 and 6 of them."""
    return [
        np.flatnonzero(tiny_data.train.labels == label)[:count]
        for label, count in enumerate([13, 5, 1, 6])
    ]


def show_balanced(data, unequal, passes):
    """The images of some passes over unequal classes, (passes, 52)."""
    stage = Stage(1, 10, passes * 4, 13, 25, image_size=24, num_classes=4)
    images = np.concatenate(unequal)
    shown, _ = show(data, stage, images=images, balanced=True)
    return np.reshape(identify(data, shown), (-1, 52))


def test_a_balanced_pass_shows_every_class_as_often(tiny_data, unequal):
    for shown in show_balanced(tiny_data, unequal, 4):
        counts = np.bincount(tiny_data.train.labels[shown])
        assert counts.tolist() == [13, 13, 13, 13]
        assert set(shown) == set(np.concatenate(unequal))
        for group in unequal:
            copies = np.bincount(shown, minlength=46)[group]
            assert copies.max() - copies.min() <= 1


def test_other_images_are_repeated_in_the_next_balanced_pass(
    tiny_data, unequal
):
    """Over any number of passes all of a class are shown as often."""
    shown = show_balanced(tiny_data, unequal, 7)
    for passes in range(1, 8):
        copies = np.bincount(shown[:passes].ravel(), minlength=46)
        for group in unequal:
            spread = copies[group].max() - copies[group].min()
            assert spread == bool(passes * 13 % len(group))
    # Five images: thrice three and twice two of them, and others each time.
    repeated = [
        {i for i in unequal[1] if (order == i).sum() == 3} for order in shown
    ]
    assert [len(each) for each in repeated[:5]] == [3] * 5
    assert len({frozenset(each) for each in repeated[:5]}) == 5


@pytest.mark.parametrize("start", [1, 7])
def test_balanced_passes_go_on_where_they_were(tiny_data, unequal, start):
    stage = Stage(1, 10, 16, 13, 25, image_size=24, num_classes=4)
    settings = {"images": np.concatenate(unequal), "balanced": True}
    whole, _ = show(tiny_data, stage, **settings)
    tail, _ = show(tiny_data, stage, first=10 + start, **settings)
    np.testing.assert_array_equal(tail, whole[start * 13 :])


def test_balanced_classes_are_shown_as_if_nothing_was_asked_for(tiny_data):
    labels = tiny_data.train.labels
    images = np.concatenate(
        [np.flatnonzero(labels == label)[[4, 0, 7]] for label in range(3)]
    )
    stage = Stage(0, 0, 9, 3, 9, image_size=24, num_classes=3)
    plain, _ = show(tiny_data, stage, images=images)
    balanced, _ = show(tiny_data, stage, images=images, balanced=True)
    np.testing.assert_array_equal(balanced, plain)


# Targets


def test_targets_are_one_hot_and_minus_one_for_absent_classes():
    targets = pipeline.make_targets(5, np.array([3, 1]), 0.0)
    assert targets.dtype == np.float32
    assert targets[1].tolist() == [-1, 1, -1, 0, -1]
    assert targets[3].tolist() == [-1, 0, -1, 1, -1]


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_smoothing_spreads_over_the_active_classes_alone(smoothing):
    active = np.array([4, 0, 2])
    targets = pipeline.make_targets(6, active, smoothing)
    assert (targets[:, [1, 3, 5]] == -1).all()
    for label in active:
        np.testing.assert_allclose(targets[label, active].sum(), 1, rtol=1e-6)
        np.testing.assert_allclose(
            targets[label, label], 1 - smoothing + smoothing / 3, rtol=1e-6
        )
        others = np.setdiff1d(active, label)
        np.testing.assert_allclose(
            targets[label, others], smoothing / 3, rtol=1e-6
        )


def test_smoothed_targets_reach_the_batches(tiny_data, stages, few):
    _, targets = show(
        tiny_data,
        stages[0],
        images=few,
        classes=np.array([2, 0]),
        label_smoothing=0.2,
    )
    assert (targets[:, [1, 3]] == -1).all()
    np.testing.assert_allclose(
        np.sort(targets[:, [0, 2]]), [[0.1, 0.9]] * len(targets), rtol=1e-6
    )


# Validation


@pytest.mark.parametrize("size", [16, 24])
def test_validation_comes_in_order_its_last_batch_full(tiny_data, size):
    split = tiny_data.validation
    batches = list(
        pipeline.make_validation(tiny_data, split, size, 8).as_numpy_iterator()
    )
    assert [batch.shape for batch in batches] == [(8, size, size, 3)] * 3
    shown = np.concatenate(batches)
    np.testing.assert_array_equal(shown[:20], split.images(size))
    np.testing.assert_array_equal(shown[20:], split.images(size)[[-1] * 4])


def test_validation_of_chosen_classes_is_of_their_images(tiny_store):
    data = store.open_data(tiny_store, ("moon", "rook"))
    split = data.split(VALIDATION)
    [batch] = pipeline.make_validation(data, split, 24, 10).as_numpy_iterator()
    np.testing.assert_array_equal(batch, split.images(24)[split.rows])
    assert not np.array_equal(split.rows, np.arange(10))


def test_a_batch_larger_than_the_split_is_one_batch(tiny_data):
    dataset = pipeline.make_validation(tiny_data, tiny_data.validation, 16, 64)
    [batch] = dataset.as_numpy_iterator()
    assert batch.shape == (64, 16, 16, 3)


# Memory


def test_the_mapped_file_is_lent_not_copied(tiny_data):
    mapped = tiny_data.train.images(24)
    tensor = pipeline._borrow(mapped)
    assert np.shares_memory(np.asarray(memoryview(tensor)), mapped)


def test_a_lent_map_outlives_its_array(tiny_data):
    tensor = pipeline._borrow(tiny_data.train.images(24))
    expected = np.array(tiny_data.train.images(24))
    np.testing.assert_array_equal(tensor.numpy(), expected)


def test_training_does_not_write_to_the_store(tiny_data, stages):
    path = store.images_path(tiny_data.train.directory, TRAIN, 24)
    before = path.read_bytes()
    list(show(tiny_data, stages[1], augmentation=BASIC))
    assert path.read_bytes() == before


def test_a_step_is_traced_once_for_all_datasets_of_a_stage(
    tiny_data, stages, monkeypatch
):
    """With `strong`, a trace takes as long as many a segment trains."""
    traces = []
    augment = policy.augment
    monkeypatch.setattr(
        policy,
        "augment",
        lambda *a, **k: traces.append(a) or augment(*a, **k),
    )
    stage = stages[1]
    batches = pipeline.make_batches(
        tiny_data, stage, np.arange(46), ALL_CLASSES, seed=3
    )
    for step in range(stage.first_step, stage.last_step):
        assert batches(step, step + 1).cardinality() == 1
    assert len(traces) == 1
