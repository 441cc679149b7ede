"""Whatever happened to a file of a finished run, one line names the file."""

import pathlib
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from smartgrowth import UserError
from smartgrowth.comparison import run as compare
from smartgrowth.comparison.settings import Comparison
from smartgrowth.config import Config
from smartgrowth.curriculum import choose
from smartgrowth.evaluation import evaluate_run, export, predict
from smartgrowth.experiment import make_experiment
from smartgrowth.rendering.figure import Plot
from smartgrowth.report import errors
from smartgrowth.report import write as report
from smartgrowth.runs import files
from smartgrowth.runs.files import write_npz

# Mode -> the files that it reads.
RUN = ("plan.json", "metrics.json", "flags.txt")
PAGE = ("plan.json", "metrics.json", "flags.txt", "classes.txt")
PAGE += ("log.csv", "schedule.csv", "predictions.npz", "audit.json")
PAGE += ("data_report.json", "hard_train.csv", "augmentation.png")
PAGE += ("hard_train_maps.png", "confused_images.npz")
READS = {
    "predict": (*RUN, "classes.txt", "final.keras"),
    "evaluate": (*RUN, "classes.txt", "final.keras"),
    "export": (*RUN, "classes.txt", "final.keras", "predictions.npz"),
    "report": PAGE,
    "compare": ("plan.json", "metrics.json", "log.csv"),
    "curriculum": ("train_predictions.npz",),
}


@pytest.fixture
def run(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run")


@pytest.fixture
def modes(
    run, tiny_run, tiny_config, tiny_dataset, tiny_data, tmp_path, monkeypatch
):
    """Mode -> a function that reads the run, and draws no picture of it."""
    monkeypatch.setattr(report, "chart_png", lambda charts: b"")
    plots = {name: Plot(name, b"", b"", name) for name in report.OUTCOMES}
    monkeypatch.setattr(report, "_draw", lambda outcome: (plots, {}))
    monkeypatch.setattr(compare.report, "write_report", lambda *_: "a page")

    def read_by_compare():
        compare.compare(
            Config(workdir=str(tmp_path / "all")),
            Comparison(arms=(str(tiny_run), str(run))),
            [f"--workdir={tmp_path / 'all'}"],
        )

    def read_by_curriculum():
        order = tiny_config(sample_order=f"hardest:{run}")
        choose.image_order(order, tiny_data)
        choose.hard_images(tiny_config(replay_hard=f"{run}:0.5"), tiny_data)

    def asked(**flags):
        return tiny_config(workdir=str(run), cache_dir=tiny_dataset, **flags)

    Image.new("RGB", (24, 24)).save(tmp_path / "one.png")
    return {
        "predict": lambda: predict.label_images(
            asked(images=str(tmp_path / "one.png"))
        ),
        "evaluate": lambda: evaluate_run.evaluate_run(asked()),
        "export": lambda: export.export_run(asked(mode="export")),
        "report": lambda: report.write_report(run),
        "compare": read_by_compare,
        "curriculum": read_by_curriculum,
    }


def half(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def write(content):
    data = content if isinstance(content, bytes) else content.encode()
    return lambda path: path.write_bytes(data)


def replace(old, new):
    def change(path):
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new), "utf-8")

    return change


def encode(encoding):
    return lambda path: path.write_text(path.read_text("utf-8"), encoding)


def arrays(change):
    """Writes the arrays of a file again, as `change` returns them."""

    def damage(path):
        with np.load(path) as file:
            kept = dict(file)
        write_npz(path, **change(kept))

    return damage


def without(name):
    return arrays(lambda kept: {k: v for k, v in kept.items() if k != name})


def cut(name, *slices):
    return arrays(lambda kept: kept | {name: kept[name][slices]})


def pictures(**changed):
    """Writes a small picture of one image, of which something is wrong."""
    whole = {
        "indices": np.array([0]),
        "jpegs": np.frombuffer(errors.JPEG + b"..", np.uint8),
        "ends": np.array([4]),
    }
    return lambda path: write_npz(path, **whole | changed)


def config_of_model(change):
    """Writes a .keras file again with another config.json."""

    def damage(path):
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        text = change(members["config.json"].decode())
        members["config.json"] = text.encode()
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)

    return damage


def model_of_five_classes(path):
    from smartgrowth.models.network import Network

    network = Network("resnet", 5, width=8, depth=1)
    network.build([128.0] * 3, [4000.0] * 3, stock=True).save(path)


def line(number, text):
    """Replaces a line of a file."""

    def damage(path):
        lines = path.read_text("utf-8").split("\n")
        lines[number] = text
        path.write_text("\n".join(lines), "utf-8")

    return damage


DEEP = "[" * 200_000
DAMAGES = {
    "classes.txt": {
        "short": replace("moon\n", ""),
        "long": replace("moon\n", "moon\nmars\n"),
        "twice": replace("moon\n", "sun\n"),
        "blank": replace("moon\n", "\n"),
        "UTF-16": encode("utf-16"),
    },
    "metrics.json": {
        "torn": half,
        "{}": write("{}"),
        "a list": write("[1]"),
        "deep": write(DEEP),
        "text": replace('"val_accuracy": ', '"val_accuracy": "high", "x": '),
        "null": replace('"val_loss": ', '"val_loss": null, "x": '),
        "no size": replace('"native_size": ', '"native_size": 0, "x": '),
        "no seconds": replace('"stage_seconds": [', '"stage_seconds": ["x", '),
    },
    "flags.txt": {
        "UTF-16": encode("utf-16"),
        "prose": write("what I ran last week\n"),
    },
    "plan.json": {
        "torn": half,
        "{}": write("{}"),
        "a list": write("[]"),
        "deep": write(DEEP),
        "stages": write('{"stages": {"0": 1}, "identity": {"seed": 0}}'),
        "text": replace('"steps": 4', '"steps": "four"'),
        "batch": replace('"batch_size": 8', '"batch_size": [8]'),
        "identity": replace('"identity": {', '"identity": [], "x": {'),
    },
    "log.csv": {
        "column": replace("val_loss", "loss"),
        "text": line(1, "4,0" + ",high" * 18),
        "shorter": lambda path: path.write_text(
            "".join(path.read_text().splitlines(keepends=True)[:-1])
        ),
        "nul": write(b"\0" * 300),
    },
    "schedule.csv": {"column": replace("momentum", "mass")},
    "predictions.npz": {
        "torn": half,
        "no labels": without("labels"),
        "no image": cut("labels", slice(0)),
        "fewer": cut("labels", slice(3)),
        "three classes": cut("probabilities", slice(None), slice(3)),
        "flat": cut("probabilities", 0),
        "pickled": arrays(lambda kept: kept | {"labels": np.array([{}] * 20)}),
        "text": arrays(lambda kept: kept | {"labels": kept["ids"]}),
    },
    "train_predictions.npz": {
        "torn": half,
        "no losses": without("losses"),
        "fewer": cut("ids", slice(3)),
        "text": arrays(lambda kept: kept | {"losses": kept["ids"]}),
    },
    "final.keras": {
        "torn": half,
        "no zip": write("a text"),
        "deep": config_of_model(lambda text: DEEP),
        "huge": config_of_model(
            lambda text: text.replace('"filters": 8', '"filters": 800000000')
        ),
        "a list": config_of_model(lambda text: "[]"),
        "five classes": model_of_five_classes,
    },
    "audit.json": {"{}": write("{}"), "a list": write("[]")},
    "data_report.json": {"a list": write("[]"), "deep": write(DEEP)},
    "hard_train.csv": {
        "torn": line(1, "train/rook/0.png,rook"),
        "text": line(1, "train/rook/0.png,rook,sun,surely,0.1"),
        "column": replace("predicted", "answer"),
    },
    "augmentation.png": {"torn": half, "no picture": write("a text")},
    "hard_train_maps.png": {"torn": half, "no picture": write("a text")},
    "confused_images.npz": {
        "torn": half,
        "no pictures": without("jpegs"),
        "fewer": pictures(ends=np.array([2, 4])),
        "other images": pictures(indices=np.array([20])),
        "no JPEG": pictures(jpegs=np.zeros(4, np.uint8)),
        "text": pictures(indices=np.array(["one"])),
    },
}
CASES = [
    pytest.param(mode, name, damage, id=f"{mode} {name} {what}")
    for mode, names in READS.items()
    for name in names
    for what, damage in ({"empty": write("")} | DAMAGES[name]).items()
]


def check_one_line(error, path):
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 600
    return message


@pytest.mark.parametrize(("mode", "name", "damage"), CASES)
def test_a_damaged_file_is_named_in_one_line(modes, run, mode, name, damage):
    damage(run / name)
    with pytest.raises(UserError) as error:
        modes[mode]()
    message = check_one_line(error, run / name)
    assert f"{name} is malformed (" in message
    assert "delete it" in message


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("--future_flag=1\n", "flags that this version does not take"),
        ("--width=16\n", "--width is 16 in it, and 8 in plan.json"),
        ("--test_size=16\n", "--test_size is 16 in it, and 24 in plan.json"),
        ("--width=wide\n", "--width"),
    ],
)
@pytest.mark.parametrize("mode", ["predict", "evaluate"])
def test_flags_that_made_no_such_run_are_named(modes, run, mode, line, part):
    with (run / "flags.txt").open("a") as file:
        file.write(line)
    with pytest.raises(UserError) as error:
        modes[mode]()
    assert part in check_one_line(error, run / "flags.txt")


@pytest.mark.parametrize("mode", READS)
def test_a_whole_run_is_read(modes, mode):
    """Without which the tests above would say nothing."""
    modes[mode]()


def flip(position):
    def damage(path):
        content = bytearray(path.read_bytes())
        content[int(position * (len(content) - 1))] ^= 0x55
        path.write_bytes(content)

    return damage


@pytest.mark.parametrize(
    "name", sorted({name for names in READS.values() for name in names})
)
def test_no_damage_ends_otherwise(modes, run, name, monkeypatch):
    """A changed digit may pass; what fails, fails in one line."""
    monkeypatch.setattr(evaluate_run, "open_run_data", stop)
    monkeypatch.setattr(predict, "load_model", stop)
    monkeypatch.setattr(export.saved_model, "load_model", stop)
    whole = (run / name).read_bytes()
    damages = [flip(part) for part in np.linspace(0, 1, 12)]
    for damage in [half, write(whole[:-1]), *damages]:
        damage(run / name)
        for mode, read in READS.items():
            if name not in read or name == "final.keras":
                continue
            try:
                modes[mode]()
            except UserError as error:
                assert "\n" not in str(error)
            except Stop:
                pass
        (run / name).write_bytes(whole)


class Stop(Exception):
    """The files have been read."""


def stop(*_):
    raise Stop


def test_the_orders_of_a_damaged_file_are_found_anew(
    tiny_config, tiny_data, capsys
):
    config = tiny_config(sample_order="medoids")
    pathlib.Path(config.workdir).mkdir()
    experiment = make_experiment(config, tiny_data)
    path = pathlib.Path(config.workdir) / files.ORDERS
    for change in (
        half,
        without("key"),
        cut("samples", slice(5)),
        arrays(lambda kept: kept | {"samples": kept["samples"] * 0}),
    ):
        choose.write_orders(config, experiment)
        change(path)
        found = choose.image_order(config, tiny_data)
        for images, expected in zip(found, experiment.image_order, strict=True):
            np.testing.assert_array_equal(images, expected)
        assert f"{path} is damaged" in capsys.readouterr().out
