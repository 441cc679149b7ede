"""The program as its user meets it: what it prints, and how it ends."""

import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
from absl import flags

from smartgrowth import command_line, main, modes
from smartgrowth.comparison.settings import Comparison
from smartgrowth.config import Config

ROOT = pathlib.Path(main.__file__).parents[1]
TINY = ("--dataset=tiny", "--grow_size=16,24", "--batch_size=8")
TINY += ("--width=8", "--depth=1", "--precision=float32", "--stage_steps=1")


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Calls `main` as a command line would: exit status, output, errors."""

    def call(*arguments):
        values = flags.FlagValues()
        command_line.define_flags(values, Config, Comparison)
        rest = values(
            ["main", f"--workdir={tmp_path / 'run'}", *map(str, arguments)]
        )
        monkeypatch.setattr(flags, "FLAGS", values)
        status = main.main(rest)
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def tiny(call, tiny_dataset):
    """The same, on the tiny dataset and network."""
    return lambda *more: call(*TINY, f"--cache_dir={tiny_dataset}", *more)


@pytest.fixture
def finished(tiny_run, tmp_path):
    """A copy of a finished run: the flags to go on with it."""
    copy = shutil.copytree(tiny_run, tmp_path / "copy")
    return f"--flagfile={copy}/flags.txt", f"--workdir={copy}"


def process(*arguments) -> subprocess.CompletedProcess:
    """A real one."""
    return subprocess.run(
        [sys.executable, "-m", "smartgrowth.main", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        check=False,
    )


def assert_one_line(result, *parts) -> None:
    """It failed, and the error says all of `parts` in a single line."""
    status, _, errors = result
    assert status == 1
    assert errors.startswith("error: ")
    assert errors.endswith("\n") and errors.count("\n") == 1, errors
    for part in parts:
        assert part in errors


# Mistakes in the flags


@pytest.mark.parametrize(
    ("mistake", "parts"),
    [
        ("--batch_size=x", ["--batch_size=x", "expected", "numbers"]),
        ("--batch_size=8,,8", ["--batch_size=8,,8", "separated by commas"]),
        ("--grow_samples=ten", ["--grow_samples=ten", "numbers or 'all'"]),
        ("--lr=-1", ["--lr=-1.0", "must be a number above 0"]),
        ("--label_smoothing=1", ["--label_smoothing=1.0", "below 1"]),
        ("--grow_size=16,0", ["--grow_size=16,0", "above 0, got 0"]),
        ("--grow_size=20", ["size 20", "--model=resnet", "such as 16 or 24"]),
        ("--test_size=12", ["size 12", "--model=resnet", "such as 8 or 16"]),
        ("--model=resent", ["--model=resent", "known: resnet, "]),
        ("--dataset=imagenete", ["--dataset=imagenete", "mean imagenette?"]),
        ("--dataset=tfds:", ["--dataset=tfds:", "unknown", "tfds:NAME"]),
        ("--stage_epochs=1", ["--stage_steps and --stage_epochs"]),
        ("--budget_gflops=1e-9", ["--budget_gflops=1e-09", "raise it"]),
        ("--grow_classes=1", ["one class", "--grow_classes"]),
        ("--measure", ["--measure with --mode=train", "--mode=plan"]),
        ("--classes=pawn", ["--classes: 'pawn'", "such as rook"]),
        ("--classes=9", ["--classes=9", "from 2 to 4"]),
    ],
)
def test_a_wrong_value_is_one_line_with_flag_and_way_out(tiny, mistake, parts):
    assert_one_line(tiny(mistake), *parts)


def test_a_stray_argument_is_named(call):
    for result in (call("stray"), call("--lr=0.1", "--", "stray", "more")):
        assert_one_line(result, "stray argument 'stray'", "--name=value")


def test_a_stray_line_in_a_flagfile_is_named(call, tmp_path):
    (tmp_path / "a.flags").write_text("# a comment\n--lr=0.1\nwidth=8\n")
    result = call(f"--flagfile={tmp_path / 'a.flags'}")
    assert_one_line(result, "stray argument 'width=8'", "begin with #")


def test_lists_of_different_lengths_are_named(call):
    assert_one_line(
        call("--grow_size=16,24", "--grow_samples=1,10,all"),
        "--grow_size has 2",
        "--grow_samples has 3",
        "a single value for all stages",
    )


def test_a_mistake_costs_no_store(call, tmp_path):
    """Before the minutes that a large dataset takes."""
    cache = tmp_path / "cache"
    for mistake in ("--grow_size=20", "--model=resent"):
        assert_one_line(call(mistake, f"--cache_dir={cache}"))
    assert not cache.exists()


def test_a_process_ends_with_the_status_of_main():
    done = process("stray")
    assert_one_line((done.returncode, done.stdout, done.stderr), "'stray'")


@pytest.mark.parametrize(
    "mistake",
    [
        "--foo=1",
        "--schedule=foo",
        "--mode=trian",
        "--lr=x",
        "--width=8.5",
    ],
)
def test_what_absl_refuses_is_short_too(mistake):
    done = process(mistake)
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    name, _, value = mistake.lstrip("-").partition("=")
    assert name in lines[0]
    assert value in lines[0] or name == "foo"
    assert "Traceback" not in done.stderr


def test_a_flagfile_that_is_not_there_is_named():
    done = process("--flagfile=nowhere.flags")
    assert_one_line(
        (done.returncode, done.stdout, done.stderr), "--flagfile=nowhere.flags"
    )


def test_help_lists_the_flags():
    done = process("--help")
    assert (done.returncode, done.stderr) == (1, "")
    for flag in ("mode=train", "grow_size=32", "schedule=one_cycle", "arms="):
        assert f"  --{flag}\n" in done.stdout


def test_full_help_is_absl_s_own():
    done = process("--helpfull")
    assert done.returncode == 1
    for name in ("grow_size", "logtostderr"):
        assert name in done.stdout


# Mistakes in the data


def test_a_missing_zip_is_named(call, tmp_path):
    path = tmp_path / "tiny-imagenet-200.zip"
    result = call("--dataset=tiny_imagenet", f"--data_dir={path}")
    assert_one_line(result, f"--data_dir={path}", "no such file or folder")


@pytest.mark.parametrize("kind", ["text", "cut", "other"])
def test_a_broken_zip_is_named(call, tmp_path, kind):
    path = tmp_path / "tiny-imagenet-200.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("holiday.txt", "sun" * 1000)
    if kind == "text":
        path.write_text("404 not found")
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:1500])
    result = call("--dataset=tiny_imagenet", f"--data_dir={path}")
    assert_one_line(result, f"--data_dir={path}", "pass --data_dir=PATH")


def test_a_missing_folder_is_named(call, tmp_path):
    result = call(f"--dataset=folder:{tmp_path / 'no'}")
    assert_one_line(result, f"--dataset=folder:{tmp_path / 'no'}", "no such")


def test_an_empty_folder_is_named(call, tmp_path):
    (tmp_path / "pets").mkdir()
    result = call(
        f"--dataset=folder:{tmp_path / 'pets'}", f"--cache_dir={tmp_path / 'c'}"
    )
    assert_one_line(result, str(tmp_path / "pets"))


def test_a_cache_that_cannot_be_written_is_named(call, tmp_path, tiny_dataset):
    (tmp_path / "file").write_text("")
    result = call(*TINY, f"--cache_dir={tmp_path / 'file'}")
    assert_one_line(result, f"--cache_dir={tmp_path / 'file'}", "another")


# The run directory


def test_a_workdir_of_another_plan_is_refused(tiny, finished):
    status, _, errors = result = tiny(*finished, "--lr=0.05")
    assert_one_line(result, "another plan", "lr: 0.006 -> 0.05", "--restart")
    assert (status, errors.count(";")) == (1, 1)


def test_a_workdir_that_is_a_file_is_named(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    result = tiny(f"--workdir={tmp_path / 'file'}")
    assert_one_line(result, f"--workdir={tmp_path / 'file'}", "can be written")


def test_a_finished_run_says_so_and_does_nothing(tiny, finished, tmp_path):
    def look():
        return {
            path: (path.read_bytes(), path.stat().st_mtime_ns)
            for path in (tmp_path / "copy").rglob("*")
            if path.is_file()
        }

    before = look()
    status, output, errors = tiny(*finished)
    assert (status, errors) == (0, "")
    copy = tmp_path / "copy"
    assert output == f"{copy} is finished; its report: {copy}/report.html\n"
    assert look() == before


def test_restart_begins_anew(tiny, finished, tmp_path):
    copy = tmp_path / "copy"
    (copy / "mine.txt").write_text("mine")
    changed = ("--stage_steps=2,1", "--lr=0.05")
    status, output, _ = tiny(*finished, *changed, "--restart")
    assert status == 0
    assert "step 3/3" in output and "resuming" not in output
    log = (copy / "log.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in log] == ["step", "2", "3"]
    assert (copy / "mine.txt").read_text() == "mine"
    # The run's flags repeat it, and do not delete it.
    status, output, errors = tiny(*finished)
    assert (status, errors) == (0, "")
    assert "is finished" in output


# Modes


def test_plan_prints_a_table_whose_shares_are_all_of_it(tiny, tmp_path):
    status, output, _ = tiny(
        "--mode=plan",
        "--grow_size=16,16,16",
        "--grow_classes=2,3,all",
        "--stage_steps=5",
    )
    assert status == 0
    plan, drawing = output.split("\n\n")
    assert drawing.startswith("learning rate, ")
    header, _, *stages, total = plan.splitlines()
    assert header.split()[:4] == ["stage", "size", "classes", "images"]
    assert [row.split()[:6] for row in stages] == [
        [str(index), "16", str(classes), row.split()[3], "5", "8"]
        for index, (classes, row) in enumerate(
            zip((2, 3, 4), stages, strict=True), start=1
        )
    ]
    shares = [row.split()[-1] for row in stages]
    assert all(re.fullmatch(r"\d+\.\d%", share) for share in shares)
    assert round(sum(float(s[:-1]) for s in shares), 6) == 100
    assert total.startswith("total: 15 steps, 120 images shown, ")
    assert not (tmp_path / "run").exists()


def test_evaluate_prints_the_figures(tiny, finished):
    status, output, errors = tiny(*finished, "--mode=evaluate")
    assert (status, errors) == (0, "")
    assert re.search(r"^20 validation images at 24 px: accuracy \d", output)


def test_report_prints_where_it_is(tiny, finished, tmp_path):
    page = tmp_path / "copy" / "report.html"
    page.unlink()
    assert tiny(*finished, "--mode=report") == (0, f"{page}\n", "")
    assert page.read_text("utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("mode", ["evaluate", "predict", "export", "report"])
def test_a_workdir_without_a_run_is_named(call, tmp_path, mode):
    result = call(f"--mode={mode}", f"--workdir={tmp_path}")
    assert_one_line(result, str(tmp_path))


def test_predict_without_images_asks_for_them(tiny, finished):
    result = tiny(*finished, "--mode=predict")
    assert_one_line(result, "--mode=predict needs --images=PATH")


def test_the_default_network_passes_the_audit(tiny):
    status, output, _ = tiny("--mode=audit", "--width=32", "--depth=2")
    assert status == 0
    assert "FAIL" not in output
    assert output.count("pass ") == 8
    assert re.search(r"px of 24 px \(\d+\.\d x\)", output)


def test_the_audit_names_the_layers_that_break_the_rules(tiny):
    status, output, _ = tiny(
        "--mode=audit", "--model=resnet50", "--grow_size=32"
    )
    assert status == 0
    failed = [row for row in output.splitlines() if row.startswith("FAIL")]
    assert len(failed) == 2
    widening, dense = failed
    assert "no 1x1 convolution that widens" in widening
    assert re.search(r"\w+ \(64 -> 256\), .* and \d+ more", widening)
    assert re.search(r"no dense layer +\w+ \(4 units\)", dense)


def test_enforced_rules_stop_a_run(tiny):
    result = tiny("--model=mlp", "--enforce_rules")
    assert_one_line(
        result, "--enforce_rules: no dense layer (", "drop the flag"
    )


@pytest.mark.parametrize(
    ("mistake", "part"),
    [
        ("--augment=flop", "--augment: 'flop'"),
        ("--enforce_rules --dropout=0.1", "--enforce_rules: no dropout"),
    ],
)
def test_a_mistake_neither_binds_a_workdir_nor_deletes_a_run(
    tiny, finished, tmp_path, mistake, part
):
    result = tiny(*mistake.split())
    assert_one_line(result, part)
    assert not (tmp_path / "run").exists()
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "copy").rglob("*")}
    assert_one_line(tiny(*finished, *mistake.split(), "--restart"), part)
    after = {p: p.stat().st_mtime_ns for p in (tmp_path / "copy").rglob("*")}
    assert after == before


def test_an_interrupt_is_no_error(tiny, monkeypatch):
    def interrupt(config):
        raise KeyboardInterrupt

    monkeypatch.setitem(modes.MODES, "train", interrupt)
    status, _, errors = tiny()
    assert status == 130
    assert errors == "\nstopped; the same command goes on\n"


def test_a_mistake_of_the_program_is_not_hidden(tiny, monkeypatch):
    monkeypatch.setitem(modes.MODES, "train", lambda config: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tiny()


def test_rates_are_tested_without_a_run(tiny, tmp_path):
    status, output, _ = tiny("--mode=lr_find", "--model=mlp")
    assert status == 0
    assert "testing learning rates on stage 1" in output
    folder = tmp_path / "run"
    assert str(folder / "lr_find.png") in output
    assert {path.name for path in folder.iterdir()} == {
        "lr_find.csv",
        "lr_find.png",
    }
