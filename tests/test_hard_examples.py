"""What a run got wrong is listed, and later runs read the list."""

import csv
import dataclasses
import io
import json

import numpy as np
import pytest
from PIL import Image

from smartgrowth import UserError
from smartgrowth.config import Config
from smartgrowth.curriculum import choose, earlier_run
from smartgrowth.data.source import TRAIN, VALIDATION
from smartgrowth.evaluation import evaluate_run, hard_examples
from smartgrowth.metrics.scores import softmax
from smartgrowth.rendering import contact_sheet, heat_map


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def probabilities():
    """Of 46 images and 4 classes, a tenth or so of them right by chance."""
    scores = np.random.default_rng(5).random((46, 4)) ** 4
    return scores / scores.sum(axis=1, keepdims=True)


def test_wrong_images_are_listed_the_most_confident_first(
    tiny_data, probabilities, tmp_path
):
    hard_examples.write_hardest(
        tmp_path, tiny_data, tiny_data.train, probabilities, 24
    )
    rows = read(tmp_path / "hard_train.csv")
    labels, names = tiny_data.train.labels, tiny_data.class_names
    guesses = probabilities.argmax(axis=1)
    assert {row["image"] for row in rows} == {
        tiny_data.train.ids[i] for i in np.flatnonzero(guesses != labels)
    }
    confidences = [float(row["confidence"]) for row in rows]
    assert confidences == sorted(confidences, reverse=True)
    for row in rows:
        index = tiny_data.train.ids.index(row["image"])
        assert row["class"] == names[labels[index]]
        assert row["predicted"] == names[guesses[index]]
        assert float(row["confidence"]) == pytest.approx(
            probabilities[index].max(), rel=1e-5
        )
        assert float(row["probability_of_class"]) == pytest.approx(
            probabilities[index, labels[index]], rel=1e-5
        )


def test_the_pictures_are_of_the_listed_images(
    tiny_data, probabilities, tmp_path, monkeypatch
):
    shown = {}

    def grid(images, captions, columns, *side):
        shown.update(images=images, captions=captions)
        return b"a picture"

    monkeypatch.setattr(contact_sheet, "grid", grid)
    monkeypatch.setattr(hard_examples, "PICTURES", 5)
    part = tiny_data.train
    hard_examples.write_hardest(tmp_path, tiny_data, part, probabilities, 16)
    rows = read(tmp_path / "hard_train.csv")[:5]
    stored = part.images(16)
    for image, caption, row in zip(
        shown["images"], shown["captions"], rows, strict=True
    ):
        index = part.rows[part.ids.index(row["image"])]
        np.testing.assert_array_equal(image, stored[index])
        assert row["class"] in caption and row["predicted"] in caption
    assert (tmp_path / "hard_train.png").read_bytes() == b"a picture"


def test_the_heat_maps_are_of_the_listed_images_and_their_predictions(
    evaluator, tiny_data, tmp_path, monkeypatch
):
    part = tiny_data.train
    logits = evaluator.logits(part, 16)
    drawn = []
    monkeypatch.setattr(
        heat_map, "blend", lambda *given: drawn.append(given) or given[0]
    )
    hard_examples.write_hardest(
        tmp_path, tiny_data, part, softmax(logits), 16, evaluator.class_maps
    )
    rows = read(tmp_path / "hard_train.csv")
    assert len(drawn) == len(rows) > 5
    for (image, heat, side), row in zip(drawn, rows, strict=True):
        index = part.ids.index(row["image"])
        np.testing.assert_array_equal(image, part.images(16)[part.rows[index]])
        assert heat.shape == (2, 2)
        # The mean of a map is the logit, the highest one here.
        assert heat.mean() == pytest.approx(logits[index].max(), abs=1e-4)
        assert side == hard_examples.MAP
    sheet = (tmp_path / "hard_train_maps.png").read_bytes()
    assert len(contact_sheet.cut(sheet)) == len(rows)


def test_a_network_without_maps_leaves_none_of_an_older_run(
    tiny_data, probabilities, tmp_path
):
    (tmp_path / "hard_train_maps.png").write_bytes(b"of an older run")
    hard_examples.write_hardest(
        tmp_path, tiny_data, tiny_data.train, probabilities, 24
    )
    assert (tmp_path / "hard_train.png").exists()
    assert not (tmp_path / "hard_train_maps.png").exists()


LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
GUESSES = np.array([1, 1, 0, 0, 1, 1, 1, 1, 0])
CONFIDENCE = np.array([0.5, 0.6, 0.9, 0.8, 0.9, 0.4, 0.7, 0.6, 0.9])


@pytest.mark.parametrize(
    ("per_pair", "in_all", "expected"),
    [
        (8, 1000, [6, 7, 5, 1, 0, 3, 8]),
        (2, 1000, [6, 7, 1, 0, 3, 8]),
        (1, 1000, [6, 1, 3, 8]),
        (2, 3, [6, 7, 1]),
    ],
)
def test_the_most_frequent_confusions_get_small_pictures_first(
    monkeypatch, per_pair, in_all, expected
):
    monkeypatch.setattr(hard_examples, "PER_PAIR", per_pair)
    monkeypatch.setattr(hard_examples, "SMALL_PICTURES", in_all)
    chosen = hard_examples.choose_confused(LABELS, GUESSES, CONFIDENCE)
    assert chosen.tolist() == expected


def test_the_small_pictures_are_of_wrong_validation_images(
    tiny_data, probabilities, tmp_path
):
    part, given = tiny_data.validation, probabilities[:20]
    hard_examples.write_hardest(tmp_path, tiny_data, part, given, 24)
    with np.load(tmp_path / "confused_images.npz") as file:
        indices, ends = file["indices"], file["ends"].tolist()
        content = file["jpegs"].tobytes()
    wrong = np.flatnonzero(given.argmax(axis=1) != part.labels)
    assert sorted(indices) == wrong.tolist()
    assert ends[-1] == len(content)
    stored = part.images(24)[part.rows].astype(float)
    for index, start, end in zip(indices, [0, *ends], ends, strict=False):
        picture = Image.open(io.BytesIO(content[start:end]))
        apart = np.abs(stored - np.asarray(picture)).mean(axis=(1, 2, 3))
        assert apart.argmin() == index


def test_a_run_without_a_mistake_has_an_empty_list(tiny_data, tmp_path):
    right = np.eye(4)[tiny_data.validation.labels]
    (tmp_path / "hard_validation.png").write_bytes(b"of an older run")
    (tmp_path / "hard_validation_maps.png").write_bytes(b"of an older run")
    hard_examples.write_hardest(
        tmp_path, tiny_data, tiny_data.validation, right, 24
    )
    assert read(tmp_path / "hard_validation.csv") == []
    assert not (tmp_path / "hard_validation.png").exists()
    assert not (tmp_path / "hard_validation_maps.png").exists()
    assert not (tmp_path / "train_predictions.npz").exists()
    with np.load(tmp_path / "confused_images.npz") as file:
        assert not file["indices"].size and not file["jpegs"].size


def test_later_runs_read_losses_and_mistakes(
    tiny_data, probabilities, tmp_path
):
    train = tiny_data.train
    hard_examples.write_hardest(tmp_path, tiny_data, train, probabilities, 24)
    losses = earlier_run.read_losses("--sample_order", str(tmp_path), tiny_data)
    expected = -np.log(probabilities[np.arange(46), train.labels])
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    wrong = earlier_run.read_wrong("--replay_hard", str(tmp_path), tiny_data)
    assert (
        wrong.tolist()
        == np.flatnonzero(probabilities.argmax(axis=1) != train.labels).tolist()
    )
    # By id: in data of another order they are the same images.
    turned = dataclasses.replace(
        train,
        ids=train.ids[::-1],
        labels=train.labels[::-1],
        digests=train.digests[::-1],
    )
    other = dataclasses.replace(tiny_data, train=turned)
    np.testing.assert_allclose(
        earlier_run.read_losses("--sample_order", str(tmp_path), other),
        expected[::-1],
        rtol=1e-5,
    )
    config = Config(sample_order=f"hardest:{tmp_path}")
    for order in choose.image_order(config, tiny_data):
        assert (np.diff(losses[order]) <= 0).all()


def test_a_run_that_cannot_serve_is_named(tiny_data, probabilities, tmp_path):
    config = Config(replay_hard=f"{tmp_path}:0.5")
    with pytest.raises(UserError, match="--replay_hard: .*finished run"):
        choose.hard_images(config, tiny_data)
    for half in (b"PK\x03\x04 half a file", b""):
        (tmp_path / "train_predictions.npz").write_bytes(half)
        with pytest.raises(UserError, match="predictions.npz is malformed"):
            choose.hard_images(config, tiny_data)
    hard_examples.write_hardest(
        tmp_path, tiny_data, tiny_data.train, probabilities, 24
    )
    more = dataclasses.replace(
        tiny_data.train, ids=("new.png", *tiny_data.train.ids[1:])
    )
    other = dataclasses.replace(tiny_data, train=more)
    with pytest.raises(UserError, match=r"without 1 of the 46 .*new\.png"):
        earlier_run.read_losses("--sample_order", str(tmp_path), other)
    right = np.eye(4)[tiny_data.train.labels]
    hard_examples.write_hardest(tmp_path, tiny_data, tiny_data.train, right, 24)
    with pytest.raises(UserError, match="got none of these training images"):
        choose.hard_images(config, tiny_data)


def test_a_run_on_other_images_of_the_same_names_is_refused(
    tiny_data, probabilities, tmp_path
):
    train = tiny_data.train
    hard_examples.write_hardest(tmp_path, tiny_data, train, probabilities, 24)
    [listed, *_] = read(tmp_path / "hard_train.csv")
    changed = train.digests.copy()
    index = train.ids.index(listed["image"])
    changed[index] ^= 1
    other = dataclasses.replace(
        tiny_data, train=dataclasses.replace(train, digests=changed)
    )
    hardest = Config(sample_order=f"hardest:{tmp_path}")
    from_list = Config(sample_order=f"file:{tmp_path / 'hard_train.csv'}")
    replay = Config(replay_hard=f"{tmp_path}:0.5")
    said = (
        f"other images under .* 1 training images, such as {train.ids[index]}"
    )
    for config, choice in (
        (hardest, choose.image_order),
        (from_list, choose.image_order),
        (replay, choose.hard_images),
    ):
        choice(config, tiny_data)
        with pytest.raises(UserError, match=f"^--.*{said}"):
            choice(config, other)
    # Of an older version, or written by hand: by name alone.
    with np.load(tmp_path / "train_predictions.npz") as file:
        older = {name: file[name] for name in file.files if name != "digests"}
    np.savez(tmp_path / "train_predictions.npz", **older)
    (tmp_path / "hard_train.csv").write_text(f"image\n{train.ids[index]}\n")
    assert len(choose.hard_images(replay, other))
    for config in (hardest, from_list):
        assert index in choose.image_order(config, other)[train.labels[index]]


def test_a_finished_run_has_its_lists(tiny_run, tiny_data):
    metrics = json.loads((tiny_run / "metrics.json").read_text())
    wrong = read(tiny_run / "hard_validation.csv")
    count = len(tiny_data.validation.labels)
    assert len(wrong) == round((1 - metrics["val_accuracy"]) * count)
    for name, part in ((TRAIN, tiny_data.train), (VALIDATION, None)):
        part = part or tiny_data.validation
        listed = {row["image"] for row in read(tiny_run / f"hard_{name}.csv")}
        assert listed <= set(part.ids)
    with np.load(tiny_run / "train_predictions.npz") as file:
        assert file["ids"].tolist() == list(tiny_data.train.ids)


def test_a_run_that_judged_a_part_is_refused_until_it_judged_all(
    evaluator, tiny_data, tmp_path
):
    part = tiny_data.train.subset(np.arange(0, 46, 3))
    judged = softmax(evaluator.logits(part, 24))
    hard_examples.write_hardest(tmp_path, tiny_data, part, judged, 24)
    assert {row["image"] for row in read(tmp_path / "hard_train.csv")} <= {
        *part.ids
    }
    for reads in (earlier_run.read_losses, earlier_run.read_wrong):
        with pytest.raises(UserError, match="16 of its 46 training images"):
            reads("--sample_order=hardest:x", str(tmp_path), tiny_data)
    evaluate_run.judge_training(tmp_path, evaluator, 24)
    losses = earlier_run.read_losses("--x", str(tmp_path), tiny_data)
    np.testing.assert_allclose(
        losses[::3],
        -np.log(judged[np.arange(16), part.labels]),
        rtol=1e-4,
    )
