"""Which views vote, that each is passed once, and what they are."""

import keras
import numpy as np
import pytest

from smartgrowth.data.source import VALIDATION
from smartgrowth.evaluation import tta
from smartgrowth.evaluation.tta import View
from smartgrowth.metrics.scores import softmax

pytestmark = pytest.mark.core

# Variants


def test_variants_of_a_network_for_32_px_whose_stride_is_8():
    variants = tta.make_variants(32, 8, mirrored=True)
    assert list(variants) == [
        "plain",
        "flip",
        "flip, shifts",
        "40 px",
        "40 px, flip",
        "32, 40, 48 px, flip",
    ]
    assert variants["plain"] == (View(32),)
    assert set(variants["flip"]) == {View(32), View(32, flip=True)}
    assert set(variants["flip, shifts"]) == {
        View(32, flip, shift) for flip in (False, True) for shift in (-1, 0, 1)
    }
    assert [len(views) for views in variants.values()] == [1, 2, 6, 1, 2, 6]
    assert tta.sizes_of(variants) == {32, 40, 48}


def test_mirror_images_vote_only_where_they_mean_the_same():
    variants = tta.make_variants(32, 8, mirrored=False)
    assert list(variants) == ["plain", "shifts", "40 px", "32, 40, 48 px"]
    assert not any(view.flip for views in variants.values() for view in views)


@pytest.mark.parametrize(
    ("size", "stride", "sizes"),
    [
        (128, 32, {128, 160, 192}),  # FixRes: trained at 128, best at 160
        (224, 32, {224, 288, 320}),  # and at 224, at 288
        (64, 8, {64, 80, 96}),
        (16, 8, {16, 24, 32}),  # a quarter more is no multiple
        (32, 32, {32, 64, 96}),
        (30, 1, {30, 38, 45}),
    ],
)
def test_larger_sizes_suit_the_stride(size, stride, sizes):
    assert tta.sizes_of(tta.make_variants(size, stride, True)) == sizes


# Views


def test_a_shift_moves_down_and_right_and_reflects_the_edge():
    images = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1)
    moved = np.asarray(View(4, shift=1).apply(images))[0, :, :, 0]
    assert moved.tolist() == [
        [0, 0, 1, 2],
        [0, 0, 1, 2],
        [4, 4, 5, 6],
        [8, 8, 9, 10],
    ]
    back = np.asarray(View(4, shift=-1).apply(images))[0, 0, :, 0]
    assert back.tolist() == [5, 6, 7, 7]


def test_a_flip_mirrors_left_to_right():
    images = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    flipped = View(2, flip=True).apply(images)
    np.testing.assert_array_equal(flipped, images[:, :, ::-1])


# Passes


def test_votes_are_means_of_passes_that_are_each_made_once(
    evaluator, tiny_data, monkeypatch
):
    passed = []
    forward = evaluator.forward

    def count(images):
        passed.append(images.shape[1])
        return forward(images)

    monkeypatch.setattr(evaluator, "forward", count)
    views = [View(16), View(16, flip=True), View(24), View(16)]
    passes = tta.run(evaluator, VALIDATION, views)
    # Twenty images are three batches of eight.
    assert sorted(passed) == [16] * 6 + [24] * 3
    for function in evaluator.functions.values():
        if keras.backend.backend() != "tensorflow":
            break  # JAX compiles one a shape by itself
        assert function.experimental_get_tracing_count() == 1
    plain = softmax(evaluator.logits(tiny_data.validation, 16))
    flipped = softmax(evaluator.logits(tiny_data.validation, 16, flip=True))
    assert np.abs(plain - flipped).max() > 1e-3
    np.testing.assert_allclose(
        tta.vote(passes, views[:2]), (plain + flipped) / 2, atol=1e-5
    )
    np.testing.assert_allclose(tta.vote(passes, [View(16)]), plain, atol=1e-5)
    assert len(plain) == len(tiny_data.validation.labels)
    assert passes.seconds.keys() == {16, 24}
    assert min(passes.seconds.values()) > 0
