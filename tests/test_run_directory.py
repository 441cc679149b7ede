"""A run directory belongs to one plan, and is never half written."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from smartgrowth import UserError, experiment
from smartgrowth.command_line import from_flag_lines
from smartgrowth.report import curves, outcome
from smartgrowth.runs import checkpoint, files, identity
from smartgrowth.runs import directory as run_directory
from smartgrowth.runs.finished import load_config
from smartgrowth.runs.reader import read_run
from smartgrowth.runtime import atomic

STAGE = {"index": 0, "steps": 10, "image_size": 16, "gflops": 1.5}


def describe(hash="aa", stages=(STAGE,), **identity) -> dict:
    """A plan as `identity.describe_plan` gives it."""
    identity = {"lr": 0.1, "model": "resnet"} | identity
    return {
        "hash": hash,
        "gflops": 1.5,
        "stages": list(stages),
        "identity": identity,
    }


def described(config, data) -> dict:
    """The plan of a config, as a run would keep it."""
    return experiment.make_experiment(config, data).description


@pytest.fixture
def config(tiny_config):
    return tiny_config()


def files_of(directory) -> set[str]:
    return {
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file()
    }


def contents(directory) -> dict[str, bytes]:
    return {
        name: (directory / name).read_bytes() for name in files_of(directory)
    }


# Claiming


def test_a_fresh_directory_gets_the_plan_and_the_flags(config, tmp_path):
    directory = run_directory.claim(config, describe())
    assert directory == tmp_path / "run"
    assert files_of(directory) == {"plan.json", "flags.txt"}
    assert json.loads((directory / "plan.json").read_text()) == describe()
    lines = (directory / "flags.txt").read_text().splitlines()
    assert from_flag_lines(lines) == config


def test_folders_above_it_are_made(tiny_config, tmp_path):
    workdir = tmp_path / "a" / "b" / "c"
    run_directory.claim(tiny_config(workdir=str(workdir)), describe())
    assert files_of(workdir) == {"plan.json", "flags.txt"}


def test_the_same_plan_again_changes_nothing_but_the_flags(config, tiny_config):
    directory = run_directory.claim(config, describe())
    (directory / "log.csv").write_text("kept")
    plan = (directory / "plan.json").read_bytes()
    run_directory.claim(tiny_config(precision="bfloat16"), describe())
    assert (directory / "plan.json").read_bytes() == plan
    assert (directory / "log.csv").read_text() == "kept"
    assert "--precision=bfloat16\n" in (directory / "flags.txt").read_text()


def test_another_plan_is_refused_and_the_changed_values_are_shown(config):
    directory = run_directory.claim(config, describe())
    before = contents(directory)
    other = describe("bb", [STAGE | {"image_size": 24}], lr=0.05)
    with pytest.raises(UserError) as caught:
        run_directory.claim(config, other)
    assert str(caught.value) == (
        f"--workdir={directory} holds a run of another plan (lr: 0.1 -> 0.05; "
        "stages.0.image_size: 16 -> 24); name another folder, or give "
        "--restart to delete that run"
    )
    assert contents(directory) == before


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        (
            "augmentation_draws",
            "since version 0.3.0 mirror images alternate, and since 0.2.0 "
            "every augmentation draws random numbers keyed by its name",
        ),
        (
            "sampling_draws",
            "since version 0.2.0 passes over the images are drawn "
            "independently of one another",
        ),
    ],
)
def test_a_run_that_drew_in_another_way_is_refused_in_words(
    tiny_config, tiny_data, missing, reason
):
    config = tiny_config()
    new = described(config, tiny_data)
    version = new["identity"][missing]
    assert version >= 2
    old = json.loads(json.dumps(new)) | {"hash": "that of 0.1.0"}
    del old["identity"][missing]
    directory = run_directory.claim(config, old)
    with pytest.raises(UserError) as caught:
        run_directory.check(config, new)
    assert str(caught.value) == (
        f"--workdir={directory} holds a run of another plan "
        f"({missing}: absent -> {version} ({reason}; the version that began "
        "the run can finish it)); name another folder, or give --restart to "
        "delete that run"
    )
    # A finished one is what it is.
    (directory / files.METRICS).write_text("{}")
    assert run_directory.check(config, new) == directory


@pytest.mark.parametrize(
    "plain", [{"augment": ("none",)}, {"grow_augment": (0.0,)}]
)
def test_a_run_that_does_not_augment_names_no_augmentation_draws(
    tiny_config, tiny_data, plain
):
    """It is refused for one reason, the order of its passes."""
    config = tiny_config(**plain)
    new = described(config, tiny_data)
    assert "augmentation_draws" not in new["identity"]
    old = json.loads(json.dumps(new)) | {"hash": "that of 0.1.0"}
    del old["identity"]["sampling_draws"]
    run_directory.claim(config, old)
    with pytest.raises(UserError, match=r"plan \(sampling_draws: absent -> 2"):
        run_directory.check(config, new)


def test_other_pixels_under_the_same_names_are_refused_in_words(
    tiny_config, tiny_data
):
    config, pixels = tiny_config(), tiny_data.pixels
    old = described(config, tiny_data)
    directory = run_directory.claim(config, old)
    other = dataclasses.replace(tiny_data, pixels="f" * 64)
    said = (
        "another plan (the dataset has other images under the same names now)"
    )
    for _ in "unfinished", "finished":
        with pytest.raises(UserError) as caught:
            run_directory.check(config, described(config, other))
        assert said in str(caught.value)
        assert pixels not in str(caught.value)
        (directory / files.METRICS).write_text("{}")
    # Other names come with other pixels; that is one reason, not two.
    other = dataclasses.replace(other, content="f" * 64)
    with pytest.raises(UserError) as caught:
        run_directory.check(config, described(config, other))
    assert "(the dataset has other classes, images or" in str(caught.value)
    assert "same names" not in str(caught.value)
    # An older version did not write them.
    old = json.loads(json.dumps(old)) | {"hash": "an older one"}
    del old["identity"]["pixels"]
    files.write_json(directory / files.PLAN, old)
    assert run_directory.check(config, described(config, tiny_data))


def test_a_folder_that_an_older_version_split_is_refused_in_words(
    tiny_config, tiny_data
):
    config = tiny_config()
    new = described(config, tiny_data)
    new["identity"]["dataset"] = "folder"
    old = json.loads(json.dumps(new)) | {"hash": "an older one"}
    del old["identity"]["pixels"]
    old["identity"]["content"] = "f" * 64
    directory = run_directory.claim(config, old)
    (directory / files.METRICS).write_text("{}")
    with pytest.raises(UserError, match=r"since version 0.2.0, a folder with"):
        run_directory.check(config, new)


def test_a_plan_of_a_version_that_wrote_less_is_the_same(
    tiny_config, tiny_data
):
    config = tiny_config()
    new = described(config, tiny_data)
    old = json.loads(json.dumps(new)) | {"hash": "an older one"}
    del old["identity"]["balance"], old["stages"][0]["replay"]
    run_directory.claim(config, old)
    run_directory.check(config, new)
    # Its checkpoints go by the hash that it had.
    assert run_directory.plan_hash(config, new) == "an older one"
    anew = tiny_config(restart=True)
    assert run_directory.plan_hash(anew, new) == new["hash"]
    other = described(tiny_config(balance="oversample"), tiny_data)
    with pytest.raises(UserError, match="balance: none -> oversample"):
        run_directory.check(config, other)


def test_many_changes_are_counted_not_listed(config):
    run_directory.claim(config, describe())
    many = {f"setting_{number}": number for number in range(9)}
    with pytest.raises(UserError) as caught:
        run_directory.claim(config, describe("bb", **many))
    assert "setting_5: absent -> 5; and 3 more)" in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b"null", b"7", b"\xff\xfe"]
)
def test_a_plan_that_cannot_be_read_is_named_with_the_way_out(config, content):
    directory = run_directory.claim(config, describe())
    (directory / "plan.json").write_bytes(content)
    with pytest.raises(UserError, match="--restart") as caught:
        run_directory.claim(config, describe())
    assert str(directory / "plan.json") in str(caught.value)


def save_checkpoint(directory, step=3, plan="aa") -> None:
    checkpoint.save(
        directory / "checkpoints",
        {"model/0000/kernel": np.zeros(2)},
        {"step": step, "plan": plan},
    )


LOST = [None, b"", b"{", b"[]", b"{}", b'{"hash": "aa"}', b"7", b"\xff\xfe"]


def lose_plan(directory, content) -> None:
    """Removes plan.json, or leaves something else in it."""
    if content is None:
        (directory / "plan.json").unlink()
    else:
        (directory / "plan.json").write_bytes(content)


@pytest.mark.parametrize("content", LOST)
def test_a_lost_plan_is_written_again_if_checkpoints_are_of_it(
    config, content, capsys
):
    directory = run_directory.claim(config, describe())
    save_checkpoint(directory)
    capsys.readouterr()
    lose_plan(directory, content)
    before = contents(directory)
    run_directory.check(config, describe())
    assert contents(directory) == before
    assert run_directory.plan_hash(config, describe()) == "aa"
    run_directory.claim(config, describe())
    assert json.loads((directory / "plan.json").read_text()) == describe()
    assert capsys.readouterr().out == (
        f"{directory / 'plan.json'} was lost or torn: it is written again\n"
    )
    assert contents(directory).keys() == before.keys() | {"plan.json"}


@pytest.mark.parametrize("content", LOST)
def test_a_lost_plan_of_checkpoints_of_another_one_is_refused(config, content):
    directory = run_directory.claim(config, describe())
    save_checkpoint(directory, step=3)
    save_checkpoint(directory, step=4, plan="bb")
    lose_plan(directory, content)
    before = contents(directory)
    with pytest.raises(UserError, match="checkpoints of another plan"):
        run_directory.claim(config, describe())
    assert contents(directory) == before


def test_a_finished_run_gets_back_the_plan_that_its_checkpoints_are_of(config):
    directory = run_directory.claim(config, describe())
    whole = contents(directory)
    for name in whole:
        (directory / name).unlink()
    (directory / "metrics.json").write_text("{}")
    run_directory.mend_finished(directory, config, describe())
    assert files_of(directory) == {"metrics.json"}  # whose is it?
    save_checkpoint(directory)
    run_directory.mend_finished(directory, config, describe("bb"))
    assert "plan.json" not in files_of(directory)
    run_directory.mend_finished(directory, config, describe())
    assert whole.items() <= contents(directory).items()


@pytest.mark.parametrize("inside", ["", "below"])
def test_a_file_in_the_way_is_named(tiny_config, tmp_path, inside):
    (tmp_path / "file").write_text("mine")
    workdir = tmp_path / "file" / inside
    for restart in (False, True):
        config = tiny_config(workdir=str(workdir), restart=restart)
        with pytest.raises(UserError, match="folder that can be") as caught:
            run_directory.claim(config, describe())
        assert str(caught.value).startswith(f"--workdir={workdir}: ")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_disk_that_takes_nothing_is_named(config, monkeypatch):
    def refuse(path, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_text", refuse)
    with pytest.raises(UserError, match="--workdir=.*No space left on device"):
        run_directory.claim(config, describe())


def test_looking_changes_nothing(tiny_config, tmp_path):
    """A run looks first, and claims once its settings have proved right."""
    fresh = tiny_config(workdir=str(tmp_path / "fresh"))
    assert run_directory.check(fresh, describe()) == tmp_path / "fresh"
    assert not (tmp_path / "fresh").exists()
    directory = run_directory.claim(tiny_config(), describe())
    before = contents(directory)
    run_directory.check(tiny_config(precision="bfloat16"), describe())
    run_directory.check(tiny_config(restart=True), describe("bb"))
    with pytest.raises(UserError, match="another plan"):
        run_directory.check(tiny_config(), describe("bb", lr=0.2))
    assert contents(directory) == before


# Starting anew


def test_restart_clears_what_a_run_writes_and_nothing_else(
    tiny_config, tiny_run
):
    """tiny_run: what a run that ended has written."""
    directory = run_directory.claim(tiny_config(), describe())
    asked = {"labels.csv", "predict.html", "evaluation.json"}
    asked |= {"augmentation.png", "export/export.json"}
    written = files_of(tiny_run) | asked
    assert {"metrics.json", "final.keras", "report.html"} <= written
    written |= {f"{atomic.PREFIX}1234abcd_final.keras"}
    mine = {"notes.txt", "photo.png", "sub/plan.json"}
    for name in written | mine:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text("old")
    run_directory.claim(tiny_config(restart=True), describe("bb"))
    kept = {"lease.json"}  # of the process that restarts it
    assert files_of(directory) == mine | kept | {"plan.json", "flags.txt"}
    for name in mine:
        assert (directory / name).read_text() == "old"
    assert json.loads((directory / "plan.json").read_text())["hash"] == "bb"


def test_restart_clears_every_plot_of_a_report(tiny_run):
    course = curves.make_course(read_run(tiny_run))
    drawn = course.keys() | outcome.OUTCOMES.keys()
    assert {f"{name}.png" for name in drawn} == set(files.PLOTS)


def test_restart_mends_a_plan_that_cannot_be_read(tiny_config):
    directory = run_directory.claim(tiny_config(), describe())
    (directory / "plan.json").write_text("{")
    run_directory.claim(tiny_config(restart=True), describe())
    assert json.loads((directory / "plan.json").read_text()) == describe()


@pytest.mark.parametrize(
    "left",
    [
        "plan.json",
        "flags.txt",
        "schedule.csv",
        "final.keras",
        "predictions.npz",
        "train_predictions.npz",
        "orders.npz",
        "hard_train.csv",
        "hard_validation.png",
        "hard_validation_maps.png",
        "confused_images.npz",
        "checkpoints/step_000000003_0a1b2c3d.npz",
    ],
)
def test_restart_clears_a_run_of_which_any_file_of_its_own_is_left(
    tiny_config, tmp_path, left
):
    """Or old weights would be resumed, or old figures end the new run."""
    directory = tmp_path / "run"
    for name in ("metrics.json", "checkpoints/other", "notes.txt", left):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text("old")
    run_directory.claim(tiny_config(restart=True), describe())
    assert files_of(directory) == {"plan.json", "flags.txt", "notes.txt"}
    assert json.loads((directory / "plan.json").read_text()) == describe()


def test_restart_without_a_plan_resumes_no_old_weights(tiny_config, capsys):
    directory = run_directory.claim(tiny_config(), describe())
    save_checkpoint(directory)
    (directory / "plan.json").unlink()
    (directory / "flags.txt").unlink()
    run_directory.claim(tiny_config(restart=True), describe())
    assert checkpoint.load(directory / "checkpoints") is None


def test_a_checkpoint_that_cannot_be_deleted_stops_the_restart(
    tiny_config, monkeypatch
):
    directory = run_directory.claim(tiny_config(), describe())
    save_checkpoint(directory)

    def refuse(path, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(run_directory.shutil, "rmtree", refuse)
    with pytest.raises(UserError, match="Permission denied"):
        run_directory.claim(tiny_config(restart=True), describe())


def test_restart_of_a_folder_without_a_run_deletes_nothing(
    tiny_config, tmp_path
):
    """Names that others give as well are no sign of a run."""
    others = ("metrics.json", "log.csv", "loss.png", "checkpoints/step_1.npz")
    for name in others:
        path = tmp_path / "run" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("someone else's")
    run_directory.claim(tiny_config(restart=True), describe())
    for name in others:
        text = (tmp_path / "run" / name).read_text()
        assert text == "someone else's"


def test_the_written_flags_do_not_restart_when_they_are_given_again(
    tiny_config,
):
    directory = run_directory.claim(tiny_config(restart=True), describe())
    lines = (directory / "flags.txt").read_text().splitlines()
    assert from_flag_lines(lines) == tiny_config(restart=False)


# Opening a finished run


def test_a_finished_run_gives_its_directory_and_settings(tiny_run):
    directory, config = load_config(str(tiny_run))
    assert directory == tiny_run
    assert (config.dataset, config.grow_size) == ("tiny", (16, 24))


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(UserError, match=f"--workdir={tmp_path} holds no run"):
        load_config(str(tmp_path))


def test_an_unfinished_run_is_named(config):
    directory = run_directory.claim(config, describe(lr=config.lr))
    assert not run_directory.is_finished(directory)
    with pytest.raises(UserError, match="is not finished.*go on with it"):
        load_config(str(directory))
    files.write_json(directory / "metrics.json", {"val_accuracy": 0.5})
    assert run_directory.is_finished(directory)
    assert load_config(str(directory)) == (directory, config)


# Writing


def row(step, **values) -> dict:
    fields = dict.fromkeys(files.LOG_COLUMNS, 0.5)
    return fields | {"step": step, "stage": 0} | values


def test_the_log_has_fixed_columns_and_a_row_an_evaluation(tmp_path):
    rows = [row(5, lr=0.1234567, val_loss=float("nan")), row(10, lr=1e-7)]
    files.write_log(tmp_path, [rows[0]])
    files.write_log(tmp_path, rows)
    lines = (tmp_path / "log.csv").read_text().split("\n")
    assert lines[0] == (
        "step,stage,image_size,num_classes,num_images,batch_size,lr,momentum,"
        "train_loss,train_accuracy,val_loss,val_accuracy,val_top5,"
        "val_accuracy_at_size,stage_val_loss,stage_val_accuracy,images_seen,"
        "gflops,train_seconds,wall_seconds"
    )
    assert lines[3:] == [""]
    first, second = csv.DictReader(lines[:3])
    assert (first["step"], first["lr"], first["val_loss"]) == (
        "5",
        "0.123457",
        "nan",
    )
    assert (second["step"], second["lr"]) == ("10", "1e-07")


def test_a_row_with_a_column_missing_is_an_error_not_a_shift(tmp_path):
    broken = row(5)
    del broken["lr"]
    with pytest.raises(KeyError, match="lr"):
        files.write_log(tmp_path, [broken])
    assert files_of(tmp_path) == set()


def test_commas_and_quotes_survive(tmp_path):
    path = tmp_path / "table.csv"
    files.write_csv(path, ("a", "b"), [{"a": 'x,"y"', "b": None}])
    with path.open(newline="") as file:
        assert list(csv.reader(file)) == [["a", "b"], ['x,"y"', ""]]


def test_a_file_is_replaced_at_once_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    files.write_json(path, {"old": "ö"})
    seen = []

    def interrupt(descriptor):
        seen.append(json.loads(path.read_text("utf-8")))
        raise OSError("the disk went away")

    monkeypatch.setattr(atomic.os, "fsync", interrupt)
    with pytest.raises(OSError, match="went away"):
        files.write_json(path, {"new": 1})
    # While the new text was being written, and after it could not be.
    assert seen == [{"old": "ö"}]
    assert json.loads(path.read_text("utf-8")) == {"old": "ö"}
    monkeypatch.undo()
    files.write_json(path, {"new": 1})
    assert json.loads(path.read_text("utf-8")) == {"new": 1}
    assert files_of(tmp_path) == {"metrics.json"}


def test_settings_that_came_later_count_only_where_they_are_used(
    tiny_config, tiny_data
):
    """So that runs from before go on."""
    plain = identity.identify(tiny_config(), tiny_data)
    assert not {"ema", "stage_restart", "cycle_epochs"} & plain.keys()
    used = tiny_config(ema=0.9, stage_restart="momentum", cycle_epochs=2.0)
    more = identity.identify(used, tiny_data)
    assert more == plain | {
        "ema": 0.9,
        "stage_restart": "momentum",
        "cycle_epochs": 2.0,
    }


def test_how_often_it_was_evaluated_changes_no_finished_run(
    tiny_config, tiny_data
):
    """The default was 20 before version 0.2.0."""
    old, new = (
        experiment.make_experiment(
            tiny_config(evals=evals), tiny_data
        ).description
        for evals in (20, None)
    )
    assert identity.differences(old, new) == ["evals: 20 -> None"]
    assert identity.differences(old, new, finished=True) == []
