"""What benchmarks/time_to_accuracy.py and scaling.py make of their timings."""

import argparse
import importlib.util
import json
import pathlib
import subprocess
import zipfile

import pytest
from matplotlib import figure

BENCHMARKS = pathlib.Path(__file__).parents[1] / "benchmarks"


def load(name: str):
    spec = importlib.util.spec_from_file_location(
        name, BENCHMARKS / f"{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


benchmark = load("time_to_accuracy")


def a_run(*points, **facts):
    """points: of (seconds, accuracy) or (seconds, accuracy, size)."""
    names = ("seconds", "accuracy", "size")
    rows = [dict(zip(names, (*p, 32)[:3], strict=True)) for p in points]
    others = {"process_seconds": 9, "processor_seconds": 8, "load": 0}
    return others | {"points": rows, "parameters": 7} | facts


def test_an_accuracy_is_reached_when_all_seeds_have_it():
    early, late = a_run((10, 0.2), (20, 0.6)), a_run((10, 0.2), (40, 0.8))
    # Between evaluations, as comparisons interpolate: after 15 s and 20 s.
    assert benchmark.reach([early, late], 0.4, within=70.0) == {
        "reached": 2,
        "seconds": 17.5,
        "ratio": 4.0,
    }
    assert benchmark.reach([early, late], 0.7, within=70.0) == {"reached": 1}


def test_an_accuracy_at_another_size_is_not_reached():
    run = a_run((5, 0.9, 16), (30, 0.5, 32))
    assert benchmark.reach([run], 0.5, within=60.0)["seconds"] == 30
    assert benchmark.reach([run], 0.6, within=60.0) == {"reached": 0}


@pytest.mark.parametrize(
    ("ratios", "end"),
    [
        ({"h3": 3.0, "h3 at 0.5": 5.0}, "reached, 1/5.0 by h3 at 0.5"),
        ({"h3": 4.9, "baseline": 9.0}, "not reached, 1/4.9 by h3"),
        ({"h3": None}, "not reached, nor is that accuracy by all seeds"),
    ],
)
def test_the_goal_is_a_fifth_of_the_time_of_fastai(ratios, end):
    reached = {
        name: {"ratio": ratio} if ratio else {}
        for name, ratio in ratios.items()
    }
    line = benchmark.judge("fastai", reached)
    assert line == f"goal: the accuracy of fastai in 1/5 of its time: {end}"


def test_the_figures_of_an_arm_are_those_of_its_last_evaluations():
    runs = [a_run((1, 0.9), (10, 0.5)), a_run((1, 0.9), (20, 0.7), load=2.5)]
    figures = benchmark.summarize(runs)
    assert (figures["accuracy"], figures["deviation"]) == (0.6, 0.1414)
    assert (figures["seconds"], figures["load"]) == (15.0, [0, 2.5])
    assert benchmark.summarize(runs[:1])["deviation"] is None


def test_finished_runs_are_kept_while_their_settings_are_the_same(
    tmp_path, monkeypatch
):
    started = []

    def start(arguments, **_):
        asked, result = arguments[2:]
        started.append(settings := json.loads(asked.read_text()))
        failed = settings["tool"] == "broken"
        if not failed:
            run = a_run((2, 0.5), settings=settings)
            result.write_text(json.dumps(run))
        else:
            result.with_suffix(".log").write_text("Traceback\nOops: no\n")
        return subprocess.CompletedProcess(arguments, int(failed))

    monkeypatch.setattr(benchmark.subprocess, "run", start)
    arm = benchmark.Arm("a peer", {"tool": "keras", "sizes": (16, 32)})
    first = benchmark.run(arm, 3, tmp_path)
    assert first["points"][0]["accuracy"] == 0.5
    assert benchmark.run(arm, 3, tmp_path)["points"] == first["points"]
    assert [each["seed"] for each in started] == [3]
    other = benchmark.Arm("a peer", {"tool": "keras", "sizes": (24, 32)})
    benchmark.run(other, 3, tmp_path)
    assert [each["sizes"] for each in started] == [[16, 32], [24, 32]]
    broken = benchmark.Arm("a peer", {"tool": "broken"})
    assert (
        "exit status 1: Oops: no" in benchmark.run(broken, 3, tmp_path)["error"]
    )


def test_a_tool_that_is_not_installed_is_named():
    arm = benchmark.Arm("x", {}, needs=("json", "no_such_module"))
    assert arm.missing() == ["no_such_module"]


def test_images_are_extracted_as_they_are_and_only_of_the_classes(tmp_path):
    archive = tmp_path / "tiny.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("t/wnids.txt", "n1\nn2\nn3\n")
        file.writestr("t/words.txt", "n1\tcat\nn2\tdog\nn3\tcow\n")
        lines = [f"v{n}.JPEG\tn{n}\n" for n in (1, 2, 3)]
        file.writestr("t/val/val_annotations.txt", "".join(lines))
        for n in (1, 2, 3):
            file.writestr(f"t/train/n{n}/images/n{n}_0.JPEG", f"train {n}")
            file.writestr(f"t/val/images/v{n}.JPEG", f"val {n}")
    folder = tmp_path / "images"
    benchmark.extract(str(archive), ("n1 cat", "n3 cow"), folder)
    found = {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*.JPEG")
    }
    assert found == {
        "train/n1/n1_0.JPEG": "train 1",
        "train/n3/n3_0.JPEG": "train 3",
        "val/n1/v1.JPEG": "val 1",
        "val/n3/v3.JPEG": "val 3",
    }


def test_every_share_is_an_arm_of_its_own_budget():
    given = argparse.Namespace(
        data_dir="zip", classes="4", workdir="w", budget_gflops=1000.0
    )
    assert "--budget_gflops=200" in benchmark.our_flags(given, "h3", 0.2)
    assert "--budget_gflops=1000" in benchmark.our_flags(given, "baseline")


def test_fixed_and_proportional_cost_are_told_apart():
    """A step of 64 images takes 8 ms, and 2 ms per GFLOP."""
    rows = []
    for size, gflops in ((16, 0.01), (32, 0.1), (64, 1.0)):
        seconds = (0.008 + 0.002 * 64 * gflops) / 64
        rows.append(
            {
                "size": size,
                "gflops_per_image": gflops,
                "seconds_per_image": seconds,
                "seconds_per_gflop": seconds / gflops,
            }
        )
    limit = load("scaling").find_limit(rows, "size", "seconds_per_gflop")
    assert limit["fixed_ms_per_step"] == 8.0
    assert limit["ms_per_gflop"] == 2.0
    # Per GFLOP 14.5, 3.25 and 2.125 ms: at 32 px still 1.53 times the least.
    assert limit["proportional_from"] == 64


def test_numbers_at_the_axes_are_no_formulas():
    """Figures show text as it is, and so "$10^{1}$" too."""
    drawn = figure.Figure()
    runs = {"h3": [a_run((10, 0.2), (20, 0.6))], "keras": [a_run((90, 0.7))]}
    summary = benchmark.draw(runs, drawn)
    assert summary == "h3 60.0% after 20 s; keras 70.0% after 90 s"
    texts = [each.get_text() for each in drawn.axes[0].get_xticklabels()]
    assert texts[:3] == ["10", "20", "50"]
