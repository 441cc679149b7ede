"""`--init_from`: what a network takes over from an earlier run."""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest
from conftest import CLASSES, make_config

from smartgrowth import UserError
from smartgrowth.data import store
from smartgrowth.experiment import make_experiment
from smartgrowth.models.keras_layers import channel_statistics
from smartgrowth.runtime import devices
from smartgrowth.training import pretrained, train
from smartgrowth.training.compile_model import compile_model

pytestmark = pytest.mark.core

SOURCE = {"grow_size": (16,), "stage_steps": (6,)}
FEW = ("rook", "sun", "moon")


@pytest.fixture(scope="module")
def few_data(tiny_store):
    """Three of the four classes."""
    return store.open_data(tiny_store, FEW)


@pytest.fixture(scope="module")
def source(few_data, tmp_path_factory) -> pathlib.Path:
    """A finished run on three classes: look, do not touch."""
    directory = tmp_path_factory.mktemp("source") / "run"
    config = make_config(directory, **SOURCE)
    return train.train(make_experiment(config, few_data))


@pytest.fixture
def copy(source, tmp_path):
    return shutil.copytree(source, tmp_path / "copy")


def build(config, data):
    experiment = make_experiment(config, data)
    machine = devices.find_machine()
    devices.seed_everything(config.seed, False)
    return compile_model(experiment, machine, "float32", False).model


def arrays(model):
    return [np.array(variable) for variable in model.weights]


def start(config, **settings):
    return dataclasses.replace(config, **SOURCE | settings)


@pytest.mark.parametrize("name", ["run", "final.keras"])
def test_the_same_classes_start_where_the_run_ended(
    source, few_data, tiny_config, name, capsys
):
    named = source if name == "run" else source / name
    model = build(tiny_config(**SOURCE, init_from=str(named)), few_data)
    read = pretrained.read(str(source))
    for ours, (_, theirs) in zip(arrays(model), read.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert "all classes keep their weights" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("held_out", "now", "warns"),
    [(0, 0.2, True), (0.1, 0.2, True), (0.2, 0.2, False), (0.2, 0, False)],
)
def test_a_run_that_has_seen_what_is_held_out_is_named(
    copy, tiny_config, held_out, now, warns
):
    config = tiny_config(**SOURCE, init_from=str(copy), hold_out=now)
    read = pretrained.read(str(copy))
    read.flags["hold_out"] = str(held_out)
    warning = read.warning(config)
    assert bool(warning) == warns
    if warns:
        assert f"{copy} was trained on images that --hold_out=0.2" in warning
    read.flags["dataset"] = "another"
    assert read.warning(config) is None


def test_a_run_says_that_its_start_has_seen_what_is_held_out(
    source, few_data, tiny_config, capsys
):
    build(tiny_config(**SOURCE, init_from=str(source), hold_out=0.2), few_data)
    assert "warning: --init_from=" in capsys.readouterr().out


def test_a_new_class_starts_beside_the_old_ones(
    source, tiny_data, tiny_config, capsys
):
    """Whose logits stay what they were, wherever they stand now."""
    model = build(tiny_config(**SOURCE, init_from=str(source)), tiny_data)
    read = pretrained.read(str(source))
    assert read.class_names == FEW
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3))
    logits = np.array(model(images.astype("float32"), training=False))
    old = build(tiny_config(**SOURCE, init_from=str(source)), few(tiny_data))
    kept = [CLASSES.index(name) for name in FEW]
    np.testing.assert_allclose(
        logits[:, kept],
        np.array(old(images.astype("float32"), training=False)),
        rtol=1e-5,
        atol=1e-5,
    )
    new = CLASSES.index("rock crystal")
    kernel, bias = arrays(model)[-2:]
    assert kernel[..., new].std() > 0 and bias[new] == 0
    told = capsys.readouterr().out
    assert "3 classes keep their weights in the head, 1 are new" in told


def few(data):
    return store.open_data(data.train.directory, FEW)


def test_other_classes_make_the_head_anew(copy, few_data, tiny_config, capsys):
    (copy / "classes.txt").write_text("a\nb\nc\n")
    model = build(
        tiny_config(**SOURCE, init_from=str(copy / "final.keras")), few_data
    )
    theirs = [value for _, value in pretrained.read(str(copy)).weights]
    np.testing.assert_array_equal(arrays(model)[0], theirs[0])
    assert (arrays(model)[-2] != theirs[-2]).all()
    assert not arrays(model)[-1].any()
    assert "the head is made anew" in capsys.readouterr().out


def test_images_are_normalized_as_the_run_did(source, tiny_data, tiny_config):
    """To which its weights belong, and so does the exported network."""
    config = tiny_config(**SOURCE, init_from=str(source))
    read = pretrained.read(str(source))
    mean, variance = channel_statistics(build(config, tiny_data))
    assert (mean, variance) == (read.mean, read.variance)
    assert not np.allclose(mean, tiny_data.mean)
    directory = train.train(make_experiment(config, tiny_data))
    assert pretrained.read(str(directory)).mean == read.mean


def test_the_audit_counts_it_as_pretraining(source, tiny_data, tiny_config):
    config = tiny_config(**SOURCE, init_from=str(source), enforce_rules=True)
    with pytest.raises(UserError, match="no pretrained weights .started from"):
        build(config, tiny_data)


def test_a_run_is_another_one_if_it_starts_elsewhere(
    source, copy, few_data, tiny_config
):
    """By the network's content, at any path."""
    hashes = {
        make_experiment(config, few_data).description["hash"]
        for config in (
            tiny_config(**SOURCE, init_from=str(source)),
            tiny_config(**SOURCE, init_from=str(copy)),
            tiny_config(**SOURCE, init_from=str(copy / "final.keras")),
        )
    }
    assert len(hashes) == 1
    plain = make_experiment(tiny_config(**SOURCE), few_data)
    assert plain.description["hash"] not in hashes


def lose_manifest(copy):
    (copy / "final.json").unlink()


def tear_manifest(copy):
    (copy / "final.json").write_text("{")


def change_network(copy):
    with (copy / "final.keras").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"x")


def lose_network(copy):
    (copy / "final.keras").unlink()


def lose_classes(copy):
    (copy / "classes.txt").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lose_manifest, "it has no manifest.*takes it as it is"),
        (tear_manifest, "its manifest is not JSON.*takes it as it is"),
        (change_network, "its hash is not the manifest's"),
        (lose_classes, "classes.txt"),
    ],
)
def test_a_run_that_nothing_vouches_for_is_refused(
    copy, few_data, tiny_config, damage, message
):
    damage(copy)
    config = tiny_config(**SOURCE, init_from=str(copy))
    with pytest.raises(UserError, match=f"--init_from={copy}.*{message}"):
        build(config, few_data)


def test_a_run_without_a_network_is_refused(copy, few_data, tiny_config):
    lose_network(copy)
    config = tiny_config(**SOURCE, init_from=str(copy))
    with pytest.raises(UserError, match="--init_from"):
        make_experiment(config, few_data).description  # noqa: B018


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"width": 16},
            "has the shape .*give --model=resnet --width=8 --depth=0,0,0,1",
        ),
        ({"depth": 2}, "has .* weights, this one"),
        ({"model": "cnn"}, "has .* this one"),
    ],
)
def test_another_network_is_refused(
    source, few_data, tiny_config, settings, message
):
    config = tiny_config(**SOURCE | settings, init_from=str(source))
    with pytest.raises(UserError, match=message):
        build(config, few_data)


def test_a_network_of_another_normalization_is_refused(
    copy, few_data, tiny_config
):
    import keras

    image = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Conv2D(len(FEW), 3)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    keras.Model(image, x).save(copy / "final.keras")
    config = tiny_config(**SOURCE, init_from=str(copy / "final.keras"))
    with pytest.raises(UserError, match="does not begin with a normalization"):
        build(config, few_data)


@pytest.mark.parametrize(
    "flags", [{"init_from": "{}"}, {"sample_order": "hardest:{}"}]
)
@pytest.mark.parametrize("restart", [False, True])
def test_a_run_that_would_replace_what_it_starts_from_is_refused(
    copy, few_data, flags, restart
):
    flags = {name: text.format(copy) for name, text in flags.items()}
    config = make_config(copy, **SOURCE, **flags, restart=restart)
    with pytest.raises(UserError, match="is in --workdir, and this run would"):
        train.train(make_experiment(config, few_data))
    assert (copy / "final.keras").exists()


def test_whitening_and_a_trained_first_convolution_exclude_each_other(source):
    with pytest.raises(UserError, match="leave --whiten out"):
        make_config("unused", init_from=str(source), whiten=True)


def test_a_run_says_in_its_files_what_it_started_from(
    source, few_data, tiny_config
):
    config = tiny_config(**SOURCE, init_from=str(source))
    directory = train.train(make_experiment(config, few_data))
    audit = json.loads((directory / "audit.json").read_text())["findings"]
    (found,) = [f for f in audit if f["rule"] == "no pretrained weights"]
    assert found["passed"] is False and str(source) in found["detail"]
    identity = json.loads((directory / "plan.json").read_text())["identity"]
    assert identity["init_from"] == "file" and identity["inputs"]["init_from"]
