"""What a finished run leaves, beyond what the driver's tests look at."""

import json

import numpy as np
import pytest

from smartgrowth import evaluate, predict, results
from smartgrowth.data.store import TRAIN


def test_the_clean_part_is_as_large_as_the_validation_and_fixed(tiny_data):
    part = results.clean_part(tiny_data)
    assert len(part.labels) == len(tiny_data.validation.labels) == 20
    assert len(set(part.ids)) == 20
    assert set(part.ids) <= set(tiny_data.train.ids)
    assert results.clean_part(tiny_data).ids == part.ids
    # Labels, ids and rows still belong together.
    label_of = dict(
        zip(tiny_data.train.ids, tiny_data.train.labels, strict=True)
    )
    row_of = dict(zip(tiny_data.train.ids, tiny_data.train.rows, strict=True))
    for name, label, row in zip(part.ids, part.labels, part.rows, strict=True):
        assert (label_of[name], row_of[name]) == (label, row)


def test_a_small_training_set_is_all_clean_part(tiny_data, monkeypatch):
    few = tiny_data.train.take(np.array([3, 1, 7]))
    monkeypatch.setitem(tiny_data.__dict__, "train", few)
    assert set(results.clean_part(tiny_data).ids) == set(few.ids)


def test_the_clean_figures_are_the_trained_model_s(tiny_run, tiny_data):
    metrics = json.loads((tiny_run / "metrics.json").read_text())
    evaluator = evaluate.Evaluator(predict.load_model(tiny_run), tiny_data)
    everything = evaluate.softmax(evaluator.logits(TRAIN, 24))
    chosen = [
        tiny_data.train.ids.index(name)
        for name in results.clean_part(tiny_data).ids
    ]
    scores = evaluate.score(everything[chosen], tiny_data.train.labels[chosen])
    assert metrics["clean_train_accuracy"] == pytest.approx(scores.accuracy)
    assert metrics["clean_train_loss"] == pytest.approx(scores.loss, rel=1e-4)
