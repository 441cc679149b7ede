"""The tables of comparison.html."""

import math

import numpy as np

from smartgrowth.comparison.arms import OWN
from smartgrowth.comparison.equality import KINDS
from smartgrowth.comparison.summary import Figures
from smartgrowth.comparison.verdicts import interval, p_value, points
from smartgrowth.growth import AXES
from smartgrowth.rendering.html import Table
from smartgrowth.rendering.text import show
from smartgrowth.report.sections import growth

# Flags that have columns of their own: what grows, and the steps.
GROWN = {axis.flag for axis in AXES}
IN_COLUMNS = {*OWN, "stage_steps", "stage_epochs"}
# Flags that change no result.
PLACES = {"cache_dir", "data_dir", "checkpoint_minutes", "enforce_rules"}


def verdict_table(figures: Figures) -> Table:
    """Returns each verdict beside the figures that support it."""
    head = (
        "Arm",
        "Seeds",
        "Accuracy",
        "Difference, points",
        "its deviation",
        "95% interval",
        "also for other images",
        "p",
        "p corrected",
        "Would be seen",
        "Verdict",
    )
    rows = []
    for arm in figures.arms:
        part = figures.of(arm)
        row = [arm, str(len(part)), mean(part["accuracy"], percent)]
        if verdict := figures.verdicts.get(arm):
            pair = verdict.paired
            row += [
                points(pair.mean),
                number(100 * pair.deviation, "{:.2f}"),
                interval(pair.low, pair.high),
                interval(*verdict.wider),
                p_value(pair.p),
                p_value(verdict.p),
                number(100 * verdict.visible, "{:.2f}"),
                verdict.label,
            ]
        elif arm == figures.baseline:
            row += ["–"] * 7 + ["the baseline"]
        else:
            row += ["–"] * 7 + ["no run finished"]
        rows.append(row)
    return Table(head, rows)


def end_table(figures: Figures) -> Table:
    """Returns the arms' final accuracies and losses, and what they cost."""
    head = [
        "Arm",
        "Accuracy",
        "Loss",
        "Accuracy on training images",
        "Gap, points",
        "Gap of the losses",
        "Images shown",
        "GFLOPs",
    ]
    if not figures.untimed:
        head += ["Training time", "Time against the baseline's"]
    usual = figures.of(figures.baseline)["seconds"].mean()
    rows = []
    for arm in figures.arms:
        part = figures.of(arm)
        row = [
            arm,
            mean(part["accuracy"], percent),
            mean(part["loss"], "{:.3f}".format),
            mean(part["clean_train_accuracy"], percent),
            mean(100 * part["accuracy_gap"], "{:.1f}".format),
            mean(part["loss_gap"], "{:.3f}".format),
            number(part["images_seen"].mean(), "{:,.0f}"),
            number(part["gflops"].mean(), "{:,.0f}"),
        ]
        if not figures.untimed:
            row += [
                mean(part["seconds"], lambda value: show("seconds", value)),
                number(part["seconds"].mean() / usual, "{:.2f} x"),
            ]
        rows.append(row)
    return Table(head, rows)


def target_table(figures: Figures) -> Table:
    """Returns the cost to reach the target, and the time if it was measured."""
    columns = {
        "gflops_to_target": ("GFLOPs", "{:,.0f}".format),
        "gflops_to_target_at_size": (
            "GFLOPs, at each stage's image size",
            "{:,.0f}".format,
        ),
    }
    if not figures.untimed:
        columns |= {
            "seconds_to_target": (
                "Training time",
                lambda value: show("seconds", value),
            ),
            "seconds_to_target_at_size": (
                "Training time, at each stage's image size",
                lambda value: show("seconds", value),
            ),
        }
    rows = []
    for arm in figures.arms:
        part = figures.of(arm)
        row = [arm]
        for column, (_, text) in columns.items():
            reached = part[column].notna().sum()
            cell = mean(part[column], text)
            if not reached:
                cell = "not reached"
            elif reached < len(part):
                cell += f", in {reached} of {len(part)} seeds"
            row.append(cell)
        rows.append(row)
    heads = [head for head, _ in columns.values()]
    return Table(["Arm", *heads], rows)


def budget_table(figures: Figures) -> Table:
    """Returns the accuracy at each budget, and how many times less buys it."""
    shares = figures.budgets
    rows = []
    for arm in figures.arms:
        part = figures.table[figures.table["arm"] == arm]
        row = [arm]
        for share in shares:
            row.append(mean(part[part["budget"] == share]["accuracy"], percent))
        saving = "1, the baseline" if arm == figures.baseline else "–"
        if arm in figures.savings:
            ratio, kind = figures.savings[arm]
            saving = {
                "=": f"{ratio:.2f}",
                "at least": f"at least {ratio:.2f}",
                "less than": f"not reached, less than {ratio:.2f}",
            }[kind]
        rows.append([*row, saving])
    head = ["Arm", *(f"{share:.0%} of the budget" for share in shares)]
    head.append(KINDS[figures.equal].less)
    return Table(head, rows)


def arm_table(figures: Figures) -> Table:
    """Returns what grows in each arm, and its other differing flags."""
    first = {}
    for (arm, budget, _), run in figures.runs.items():
        if budget == figures.budgets[-1]:
            first.setdefault(arm, run)
    usual = first[figures.baseline].flags
    rows = []
    for arm, run in first.items():
        grows, plain, _ = growth(run).partition(": a plain")
        known = IN_COLUMNS | PLACES | (set() if plain else GROWN)
        names = sorted((usual.keys() | run.flags.keys()) - known)
        changed = [
            f"--{name}={run.flags.get(name, '')}"
            for name in names
            if run.flags.get(name) != usual.get(name)
        ]
        steps = " + ".join(f"{stage['steps']:,}" for stage in run.stages)
        rows.append([arm, grows, steps, " ".join(changed) or "–"])
    head = ("Arm", "What grows", "Steps", "Other flags than the baseline's")
    return Table(head, rows)


def mean(values, text) -> str:
    """Returns mean and standard deviation without NaNs: "72.1% ± 0.4%"."""
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    if not values.size:
        return "–"
    if values.size == 1:
        return text(values[0])
    return f"{text(values.mean())} ± {text(values.std(ddof=1))}"


def number(value: float, text: str) -> str:
    """Returns the value in a format; a dash for NaN."""
    return "–" if math.isnan(value) else text.format(value)


def percent(value: float) -> str:
    """Returns a share as a percentage."""
    return f"{value:.1%}"
