"""What flags mean for given data: plans, orders, hard images."""

import dataclasses
import types

import numpy as np
import pytest

from smartgrowth import UserError, planning
from smartgrowth.config import Config
from smartgrowth.curriculum import choose, descriptors
from smartgrowth.curriculum import orders as orders_module
from smartgrowth.experiment import Experiment, make_experiment
from smartgrowth.models.network import Network
from smartgrowth.optim import rates
from smartgrowth.training import summary

COUNTS = [50, 20, 5, 30, 40]  # training images a class


def test_a_run_is_planned_from_its_data():
    data = types.SimpleNamespace(
        class_names=("a", "b", "c", "d", "e"),
        groups={"a": "x", "b": "x", "c": "x", "d": "y", "e": "z"},
        class_counts=np.array(COUNTS),
    )
    config = Config(
        class_order="taxonomy",
        grow_classes=(3, None),
        model="cnn",
        width=8,
        depth=1,
        dropout=0.5,
        evals=20,
    )
    experiment = make_experiment(config, data)
    run, network = experiment.plan, experiment.network
    classes = experiment.class_order
    assert network == Network("cnn", 5, width=8, depth=1, dropout=0.5)
    assert sorted(classes) == [0, 1, 2, 3, 4]
    # Counted are the images of the active classes.
    first = [COUNTS[label] for label in classes[:3]]
    assert [s.num_images for s in run.stages] == [sum(first), 145]
    assert run.flops_per_image == (3 * network.flops_per_image(32),) * 2


def test_classes_enter_by_the_likeness_of_their_images(tiny_data, monkeypatch):
    """By the centroids of what `descriptors` says of training images."""
    labels = tiny_data.train.labels
    place = np.array([[0.0], [1.0], [10.0], [4.0]])
    monkeypatch.setattr(
        descriptors, "describe", lambda config, data: place[labels]
    )
    far, near = (
        choose.class_order(Config(class_order=name, seed=seed), tiny_data)
        for name, seed in (("far_first", 0), ("near_first", 1))
    )
    assert far.tolist() == [0, 2, 3, 1]
    assert near.tolist() == [0, 1, 3, 2]


@pytest.mark.parametrize("name", ["iconic", "medoids"])
def test_images_enter_by_what_they_represent(tiny_data, monkeypatch, name):
    features = np.random.default_rng(0).normal(size=(46, 5))
    monkeypatch.setattr(descriptors, "describe", lambda config, data: features)
    orders = choose.image_order(Config(sample_order=name), tiny_data)
    expected = orders_module.representative_images(
        getattr(orders_module, name), features, tiny_data.train.labels, 0
    )
    for order, wanted in zip(orders, expected, strict=True):
        np.testing.assert_array_equal(order, wanted)


@pytest.mark.parametrize("name", ["random", "first"])
def test_simple_orders_need_no_description(tiny_data, monkeypatch, name):
    monkeypatch.setattr(descriptors, "describe", None)
    orders = choose.image_order(Config(sample_order=name), tiny_data)
    assert sorted(np.concatenate(orders)) == list(range(46))
    if name == "first":
        assert all((np.diff(order) > 0).all() for order in orders)


# From files


def test_classes_enter_as_a_file_names_them(tiny_data, tmp_path):
    path = tmp_path / "order.csv"
    path.write_text("class,why\nmoon,\ncrystal,by its last part\nsun,\nrook,\n")
    config = Config(class_order=f"file:{path}")
    assert choose.class_order(config, tiny_data).tolist() == [3, 1, 2, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class\nmoon\nsun\nrook\n", "rock crystal left out"),
        ("class\nmoon\nsun\nrook\nmoon\nrock\n", "a class twice"),
        ("class\nmoon\nmars\n", "'mars' is no class"),
        ("name\nmoon\n", "should be 'class'"),
        ("", "should be 'class'"),
        ("class,why\n,x\n", "line 2 has no class"),
    ],
)
def test_a_file_of_classes_that_will_not_do_is_named(
    tiny_data, tmp_path, text, message
):
    path = tmp_path / "order.csv"
    path.write_text(text)
    config = Config(class_order=f"file:{path}")
    with pytest.raises(UserError, match=message) as caught:
        choose.class_order(config, tiny_data)
    assert f"--class_order=file:{path}" in str(caught.value)


def test_a_file_that_is_not_there_is_named(tiny_data, tmp_path):
    config = Config(class_order=f"file:{tmp_path}/none.csv")
    with pytest.raises(UserError, match=r"none\.csv: cannot be read \(No such"):
        choose.class_order(config, tiny_data)


def test_images_enter_as_a_file_names_them(tiny_data, tmp_path, capsys):
    ids, labels = tiny_data.train.ids, tiny_data.train.labels
    listed = np.flatnonzero(labels == 1)[[4, 2]]
    path = tmp_path / "hard_train.csv"
    lines = [f'"{ids[index]}",0.9' for index in listed]
    path.write_text("\n".join(["image,confidence", *lines, "other.png,1"]))
    config = Config(sample_order=f"file:{path}")
    orders = choose.image_order(config, tiny_data)
    assert orders[1][:2].tolist() == listed.tolist()
    assert sorted(np.concatenate(orders)) == list(range(46))
    assert "1 of its 3 images are not among" in capsys.readouterr().out
    path.write_text("image\nother.png\n")
    with pytest.raises(UserError, match="none of its 1 images"):
        choose.image_order(config, tiny_data)


# What a table cannot say


def test_notes_name_sizes_balance_and_hard_images(tiny_data, monkeypatch):
    monkeypatch.setattr(choose, "hard_images", lambda *_: np.arange(7))
    config = Config(
        grow_size=(16, 32),
        size_jitter=(0.75, 1.0, 1.5),
        balance="oversample",
        replay_hard="runs/a:0.25",
    )
    experiment = make_experiment(config, tiny_data)
    text = summary.overview(experiment)
    assert text.startswith(summary.format_plan(experiment.plan))
    assert "stage 1: batches at 16, 16, 24 px" in text
    assert "stage 2: batches at 24, 32, 48 px" in text
    assert "10 to 13 training images" in text
    assert "25% of every batch" in text and "7 training images" in text
    assert "runs/a" in text
    plain = Config()
    experiment = make_experiment(plain, tiny_data)
    assert summary.overview(experiment) == summary.format_plan(experiment.plan)


def test_a_plan_does_not_depend_on_the_sample_order(tiny_data):
    """Counted, not chosen: so a plan waits for no description of images."""
    config = Config(sample_order="iconic", grow_samples=(1, 5, None), evals=20)
    other = dataclasses.replace(config, sample_order="random")
    assert make_experiment(config, tiny_data).plan == planning.make_plan(
        other,
        tiny_data.class_counts[choose.class_order(other, tiny_data)],
        planning.make_network(other, 4),
    )


def test_orders_are_kept_for_the_same_settings_alone(
    tiny_data, tmp_path, monkeypatch
):
    config = Config(
        workdir=str(tmp_path), sample_order="iconic", class_order="far_first"
    )
    features = np.random.default_rng(0).normal(size=(46, 5))
    monkeypatch.setattr(descriptors, "describe", lambda *_: features)
    experiment = make_experiment(config, tiny_data)
    classes, samples = experiment.class_order, experiment.image_order
    assert choose.read_orders(config, tiny_data) is None
    choose.write_orders(config, experiment)
    monkeypatch.setattr(descriptors, "describe", lambda *_: -(features**2))
    assert choose.class_order(config, tiny_data).tolist() == classes.tolist()
    for kept, order in zip(
        choose.image_order(config, tiny_data), samples, strict=True
    ):
        np.testing.assert_array_equal(kept, order)
    other = dataclasses.replace(config, seed=1)
    assert choose.read_orders(other, tiny_data) is None
    for half in (b"half a file", b"PK\x03\x04 half a file", b""):
        (tmp_path / "orders.npz").write_bytes(half)
        assert choose.read_orders(config, tiny_data) is None


def tables(counts=(100, 100), **settings):
    """The rates of two stages of 100 and 200 images, 40 steps each."""
    config = Config(
        grow_size=(16, 16),
        grow_samples=(50, 100),
        stage_steps=(40,),
        batch_size=(10,),
        lr=0.5,
        schedule="sgdr",
        **settings,
    )
    network = planning.make_network(config, 2)
    run = planning.make_plan(config, counts, network)
    return rates.make_rate_tables(config, run, 0.5, network.group_names).rates


def test_cycles_are_counted_in_passes_over_a_stage_s_images():
    rates = tables(cycle_epochs=1.0, schedule_scope="stage")
    # A pass takes 10 batches in the first stage and 20 in the second.
    begins = np.flatnonzero(rates == 0.5)
    assert begins.tolist() == [0, 10, 20, 30, 40, 60]
    np.testing.assert_allclose(rates[[9, 19, 39, 59, 79]], 0.0, atol=1e-12)


def test_cycles_are_counted_in_the_passes_that_oversampling_shows():
    rates = tables(
        (100, 30),
        balance="oversample",
        cycle_epochs=1.0,
        schedule_scope="stage",
    )
    # 50 and 100 images of both classes.
    begins = np.flatnonzero(rates == 0.5)
    assert begins.tolist() == [0, 10, 20, 30, 40, 60]


def test_a_schedule_through_stages_of_other_lengths_has_no_pass():
    with pytest.raises(UserError, match="10, 20 steps.*--schedule_scope=stage"):
        tables(cycle_epochs=1.0)


def test_the_drawing_of_a_rate_to_be_found_says_so():
    config = Config(lr="auto", stage_steps=(40,))
    network = planning.make_network(config, 2)
    run = planning.make_plan(config, [100, 100], network)
    text = summary.draw_rates(Experiment(config, None, run, network, None))
    assert text.startswith("learning rate, 0.0001 to 1 times the rate that is")
