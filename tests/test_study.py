"""The study: what its protocol makes, and that its page follows its CSVs."""

import dataclasses
import io
import json
import pathlib
import shutil
import sys
import types

import numpy as np
import pytest
from PIL import Image
from test_compare import shared  # noqa: F401 - a fixture

from smartgrowth import UserError
from smartgrowth.command_line import from_flag_lines
from smartgrowth.comparison.jobs import LocalPool
from smartgrowth.comparison.settings import Comparison
from smartgrowth.comparison.significance import Paired, compare_pairs
from smartgrowth.comparison.verdicts import HELPS, HURTS, UNSEEN, UNTESTED

ROOT = pathlib.Path(__file__).parents[1]
STUDY = ROOT / "benchmarks" / "study"
sys.path.append(str(STUDY))

import analysis  # noqa: E402
import answers  # noqa: E402
import collect  # noqa: E402
import flagfiles  # noqa: E402
import protocol  # noqa: E402
import report  # noqa: E402
import study  # noqa: E402
import tables  # noqa: E402
from growth_arms import GROWTH  # noqa: E402
from network_arms import NETWORKS  # noqa: E402


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """The tables of a study that has not begun."""
    monkeypatch.setattr(tables, "HERE", tmp_path)
    return tmp_path


# What an arm sets otherwise than its counterpart; with a recipe of its own,
# the rate, the decay and the lengths of stages besides.
DIFFERENT = {
    "h1": {"grow_samples"},
    "h2": {"grow_classes", "class_order"},
    "h3": {"grow_size"},
    "h123": {"grow_samples", "grow_classes", "class_order", "grow_size"},
    "h3_seconds": {"grow_size", "budget_gflops"},
    "h123_seconds": {
        *("grow_samples", "grow_classes", "class_order", "grow_size"),
        "budget_gflops",
    },
    "h3_by_steps": {"schedule_clock"},
    "h3_auto": {"grow_when", "evals"},
    "h3_yoked": {"grow_when", "evals", "grow_schedule", "stage_steps"},
    "h3_crop": {"grow_by"},
    "efficient": {"grow_size", "grow_augment", "stage_shares", "stage_steps"},
    "h1_auto": {"grow_when", "evals"},
    "h1_yoked": {"grow_when", "evals", "grow_schedule", "stage_steps"},
    "data_dropout": {"grow_samples"},
    "small_size": {"grow_size"},
    "small_batch": {"batch_size", "grow_size"},
    "restarts": {"schedule_scope", "grow_size"},
    "h3_grown_augmentation": {"grow_augment"},
    "h1_iconic": {"sample_order"},
    "h1_medoids": {"sample_order"},
    "h1_reversed": {"grow_samples"},
    "h1_shrink": {"stage_restart"},
    "h2_far_first": {"class_order"},
    "h2_near_first": {"class_order"},
    "h2_siblings_first": {"class_order"},
    "h2_random": {"class_order"},
    "baseline_large_rate": {"lr"},
    "h2_large_rate": {"grow_classes", "class_order"},
    "narrow_end": {"width"},
    "wide_end": {"width"},
    "wider": {"width", "depth"},
    "longer": {"width", "depth"},
}


def test_every_arm_differs_from_its_counterpart_in_what_is_asked():
    seen, trial = {}, protocol.TRIALS[1]
    for comparison in protocol.COMPARISONS:
        for arm in comparison.arms:
            lines = comparison.flag_lines(arm, trial, trial)
            seen[comparison, arm.name] = from_flag_lines(lines)
    for (comparison, name), config in seen.items():
        arm = comparison.by_name[name]
        if arm.in_seconds:
            assert 0.7 < config.budget_gflops / comparison.budget < 0.97
        else:
            assert config.budget_gflops == comparison.budget
        assert not config.report
        if arm.against:
            other = seen[comparison, arm.against]
            found = {
                field.name
                for field in dataclasses.fields(config)
                if getattr(config, field.name) != getattr(other, field.name)
            }
            steps = {"stage_steps"} & found
            assert found - steps == DIFFERENT[name] - steps | {"workdir"}, name


def test_reversed_stages_are_those_of_h1_in_reverse():
    first = protocol.COMPARISONS[0]
    for trial in protocol.TRIALS:
        forward, backward = (
            first.lengths(first.by_name[name], trial).split(",")
            for name in ("h1", "h1_reversed")
        )
        assert backward == forward[::-1]
        # The baseline's recipe has one stage, and says nothing of three.
        restarts = first.lengths(first.by_name["restarts"], trial)
        assert restarts == "359,358,358"


def test_a_recipe_changes_the_rate_the_decay_and_the_early_stages():
    first = protocol.COMPARISONS[0]
    trial = protocol.Trial(rate=2, decay=4, early=1.5)
    config = from_flag_lines(
        first.flag_lines(first.by_name["h3"], trial, trial)
    )
    assert config.lr == 0.016
    assert config.weight_decay == 0.2
    assert config.stage_steps == (968, 968, 550)
    related = protocol.COMPARISONS[2]
    large = related.by_name["h2_large_rate"]
    lines = related.flag_lines(large, trial, protocol.Trial(0.5, 1, 1))
    assert from_flag_lines(lines).lr == 0.012  # of the baseline's recipe


def test_an_arm_at_equal_seconds_has_fewer_gflops_of_small_images():
    arm = protocol.COMPARISONS[0].by_name["h3_seconds"]
    small, middle, large = 645 * 16**2, 645 * 24**2, 550 * 32**2
    first = protocol.COMPARISONS[0]

    def share(early):
        return first.share(arm, protocol.Trial(1, 1, early))

    gflops = share(1.0)
    whole = small + middle + large
    seconds = (2.04 * small + 1.18 * middle + large) / whole
    assert gflops * seconds == pytest.approx(1)
    assert share(1.5) < gflops < share(0.5)


def test_the_trials_are_balanced():
    """So that no recipe has more or other chances than another."""
    corners = np.log([[t.rate, t.decay, t.early] for t in protocol.TRIALS])
    np.testing.assert_allclose(corners[0], 0)
    np.testing.assert_allclose(corners[1:5].sum(axis=0), 0, atol=1e-12)
    signs = np.sign(corners[1:5])
    np.testing.assert_array_equal(signs.T @ signs, 4 * np.eye(3))


def test_the_protocol_names_every_arm_and_number():
    text = (STUDY / "PROTOCOL.md").read_text("utf-8")
    rows = [
        [cell.strip(" *") for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| ") and line[2:5] != "arm"
    ]
    expected = [
        [
            arm.name,
            arm.against or "–",
            (arm.asks or "the plain baseline").capitalize()[:9],
            str(len(protocol.seeds(arm))),
        ]
        for arm in (*GROWTH, *NETWORKS)
    ]
    found = [
        [name, other, ask.capitalize()[:9], seeds]
        for name, other, ask, seeds in rows
    ]
    assert found == expected
    hypotheses = len(analysis.planned(protocol.HYPOTHESES))
    controls = len(analysis.planned(protocol.CONTROLS))
    assert f"the {hypotheses} tests of hypotheses" in " ".join(text.split())
    assert f"the {controls} of controls" in " ".join(text.split())
    words = " ".join(text.split())
    assert len(analysis.planned("networks")) == 15
    assert len(analysis.planned("few")) == 8
    assert "the 15 of networks, the 8 of few20" in words
    for budget in {each.budget for each in protocol.COMPARISONS}:
        assert f"{budget:,}" in text


def test_the_flagfiles_are_those_of_the_chosen_recipes():
    made = flagfiles.make_flagfiles()
    found = {
        path.relative_to(ROOT).as_posix(): path.read_text()
        for path in (STUDY / "flags").rglob("*.flags")
    }
    assert found == made
    for path in found:
        if path.count("/") == 3:  # of a comparison
            lines = [
                line
                for line in found[path].splitlines()
                if line.startswith(("--arms", "--seeds"))
            ]
            assert all(
                arm in found for arm in from_flag_lines(lines, Comparison).arms
            )
        else:
            assert from_flag_lines([f"--flagfile={path}"])


def test_the_page_is_what_the_tables_say():
    """Run benchmarks/study/report.py after new rows."""
    pages, pictures = report.make_pages()
    assert pages.keys() == {STUDY / "STUDY.md", ROOT / "README.md"}
    for path, text in pages.items():
        assert path.read_text("utf-8") == text
    assert {path.name for path in STUDY.glob("*.png")} == set(pictures)
    for name, content in pictures.items():
        with (
            Image.open(STUDY / name) as kept,
            Image.open(io.BytesIO(content)) as made,
        ):
            assert kept.text["shows"] == made.text["shows"]


def add_runs(figures, correct, arm, accuracy, seeds, seed=0):
    """Adds runs that get that share of 400 images right."""
    for number in seeds:
        random = np.random.default_rng((seed, number))
        right = random.random(400) < accuracy
        key = {
            "dataset": "tiny20",
            "budget": 1200,
            "arm": arm,
            "seed": number,
        }
        row = dict.fromkeys(tables.RUN_COLUMNS, "") | key
        figures.add(row | {"accuracy": right.mean(), "gflops": 1200})
        packed = tables.pack_correct(right)
        correct.add(key | {"images": "400 abc", "correct": packed})


def test_a_planted_difference_is_confirmed_and_none_is_not(elsewhere):
    figures, correct = tables.read_runs()
    add_runs(figures, correct, "baseline", 0.5, range(10), seed=1)
    add_runs(figures, correct, "h3", 0.8, range(10), seed=2)
    add_runs(figures, correct, "h1", 0.5, range(10), seed=3)
    figures.write()
    correct.write()
    again, right = tables.read_runs()
    assert again.rows.keys() == figures.rows.keys()
    tests = {
        (t.arm, t.against): t
        for t in analysis.judge(analysis.read_frame(again), right)
        if t.comparison == protocol.COMPARISONS[0]
    }
    helped, unseen = tests["h3", "baseline"], tests["h1", "baseline"]
    assert helped.verdict == HELPS
    assert helped.paired.mean == pytest.approx(0.3, abs=0.03)
    assert helped.ends[0] <= helped.paired.low < helped.paired.high
    # Every test of the protocol counts, those of other comparisons too.
    assert helped.p == pytest.approx(
        len(analysis.planned(protocol.HYPOTHESES)) * helped.paired.p
    )
    assert unseen.verdict == UNSEEN
    assert tests["h2", "baseline"].paired is None


def test_nothing_is_tested_before_all_seeds_are_there(elsewhere):
    figures, correct = tables.read_runs()
    add_runs(figures, correct, "baseline", 0.5, range(10))
    add_runs(figures, correct, "h3", 0.9, range(9))
    # One beyond what the protocol asks for, and an outside run.
    add_runs(figures, correct, "h3_auto", 0.9, (*range(5), 7, 100))
    frame = analysis.read_frame(figures)
    assert len(frame[frame["arm"] == "h3_auto"]) == 5
    tests = {
        (t.arm, t.against): t
        for t in analysis.judge(frame, correct)
        if t.comparison == protocol.COMPARISONS[0]
    }
    short = tests["h3", "baseline"]
    assert (short.verdict, short.seeds) == (analysis.UNFINISHED, 9)
    assert short.sentence() == "not finished: 9 of 10 seeds"
    assert tests["h3_auto", "h3"].paired.count == 5


def test_runs_on_other_images_are_no_pairs(elsewhere):
    figures, correct = tables.read_runs()
    add_runs(figures, correct, "baseline", 0.5, range(10))
    add_runs(figures, correct, "h3", 0.5, range(10))
    for row in correct.rows.values():
        if row["arm"] == "h3":
            row["images"] = "400 other"
    with pytest.raises(ValueError, match="other validation images"):
        analysis.judge(analysis.read_frame(figures), correct)


def test_the_best_trial_is_known_when_all_are_finished(elsewhere):
    table, first = tables.read_trials(), protocol.COMPARISONS[0]
    for number, accuracy in enumerate((0.3, 0.5, 0.4, 0.5, 0.1, 0.2)):
        assert tables.best_trial(table, first, "h1") is None
        row = dict.fromkeys(tables.TRIAL_COLUMNS, "") | {
            "dataset": "tiny20",
            "budget": 1200,
            "recipe": "h1",
            "trial": number,
            "held_out_accuracy": accuracy,
        }
        table.add(row)
    best = tables.best_trial(table, first, "h1")
    assert best == protocol.TRIALS[1]  # the first of equals


class StandIn(study.Runs):
    """Trains nothing, and notes what it was asked for."""

    def __init__(self, root, fails=(), diverges=()):
        super().__init__([], jobs=1)
        self.root, self.asked = root, []
        self.fails, self.diverges = fails, diverges

    def open(self, lines):
        images = {"ids": ("a", "b", "c"), "labels": np.arange(3)}
        self.opened = types.SimpleNamespace(
            validation=types.SimpleNamespace(**images)
        )

    def train(self, wanted, collect):
        for (name, number), lines in wanted.items():
            self.asked.append((name, number))
            [folder] = [
                line.partition("=")[2]
                for line in lines
                if line.startswith("--workdir=")
            ]
            if (name, number) in self.fails:
                self.failed.append(name)
                continue
            (self.root / folder).mkdir(parents=True)
            (self.root / folder / "metrics.json").write_text("{}")
            diverged = (name, number) in self.diverges
            collect(name, number, self.root / folder, diverged)


@pytest.fixture
def few_arms(elsewhere, monkeypatch):
    """A comparison whose recipes are known, and nothing trained."""
    monkeypatch.chdir(elsewhere)
    table, first = tables.read_trials(), protocol.COMPARISONS[0]
    for recipe in first.recipes:
        for number in range(len(protocol.TRIALS)):
            row = dict.fromkeys(tables.TRIAL_COLUMNS, "") | {
                "dataset": first.dataset.name,
                "budget": first.budget,
                "recipe": recipe,
                "trial": number,
                "held_out_accuracy": 0.5,
            }
            table.add(row)
    table.write()
    monkeypatch.setattr(
        collect,
        "read_figures",
        lambda _: dict.fromkeys(tables.RUN_COLUMNS[4:], 1),
    )
    monkeypatch.setattr(
        collect, "read_correct", lambda _: {"images": "1 a", "correct": "gA=="}
    )
    arms = ("baseline", "h3_auto", "h3_yoked")
    return lambda comparison, name: comparison == first and name in arms


def test_what_is_missing_is_trained_and_nothing_twice(few_arms, elsewhere):
    runs = StandIn(elsewhere, fails=[("h3_auto", 2)])
    study.run(runs, few_arms)
    # First the run whose boundaries others repeat.
    assert runs.asked[0] == ("h3_auto", protocol.OUTSIDE_SEED)
    expected = [
        *(("baseline", seed) for seed in range(10)),
        *((f"h3_{kind}", n) for kind in ("auto", "yoked") for n in range(5)),
    ]
    assert sorted(runs.asked[1:]) == expected
    assert runs.failed == ["h3_auto"]
    again = StandIn(elsewhere)
    study.run(again, few_arms)
    assert again.asked == [("h3_auto", 2)]
    figures, correct = tables.read_runs()
    assert len(figures.rows) == len(correct.rows) == len(expected) + 1


def test_a_run_that_diverged_is_wrong_on_every_image(few_arms, elsewhere):
    runs = StandIn(elsewhere, diverges=[("baseline", 3)])
    study.run(runs, few_arms)
    figures, correct = tables.read_runs()
    key = ("tiny20", "1200", "baseline", "3")
    assert float(figures.rows[key]["accuracy"]) == 0
    row = correct.rows[key]
    assert row["images"].startswith("3 ")
    assert not tables.unpack_correct(row).any()
    assert runs.failed == []


def test_a_run_that_diverges_says_so_in_the_words_that_are_looked_for(
    tmp_path,
):
    from smartgrowth.training.progress_line import check_finite

    with pytest.raises(UserError) as refused:
        check_finite(float("nan"), 7)
    (tmp_path / "output.txt").write_text(f"step 7\nerror: {refused.value}\n")
    assert collect.has_diverged(tmp_path)
    (tmp_path / "output.txt").write_text("step 7\nerror: the disk is full\n")
    assert not collect.has_diverged(tmp_path)


def test_a_row_of_other_flags_is_refused(few_arms, elsewhere):
    study.run(StandIn(elsewhere), few_arms)
    [path] = elsewhere.rglob("tiny20_1200/h3_auto.flags")
    figures, _ = tables.read_runs()
    figures.rows["tiny20", "1200", "h3_auto", "1"]["flags"] = "another"
    figures.write()
    with pytest.raises(UserError, match="h3_auto 1 was trained with other fl"):
        study.run(StandIn(elsewhere), few_arms)


def test_an_outside_run_that_is_lost_is_trained_again_where_it_is_needed(
    few_arms, elsewhere
):
    study.run(StandIn(elsewhere, fails=[("h3_yoked", 4)]), few_arms)
    shutil.rmtree(elsewhere / "runs")  # another machine, with the tables
    again = StandIn(elsewhere)
    study.run(again, few_arms)
    assert again.asked == [
        ("h3_auto", protocol.OUTSIDE_SEED),
        ("h3_yoked", 4),
    ]


def test_shards_share_the_seeds(few_arms, elsewhere):
    asked = []
    for shard in ((1, 2), (2, 2)):
        runs = StandIn(elsewhere / str(shard[0]))
        study.run(runs, few_arms, shard)
        asked.append({key for key in runs.asked if key[1] < 100})
        for path in elsewhere.glob("*s.csv"):
            path.unlink()  # each has its own tables
    assert asked[0].isdisjoint(asked[1])
    assert len(asked[0] | asked[1]) == 20


def test_runs_are_collected_as_they_end_and_others_go_on(
    shared,  # noqa: F811
    tmp_path,
    monkeypatch,
    capsys,
):
    def command(trial):
        stand_in = str(shared / "stand_in.py")
        return [sys.executable, stand_in, *trial.config.flag_lines()]

    monkeypatch.setattr(study, "LocalPool", lambda n: LocalPool(n, command))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    small = ("--batch_size=4", "--width=8", "--depth=1")
    lines = {
        (name, seed): [
            f"--flagfile={shared / 'plain.flags'}",
            *small,
            *more,
            f"--seed={seed}",
            f"--workdir={tmp_path / name}/seed{seed}",
        ]
        for name, seed, more in (
            ("plain", 0, ()),
            ("odd", 0, ("--grow_size=7",)),
            ("plain", 1, ()),
        )
    }
    options = [
        f"--dataset=folder:{shared / 'images'}",
        f"--cache_dir={shared / 'cache'}",
    ]
    for _ in range(2):  # what is finished is collected again, not trained
        runs, found = study.Runs(options, jobs=2), []
        runs.open([])
        runs.train(lines, lambda *run, found=found: found.append(run))
        assert sorted(found) == [
            ("plain", seed, tmp_path / f"plain/seed{seed}", False)
            for seed in (0, 1)
        ]
        assert runs.failed == ["odd 0"]
        assert "odd 0 cannot be trained: " in capsys.readouterr().out
        monkeypatch.setattr(LocalPool, "start", None)


def test_correct_images_survive_the_table():
    right = np.random.default_rng(0).random(1001) < 0.3
    row = {"images": "1001 abc", "correct": tables.pack_correct(right)}
    np.testing.assert_array_equal(tables.unpack_correct(row), right)


def made_test(number=0, mean=0.0, verdict=UNSEEN, deviation=0.01, **options):
    """A test of H3 against the baseline, finished unless its verdict says."""
    comparison = [c for c in protocol.COMPARISONS if "h3" in c.by_name][number]
    paired = None
    if verdict != analysis.UNFINISHED:
        paired = Paired(10, mean, deviation, mean, mean, 0.5)
    # Of this mean and deviation.
    pattern = np.tile([1, -1], 5) * deviation * np.sqrt(0.9)
    values = {
        "comparison": comparison,
        "arm": "h3",
        "against": "baseline",
        "seeds": 10,
        "wanted": 10,
        "paired": paired,
        "ends": (mean, mean),
        "p": 0.5,
        "verdict": verdict,
        "differences": tuple(mean + pattern),
    }
    return analysis.Test(**values | options)


UNFINISHED = made_test(verdict=analysis.UNFINISHED)


def test_a_sentence_counts_what_helps_what_hurts_and_what_is_not_seen():
    tests = [UNFINISHED] * 2
    assert answers.sum_up(tests) == (
        "Not yet: none of 2 comparisons is finished."
    )
    tests += [
        made_test(mean=0.05, verdict=HELPS),
        made_test(mean=0.027, verdict=HELPS),
        made_test(mean=-0.01, verdict=HURTS),
        unseen := made_test(mean=0.001),
        made_test(deviation=0.0),
        # The same difference in every seed is no test, and no equality.
        made_test(mean=0.1, deviation=0.0, verdict=UNTESTED),
    ]
    size = f"{100 * unseen.visible:.1f}"
    assert answers.sum_up(tests) == (
        "Helps in 2 of 6 (+2.70 to +5.00 points); hurts in 1 of 6 (−1.00 "
        f"points); no difference seen in 1 of 6 (80% power for {size} "
        "points); the same runs in 1 of 6; not tested in 1 of 6; 2 not "
        "finished."
    )


def test_what_a_test_could_see_is_said_and_what_it_could_not():
    one, two = made_test(deviation=0.01), made_test(deviation=0.03)
    blind = made_test(deviation=2.0)
    sizes = [f"{100 * test.visible:.1f}" for test in (one, two)]
    assert answers.would_see([two, one, blind]) == (
        f" (80% power for {sizes[0]} to {sizes[1]} points, depending on the "
        "test), 1 of which could find none"
    )
    assert answers.would_see([blind]) == ", 1 of which could find none"


def test_what_was_not_answered_leaves_equal_runs_out():
    one, two = made_test(deviation=0.01), made_test(deviation=0.03)
    text = answers.admit([one, two, made_test(deviation=0.0), UNFINISHED])
    middle = 50 * (one.visible + two.visible)
    assert text.splitlines()[0].startswith(
        "- hypotheses: 3 of 4 tests are finished; 2 saw no difference (80% po"
    )
    assert text.splitlines()[0].endswith(f", {middle:.1f} in the median.")
    assert "- controls: 0 of 0 tests are finished." in text


def test_a_question_has_its_answer_and_an_exploratory_mean():
    tests = [
        made_test(n, mean=m, verdict=HELPS) for n, m in ((0, 0.04), (2, 0))
    ]
    lines = answers.answer(tests, detailed=True).splitlines()
    assert lines[0].startswith(
        "- h3 against baseline: H3: do small images first help? **Helps in 2"
    )
    assert (
        "**Helps in 2 of 2 (+0.00 to +4.00 points).** Exploratory" in lines[0]
    )
    assert "Exploratory mean: +2.00 points (+1.28 to +2.72)." in lines[0]
    assert [line[:13] for line in lines[1:]] == [
        "  - tiny20, 1",
        "  - glyphs, 1",
    ]
    table = answers.table(tests)
    assert "| H3: do small images first help? | Helps in 2 of 2" in table
    assert "xploratory" not in table  # that is not for a README


def test_a_mean_of_comparisons_heeds_that_seeds_have_something_in_common():
    """Its interval covers the truth 95 times of 100."""
    random, covered = np.random.default_rng(0), 0
    for _ in range(2000):
        common = random.normal(0, 0.02, 10)
        tests = []
        for spread, mean in ((0.02, 0.02), (0.01, -0.01)):
            sample = mean + common + random.normal(0, spread, 10)
            pair = compare_pairs(sample, np.zeros(10))
            tests.append(types.SimpleNamespace(paired=pair, differences=sample))
        pair = analysis.pool(tests)
        covered += pair.low < 0.005 < pair.high
    assert 0.94 < covered / 2000 < 0.96


def test_the_advice_is_the_best_of_what_is_confirmed():
    h3, h1 = made_test(mean=0.05, verdict=HELPS), made_test(arm="h1")
    better = made_test(arm="efficient", mean=0.06, verdict=HELPS)
    dearer = made_test(arm="h3_seconds", mean=0.07, verdict=HELPS)
    glyphs = made_test(number=2, mean=0.02)
    text = answers.advise([h1, h3, dearer, glyphs])
    assert (
        "tiny20: [h3](flags/tiny20_1200/h3.flags), +5.00 points (2 of 2 arms "
        "tested)" in text
    )
    assert "glyphs: the baseline, since no arm is confirmed to be" in text
    assert "10 passes over 10,000 images: not known yet." in text
    assert "[efficient]" in answers.advise([h1, h3, better])
    # Nothing is known while a hypothesis is not tested.
    left = dataclasses.replace(UNFINISHED, arm="h2")
    assert "tiny20: not known yet (1 of 2 arms tested)" in answers.advise(
        [h1, left]
    )


def test_a_page_is_filled_between_its_marks():
    begin, end = report.MARKS
    page = f"before\n{begin}\nold\n{end}\nafter\n"
    made = report.fill(page, "new")
    assert made == f"before\n{begin}\nnew\n{end}\nafter\n"
    with pytest.raises(ValueError, match="no <!-- made by"):
        report.fill("without marks", "new")


def test_the_rows_of_a_run_are_what_it_left(tmp_path, monkeypatch):
    first = protocol.COMPARISONS[0]
    right = np.eye(3, dtype=np.float32)[[0, 1, 1, 2]]
    arrays = {"ids": np.array(["a", "b", "c", "d"]), "labels": [0, 1, 2, 2]}
    arrays["labels"] = np.array(arrays["labels"], np.int64)
    np.savez(tmp_path / "predictions.npz", probabilities=right, **arrays)
    (tmp_path / "plan.json").write_text('{"hash": "0123456789abcdef"}')
    metrics = {
        "val_accuracy": 0.75,
        "gflops": 1199.5,
        "numerics": {"cpu": "C", "cores": 4, "threads": 2, "policy": "float32"},
        "versions": {"keras": "3.15"},
    }
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    row, correct = collect.run_rows(first, "h3", 2, tmp_path, False, None)
    assert row["accuracy"] == 0.75
    assert row["processor"] == "4 cores of C, 2 threads"
    assert (row["plan"], row["versions"]) == ("0123456789ab", "keras 3.15")
    assert row["flags"] == flagfiles.digest_flags(first.flagfile("h3"))
    assert [row[name] for name in tables.KEY] == ["tiny20", 1200, "h3", 2]
    assert tables.unpack_correct(correct).tolist() == [1, 1, 0, 1]
    trial = collect.trial_row(first, "h3", 1, tmp_path, False)
    assert trial["held_out_accuracy"] == 0.75
    assert (trial["rate"], trial["decay"], trial["early"]) == (
        *("0.5", "0.25", "1.5"),
    )
    lost = collect.trial_row(first, "h3", 1, tmp_path, True)
    assert lost["held_out_accuracy"] == 0
