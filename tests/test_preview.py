"""Sheets show what the network is shown."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from smartgrowth.data import pipeline
from smartgrowth.data.augment import policy
from smartgrowth.experiment import make_experiment
from smartgrowth.training import preview


def test_a_variant_is_shown_at_three_strengths(tiny_data):
    shown = preview.variants(tiny_data, 16, ("rotation", "brightness"))
    captions = [caption for _, caption in shown]
    assert captions == [
        *("rotation 1/3", "rotation 2/3", "rotation 1"),
        *("brightness 1/3", "brightness 2/3", "brightness 1"),
    ]
    part = tiny_data.train
    image = part.images(16)[part.rows[23]].astype(int)
    changes = [np.abs(picture - image).mean() for picture, _ in shown[3:]]
    assert 0 < changes[0] < changes[1] < changes[2]


def first_batches(config, data):
    return preview.first_batches(
        make_experiment(config, data), policy.choose(config)
    )


def test_batches_are_those_that_are_trained_on(tiny_data, tiny_config):
    config = tiny_config(
        augment=("none",), batch_size=(20,), grow_classes=(2, 4)
    )
    shown = first_batches(config, tiny_data)
    captions = [caption for _, caption in shown]
    assert captions == ["stage 1, 16 px"] * 12 + ["stage 2, 24 px"] * 12
    part = tiny_data.train
    classes = make_experiment(config, tiny_data).class_order[:2]
    active = np.isin(part.labels, classes)
    known = {image.tobytes() for image in part.images(16)[part.rows[active]]}
    assert {image.tobytes() for image, _ in shown[:12]} <= known
    other = dataclasses.replace(config, augment=("strong",))
    changed = first_batches(other, tiny_data)
    assert not {image.tobytes() for image, _ in changed[:12]} <= known


@pytest.mark.parametrize("name", ["augmentation.png"])
def test_a_finished_run_has_its_sheet(tiny_run, name):
    with Image.open(tiny_run / name) as picture:
        assert picture.width > 12 * preview.SIDE


def test_a_jittered_stage_shows_the_size_of_its_first_batch(
    tiny_data, tiny_config
):
    config = tiny_config(size_jitter=(1.0, 1.5))
    shown = first_batches(config, tiny_data)
    stage = make_experiment(config, tiny_data).plan.stages[0]
    sizes = pipeline.sizes_of(stage, config.seed, np.array([0]))
    assert shown[0][1] == f"stage 1, {sizes[0]} px"
