"""A finished run labels new images."""

import csv
import os
import shutil
import zipfile

import numpy as np
import pytest
from html_page import Page, check_offline
from PIL import Image

from smartgrowth import UserError
from smartgrowth.evaluation import predict
from smartgrowth.evaluation.saved_model import load_model
from smartgrowth.experiment import make_experiment
from smartgrowth.models.network import Network
from smartgrowth.training import train


@pytest.fixture
def run(tiny_run, tmp_path):
    """A copy of a finished run, which a test may change."""
    return shutil.copytree(tiny_run, tmp_path / "copy")


@pytest.fixture
def config(tiny_config, tiny_dataset, run):
    """As a user asks about it: no flag of the training repeated."""

    def make(**overrides):
        settings = {
            "workdir": str(run),
            "cache_dir": tiny_dataset,
            "dataset": "glyphs",
            "grow_size": (32,),
            "stage_steps": (1,),
        }
        return tiny_config(**settings | overrides)

    return make


@pytest.fixture
def folder(tiny_data, tmp_path):
    """The first seven validation images as files, two of them in a folder."""
    images = tiny_data.validation.images(24)
    for number, image in enumerate(images[:7]):
        inside = "b" if number > 4 else "a"
        path = tmp_path / "images" / inside / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return tmp_path / "images"


def read_labels(run) -> list[dict]:
    with (run / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def read_predictions(run):
    with np.load(run / "predictions.npz") as arrays:
        return dict(arrays)


# --mode=predict


@pytest.mark.core
def test_images_get_the_probabilities_that_validation_gave_them(
    config, run, folder, tiny_data, capsys
):
    path = predict.label_images(config(images=str(folder)))
    assert path == run / "labels.csv"
    rows = read_labels(run)
    names = [f"probability of {name}" for name in tiny_data.class_names]
    assert list(rows[0]) == ["image", "label", *names]
    assert [row["image"] for row in rows] == [
        str(folder / name)
        for name in ("a/0.png", "a/1.png", "a/2.png", "a/3.png", "a/4.png")
        + ("b/5.png", "b/6.png")
    ]
    given = np.array([[float(row[name]) for name in names] for row in rows])
    np.testing.assert_allclose(given.sum(axis=1), 1, atol=1e-5)
    expected = read_predictions(run)["probabilities"][:7]
    np.testing.assert_allclose(given, expected, atol=1e-3)
    assert [row["label"] for row in rows] == [
        tiny_data.class_names[best] for best in given.argmax(axis=1)
    ]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 9
    best = np.sort(given[0])[::-1]
    shown = f"{folder / 'a/0.png'}: {rows[0]['label']} {best[0]:.1%}, "
    assert lines[0].startswith(shown)
    assert lines[0].count("%") == predict.TOP
    assert lines[-2] == f"7 images labeled: {path}"
    assert lines[-1] == f"pictures: {run / 'predict.html'}"


def test_many_images_are_labeled_in_parts(config, run, folder, monkeypatch):
    predict.label_images(config(images=str(folder)))
    whole = read_labels(run)
    monkeypatch.setattr(predict, "BATCH", 3)
    predict.label_images(config(images=str(folder)))
    parts = read_labels(run)
    for one, other in zip(whole, parts, strict=True):
        assert one["image"] == other["image"]
        sun = "probability of sun"
        assert float(one[sun]) == pytest.approx(float(other[sun]), abs=1e-4)


def test_one_file_is_labeled_whatever_its_size_or_ending(
    config, run, tmp_path, tiny_data
):
    image = Image.fromarray(tiny_data.validation.images(24)[0])
    path = tmp_path / "large.photo"
    image.resize((240, 240), Image.Resampling.NEAREST).save(path, "PNG")
    predict.label_images(config(images=str(path)))
    [row] = read_labels(run)
    assert row["image"] == str(path)
    best = read_predictions(run)["probabilities"][0].argmax()
    assert row["label"] == tiny_data.class_names[best]


def test_a_broken_file_is_named_and_passed_over(
    config, run, folder, monkeypatch, capsys
):
    monkeypatch.setattr(predict, "BATCH", 2)
    broken = [folder / "a" / f"1{letter}.png" for letter in "abc"]
    broken[0].write_bytes(b"no image")
    broken[1].write_bytes((folder / "a" / "0.png").read_bytes()[:90])
    broken[2].symlink_to(folder / "nowhere.png")
    (folder / "notes.txt").write_text("no image, and not taken for one")
    predict.label_images(config(images=str(folder)))
    assert len(read_labels(run)) == 7
    lines = capsys.readouterr().out.splitlines()
    for path in broken:
        [line] = [line for line in lines if line.startswith(f"{path}: ")]
        assert ": skipped, " in line
    assert lines[0] == "1 file not read, for its ending (.txt): notes.txt"
    assert lines[-2] == f"7 images labeled, 4 files skipped: {run}/labels.csv"


@pytest.mark.parametrize("ending", ["heic", "tif", "jfif", "avif", "JPG"])
def test_a_photo_is_labeled_under_any_of_these_endings(
    config, run, folder, ending
):
    photo = folder / "a" / "0.png"
    renamed = photo.rename(folder / "a" / f"0.{ending}")
    predict.label_images(config(images=str(folder)))
    assert read_labels(run)[0]["image"] == str(renamed)


def test_links_are_followed_as_in_training(config, run, folder, tmp_path):
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "holiday").symlink_to(folder)
    predict.label_images(config(images=str(tmp_path / "linked")))
    names = [row["image"] for row in read_labels(run)]
    assert len(names) == 7
    assert names[0] == str(tmp_path / "linked" / "holiday" / "a" / "0.png")


def test_a_pipe_is_named_and_never_waited_for(config, run, folder, capsys):
    os.mkfifo(folder / "x.jpg")
    predict.label_images(config(images=str(folder)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{folder / 'x.jpg'}: skipped, not a regular file"
    assert len(read_labels(run)) == 7
    with pytest.raises(UserError, match="there is no image file"):
        predict.label_images(config(images=str(folder / "x.jpg")))


def test_what_systems_leave_beside_photos_is_passed_over(
    config, run, folder, capsys
):
    (folder / "._0.png").write_bytes(b"a Mac's")
    (folder / "Thumbs.db").write_bytes(b"a PC's")
    predict.label_images(config(images=str(folder)))
    assert len(capsys.readouterr().out.splitlines()) == 9


def test_only_broken_files_are_an_error(config, run, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "torn.jpg").write_bytes(b"torn")
    for images in (broken / "torn.jpg", broken):
        with pytest.raises(UserError) as caught:
            predict.label_images(config(images=str(images)))
        assert str(caught.value) == f"--images={images}: no image could be read"
    assert not (run / "labels.csv").exists()
    assert not (run / "predict.html").exists()


@pytest.mark.parametrize("images", [None, ""])
def test_images_must_be_named(config, images):
    with pytest.raises(UserError, match="needs --images=PATH"):
        predict.label_images(config(images=images))


@pytest.mark.parametrize("name", ["empty", "missing", "missing.png"])
def test_a_place_without_images_is_named(config, tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("")
    images = tmp_path / name
    with pytest.raises(UserError, match="there is no image file") as caught:
        predict.label_images(config(images=str(images)))
    assert f"--images={images}" in str(caught.value)
    assert ".jpg" in str(caught.value)


# The page of pictures


@pytest.mark.core
def test_the_page_shows_each_image_its_heat_map_and_its_classes(
    config, run, folder
):
    hostile = folder / "a" / "<script>alert(1)<\n&.png"
    (folder / "a" / "0.png").rename(hostile)
    predict.label_images(config(images=str(folder)))
    page = Page((run / "predict.html").read_text("utf-8"))
    names = [r"a/<script>alert(1)<\n&.png", "a/1.png", "a/2.png"]
    names += ["a/3.png", "a/4.png", "b/5.png", "b/6.png"]
    alts = [fields["alt"] for fields in page.images]
    assert sorted(alts[::2]) == sorted(names)
    rows = {row["image"]: row for row in read_labels(run)}
    sureness = []
    for name, heat in zip(alts[::2], alts[1::2], strict=True):
        row = rows[str(folder / name)]
        assert heat == f"Heat map of {row['label']}. {name}"
        sureness.append(float(row[f"probability of {row['label']}"]))
    assert sureness == sorted(sureness)
    assert "the more orange a place is" in page.text
    assert f"{sureness[0]:.1%}" in page.text
    check_offline(page)


def test_the_heat_map_is_that_of_the_predicted_class(run, tiny_data):
    model = load_model(run, 4)
    images = tiny_data.validation.images(24)[:5]
    logits, maps = predict._make_forward(model)(np.asarray(images))
    np.testing.assert_allclose(
        maps.mean(axis=(1, 2)), logits.max(axis=1), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(
        logits, model.predict_on_batch(images), rtol=1e-5, atol=1e-5
    )


def test_a_network_without_maps_still_labels():
    network = Network("mlp", 4, width=8, depth=1)
    model = network.build([128.0] * 3, [4000.0] * 3)
    images = np.zeros((2, 16, 16, 3), np.uint8)
    logits, maps = predict._make_forward(model)(images)
    assert logits.shape == (2, 4)
    assert maps is None


# What is not a finished, whole run


def test_a_folder_without_a_run_is_named(config, folder, tmp_path):
    settings = config(workdir=str(tmp_path / "no"), images=str(folder))
    with pytest.raises(UserError, match="--workdir=.*no holds no run"):
        predict.label_images(settings)


def test_an_unfinished_run_is_named(config, folder, run):
    (run / "metrics.json").unlink()
    with pytest.raises(UserError, match="not finished; give its training"):
        predict.label_images(config(images=str(folder)))


def truncate(path):
    path.write_bytes(path.read_bytes()[:-2000])


def empty(path):
    path.write_bytes(b"")


def flip_bytes(path):
    """Damage that leaves the archive's table of contents readable."""
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("model.weights.h5")
    content = bytearray(path.read_bytes())
    start = entry.header_offset + 200
    content[start : start + 1000] = bytes(1000)
    path.write_bytes(content)


def garble_config(path):
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("config.json")
    content = bytearray(path.read_bytes())
    content[entry.header_offset + 60] ^= 255
    path.write_bytes(content)


def leave_out_the_weights(path):
    with zipfile.ZipFile(path) as archive:
        config = archive.read("config.json")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config)


def other_archive(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("holiday.txt", "sun")


DAMAGES = [
    truncate,
    empty,
    flip_bytes,
    garble_config,
    leave_out_the_weights,
    other_archive,
    lambda path: path.write_text("no archive"),
    lambda path: path.unlink(),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_is_named_with_the_way_out(config, run, folder, damage):
    path = run / "final.keras"
    damage(path)
    with pytest.raises(UserError) as caught:
        predict.label_images(config(images=str(folder)))
    message = str(caught.value)
    assert message.startswith(f"{path} is malformed (")
    assert "delete it and metrics.json beside it" in message
    assert "\n" not in message


def test_a_missing_list_of_classes_is_named(config, run, folder):
    (run / "classes.txt").unlink()
    with pytest.raises(UserError, match="classes.txt is malformed .*delete"):
        predict.label_images(config(images=str(folder)))


def test_the_way_out_leads_out(
    config, tiny_config, tiny_data, run, folder, capsys
):
    truncate(run / "final.keras")
    (run / "metrics.json").unlink()
    lines = (run / "log.csv").read_text()
    train.train(
        make_experiment(
            tiny_config(workdir=str(run), cache_dir=config().cache_dir),
            tiny_data,
        )
    )
    assert "resuming at step 8 of 8" in capsys.readouterr().out
    assert (run / "log.csv").read_text() == lines
    predict.label_images(config(images=str(folder)))
    assert len(read_labels(run)) == 7


def test_enlarged_images_get_what_validation_gave_them(
    tiny_config, tiny_data, tmp_path
):
    """A size above the originals': enlarged as in training, no other way."""
    from smartgrowth.training.train import train

    settings = tiny_config(grow_size=(48,), stage_steps=(3,))
    run = train(make_experiment(settings, tiny_data))
    image = tiny_data.validation.images(24)[tiny_data.validation.rows[0]]
    Image.fromarray(image).save(tmp_path / "one.png")
    predict.label_images(
        tiny_config(mode="predict", images=str(tmp_path / "one.png"))
    )
    [row] = read_labels(run)
    given = [
        float(row[f"probability of {name}"]) for name in tiny_data.class_names
    ]
    expected = read_predictions(run)["probabilities"][0]
    np.testing.assert_allclose(given, expected, atol=1e-4)
