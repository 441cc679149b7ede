"""What a finished run leaves, beyond what the driver's tests look at."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from smartgrowth.evaluation import evaluator as module
from smartgrowth.evaluation import results, saved_model
from smartgrowth.experiment import make_experiment
from smartgrowth.metrics.scores import score, softmax

pytestmark = pytest.mark.core


def test_the_clean_part_is_as_large_as_the_validation_and_fixed(tiny_data):
    part = results.clean_part(tiny_data)
    assert len(part) == len(tiny_data.validation.labels) == 20
    assert len(set(part)) == 20
    assert set(part) <= set(range(46))
    np.testing.assert_array_equal(results.clean_part(tiny_data), part)


def test_a_small_training_set_is_all_clean_part(tiny_data):
    few = dataclasses.replace(
        tiny_data.train, labels=tiny_data.train.labels[:3]
    )
    small = dataclasses.replace(tiny_data, train=few)
    assert set(results.clean_part(small)) == {0, 1, 2}


def test_all_training_images_are_judged_where_that_costs_little(
    tiny_config, tiny_data, monkeypatch
):
    short = make_experiment(tiny_config(), tiny_data)
    assert results.judged_images(short).tolist() == list(range(46))  # few
    monkeypatch.setattr(results, "FEW_IMAGES", 45)
    part = results.clean_part(tiny_data)
    np.testing.assert_array_equal(results.judged_images(short), part)
    # 46 forward passes are 2% of 767 images trained on: 96 batches of 8.
    for steps, count in ((94, 20), (97, 46)):
        config = tiny_config(grow_size=(24,), stage_steps=(steps,))
        long = make_experiment(config, tiny_data)
        assert len(results.judged_images(long)) == count


def test_the_clean_figures_are_the_trained_model_s(tiny_run, tiny_data):
    metrics = json.loads((tiny_run / "metrics.json").read_text())
    model = saved_model.load_model(tiny_run, 4)
    evaluator = module.Evaluator(model, tiny_data)
    everything = softmax(evaluator.logits(tiny_data.train, 24))
    chosen = results.clean_part(tiny_data)
    scores = score(everything[chosen], tiny_data.train.labels[chosen])
    assert metrics["clean_train_accuracy"] == pytest.approx(scores.accuracy)
    assert metrics["clean_train_loss"] == pytest.approx(scores.loss, rel=1e-4)


def test_the_rules_were_audited_and_the_versions_kept(tiny_run):
    found = json.loads((tiny_run / "audit.json").read_text())["findings"]
    passed = {each["rule"]: each["passed"] for each in found}
    assert passed["no dropout"] is True
    assert passed["receptive field against image size"] is None
    metrics = json.loads((tiny_run / "metrics.json").read_text())
    jax = ["jax"] if keras.backend.backend() == "jax" else []
    known = ["smartgrowth", "keras", *jax, "tensorflow", "numpy", "python"]
    assert list(metrics["versions"]) == known
