"""Makes STUDY.md and its pictures from the CSVs beside it, and nothing else.

    python benchmarks/study/report.py

Needs no data, no accelerator and no run directory.
"""

import hashlib
import io
import pathlib
import string
from collections.abc import Sequence

import answers
import numpy as np
import pandas as pd
import protocol
from analysis import Test, judge, read_frame
from growth_arms import GLYPHS, GROWTH, TINY20
from PIL import Image, PngImagePlugin
from tables import Table, best_trial, key_of, read_runs, read_trials

from smartgrowth.comparison import cost_to_accuracy
from smartgrowth.comparison.verdicts import (
    HELPS,
    HURTS,
    interval,
    points,
)
from smartgrowth.rendering.figure import render

HERE = pathlib.Path(__file__).parent
PAGE, TEXT = HERE / "STUDY.md", HERE / "study_template.md"
README = HERE.parents[1] / "README.md"
MARKS = "<!-- made by benchmarks/study/report.py -->", "<!-- until here -->"
PICTURES = {  # name -> title
    "h1": "H1: few images per class first",
    "h2": "H2: few, different classes first",
    "h3": "H3: small images first",
    "others": "All together, and controls",
    "few": "Few images",
    "networks": "Networks",
}


def make_pages() -> tuple[dict[pathlib.Path, str], dict[str, bytes]]:
    """Returns pages, by path, and STUDY.md's pictures as PNG, by file name."""
    runs, correct = read_runs()
    frame = read_frame(runs)
    tests = judge(frame, correct)
    pictures, values = {}, {}
    for name, title in PICTURES.items():
        shown = [
            test
            for test in tests
            if test.paired is not None and _picture_of(test) == name
        ]
        values[f"answers_{name}"] = answers.answer(
            [
                test
                for test in tests
                if test.family != protocol.HYPOTHESES
                and _picture_of(test) == name
            ]
        )
        values[f"picture_{name}"] = "Nothing is finished yet."
        if shown:
            drawn, alt = render(
                lambda figure, shown=shown: draw_differences(figure, shown),
                "light",
            )
            pictures[f"{name}.png"] = _sign(drawn, _digest(shown))
            values[f"picture_{name}"] = f"![{title}. {alt}]({name}.png)"
    text = string.Template(TEXT.read_text("utf-8")).substitute(
        values,
        answers=answers.answer(
            [test for test in tests if test.family == protocol.HYPOTHESES],
            detailed=True,
        ),
        advice=answers.advise(tests),
        unanswered=answers.admit(tests),
        tables=_tables(frame, tests),
        savings=_savings(frame),
        recipes=_recipes(),
        conditions=_conditions(runs),
        best=_best(frame, tests),
        progress=_progress(tests),
    )
    readme = fill(README.read_text("utf-8"), answers.table(tests))
    return {PAGE: text, README: readme}, pictures


def _picture_of(test: Test) -> str:
    if test.comparison.kind != "growth":
        return test.comparison.kind
    kind = test.arm.partition("_")[0]
    kind = {"efficient": "h3", "small": "h3"}.get(kind, kind)
    return kind if kind in PICTURES else "others"


def draw_differences(figure, tests: Sequence[Test]) -> str:
    """Draws a row for each pair of arms, with a mark for each comparison."""
    pairs = list(dict.fromkeys((test.arm, test.against) for test in tests))
    groups = list(dict.fromkeys(test.comparison.title for test in tests))
    figure.set_size_inches(7.2, 1.2 + len(pairs) * (0.16 + 0.12 * len(groups)))
    axis = figure.subplots()
    axis.axvline(0, color="black", linewidth=1)
    for test in tests:
        place = groups.index(test.comparison.title)
        row = pairs.index((test.arm, test.against))
        row += 0.7 * ((place + 0.5) / len(groups) - 0.5)
        color = f"C{place}"
        ends = [100 * end for end in test.ends]
        axis.plot(ends, [row, row], color=color, linewidth=1.6, alpha=0.6)
        filled = color if test.verdict in (HELPS, HURTS) else "white"
        axis.plot(
            100 * test.paired.mean,
            row,
            "D",
            color=color,
            markerfacecolor=filled,
            markersize=5,
        )
    axis.set_yticks(range(len(pairs)), [" − ".join(pair) for pair in pairs])
    axis.set_ylim(len(pairs) - 0.5, -0.5)
    axis.set_xlabel("points of accuracy; filled: confirmed")
    for place, name in enumerate(groups):
        axis.plot([], [], "D", color=f"C{place}", label=name)
    figure.legend(loc="outside upper left", ncols=3)
    means = [test.paired.mean for test in tests]
    return (
        f"Differences with their intervals, {len(tests)} in all, from "
        f"{points(min(means))} to {points(max(means))} points; all are in the "
        "tables below"
    )


def _digest(tests: Sequence[Test]) -> str:
    text = "\n".join(f"{test.arm} {test.sentence()}" for test in tests)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _sign(png: bytes, digest: str) -> bytes:
    """Returns a picture that carries the digest of what it shows."""
    information = PngImagePlugin.PngInfo()
    information.add_text("shows", digest)
    written = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.convert("P", palette=Image.Palette.ADAPTIVE, colors=64).save(
            written, "PNG", pnginfo=information, optimize=True
        )
    return written.getvalue()


def _tables(frame: pd.DataFrame, tests: Sequence[Test]) -> str:
    parts = []
    for comparison in protocol.COMPARISONS:
        own = _runs_of(frame, comparison)
        if own.empty:
            continue
        parts.append(f"### {comparison.title}\n")
        parts.append("| arm | seeds | validation | difference | verdict |")
        parts.append("|---|---|---|---|---|")
        for arm in comparison.arms:
            part = own[own["arm"] == arm.name]
            if part.empty:
                continue
            first = f"| {arm.name} | {len(part)} | {spread(part['accuracy'])}"
            found = [
                test
                for test in tests
                if test.comparison == comparison and test.arm == arm.name
            ]
            if not found:
                parts.append(f"{first} | | |")
            for place, test in enumerate(found):
                head = first if place == 0 else "| | | "
                parts.append(f"{head} | {_difference(test)} | {test.label} |")
        parts.append("")
    return "\n".join(parts).rstrip() or "No run is finished yet."


def _runs_of(frame: pd.DataFrame, comparison) -> pd.DataFrame:
    is_of = frame["dataset"] == comparison.dataset.name
    return frame[is_of & (frame["budget"] == comparison.budget)]


def _complete(frame: pd.DataFrame, comparison) -> pd.DataFrame:
    """Returns the runs of the arms that have all their seeds."""
    own = _runs_of(frame, comparison)
    counts = own["arm"].value_counts()
    whole = [
        arm.name
        for arm in comparison.arms
        if counts.get(arm.name, 0) == len(protocol.seeds(arm))
    ]
    return own[own["arm"].isin(whole)]


def _difference(test: Test) -> str:
    if test.paired is None:
        return f"{test.seeds} of {test.wanted} pairs with {test.against}"
    return (
        f"{points(test.paired.mean)} ({interval(*test.ends)}) against "
        f"{test.against}"
    )


def spread(accuracies: Sequence[float]) -> str:
    """Returns mean and standard deviation, in percent."""
    mean = f"{100 * np.mean(accuracies):.1f}"
    if len(accuracies) < 2:
        return f"{mean}%"
    return f"{mean} ± {100 * np.std(accuracies, ddof=1):.1f}%"


def _savings(frame: pd.DataFrame) -> str:
    """Returns how much less each primary arm costs, between budgets."""
    lines = []
    frame = pd.concat([_complete(frame, c) for c in protocol.COMPARISONS])
    means = frame.groupby(["dataset", "arm", "budget"])["accuracy"].mean()
    for dataset in (TINY20, GLYPHS):
        for arm in GROWTH[1:]:
            if not arm.primary or arm.in_seconds:
                continue
            try:
                own = means[dataset.name, arm.name]
                baseline = means[dataset.name, "baseline"]
            except KeyError:
                continue
            most = max(set(own.index) & set(baseline.index), default=0)
            own = own[own.index <= most]
            if len(own) < 2:
                continue
            ratio, how = cost_to_accuracy.times_less(
                most, baseline[most], list(own.index), list(own)
            )
            less = {
                "=": f"{ratio:.1f} times less",
                "at least": f"at least {ratio:.1f} times less",
                "less than": "not with as much",
            }[how]
            lines.append(
                f"- {arm.name} on {dataset.name}, for the baseline's "
                f"{100 * baseline[most]:.1f}% at {most:,} GFLOPs: {less}"
            )
    return "\n".join(lines) or "Not yet: it takes two budgets."


def _recipes() -> str:
    table, lines = read_trials(), []
    for comparison in protocol.COMPARISONS:
        for recipe in comparison.recipes:
            best = best_trial(table, comparison, recipe)
            if best is None:
                continue
            accuracies = [
                100 * float(row["held_out_accuracy"])
                for number in range(len(protocol.TRIALS))
                for row in [
                    table.rows[(*key_of(comparison), recipe, str(number))]
                ]
            ]
            lines.append(
                f"| {comparison.title} | {recipe} | "
                f"{best.rate * protocol.LEARNING_RATE:g} | "
                f"{best.decay * protocol.WEIGHT_DECAY:g} | {best.early:.2g} | "
                f"{', '.join(f'{each:.1f}' for each in accuracies)} |"
            )
    head = [
        "| comparison | recipe | rate | decay | early stages | held-out "
        "accuracies of the trials, % |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *lines]) if lines else "No trial is finished yet."


def _conditions(runs: Table) -> str:
    rows = pd.DataFrame(list(runs.rows.values()), columns=runs.columns)
    if rows.empty:
        return "No run is finished yet."
    lines = []
    for name in ("processor", "precision", "versions"):
        counts = rows[name].value_counts()
        each = [f"{value} ({count:,})" for value, count in counts.items()]
        lines.append(f"- {name}, with the number of runs: {'; '.join(each)}")
    hours = pd.to_numeric(rows["wall_seconds"]).sum() / 3600
    lines.append(
        f"- time: {len(rows):,} runs, {hours:.1f} hours of theirs; several at "
        "once and other work beside, so they tell nothing of speed"
    )
    return "\n".join(lines)


def _best(frame: pd.DataFrame, tests: Sequence[Test]) -> str:
    """Returns which arm had the highest mean of each comparison."""
    lines = []
    for comparison in protocol.COMPARISONS:
        means = _complete(frame, comparison).groupby("arm")["accuracy"].mean()
        if "baseline" not in means:
            continue
        best = means.idxmax()
        found = [
            f"; against the baseline: {test.sentence()}"
            for test in tests
            if (test.comparison, test.arm, test.against)
            == (comparison, best, "baseline")
        ]
        lines.append(
            f"- {comparison.title}: {best}, {100 * means[best]:.1f}%; "
            f"baseline: {100 * means['baseline']:.1f}%{''.join(found)}."
        )
    return "\n".join(lines) or "No run is finished yet."


def fill(page: str, made: str) -> str:
    """Returns a page with what stands between its two marks made anew."""
    begin, end = MARKS
    before, _, rest = page.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"no {begin} and {end}")
    return f"{before}{begin}\n{made}\n{end}{after}"


def _progress(tests: Sequence[Test]) -> str:
    done = sum(test.paired is not None for test in tests)
    return f"{done} of {len(tests)} tests are finished."


def main() -> None:
    pages, pictures = make_pages()
    for name in PICTURES:
        (HERE / f"{name}.png").unlink(missing_ok=True)
    for name, content in pictures.items():
        (HERE / name).write_bytes(content)
    for path, text in pages.items():
        path.write_text(text, "utf-8")
        print(path)


if __name__ == "__main__":
    main()
