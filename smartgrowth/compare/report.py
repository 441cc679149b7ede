"""comparison.html, its plots and its tables, from the figures alone."""

import pathlib
import string
from collections.abc import Sequence
from html import escape

from smartgrowth import UserError
from smartgrowth.compare import html_tables
from smartgrowth.compare.arms import Trial
from smartgrowth.compare.plots import plots
from smartgrowth.compare.summary import Figures, compare_costs, write_tables
from smartgrowth.compare.verdicts import ENOUGH, HELPS, HURTS, points
from smartgrowth.rendering.figure import THEMES, render
from smartgrowth.rendering.html import document, figure

PAGE = "comparison.html"


def write_report(
    directory: pathlib.Path, figures: Figures, failed: Sequence[Trial] = ()
) -> pathlib.Path:
    """Writes the page, comparison.csv, comparison_arms.csv and the plots.

    Returns the page's path; raises `UserError` if it cannot be written.
    """
    files, drawn = {}, ""
    for name, (title, note, draw_into) in plots(figures).items():
        (light, alt), (dark, _) = (render(draw_into, each) for each in THEMES)
        files[f"{name}.png"] = light
        drawn += figure(title, light, dark, f"{title}: {alt}.", note)
    run = figures.runs[next(iter(figures.runs))]
    body = BODY.substitute(
        cards=_cards(figures),
        sentences=_sentences(figures),
        failed=_failed(failed),
        verdicts=html_tables.verdict_table(figures),
        plots=drawn,
        ends=html_tables.end_table(figures),
        target=_target(figures),
        to_target=html_tables.target_table(figures),
        budgets=_budgets(figures),
        arms=html_tables.arm_table(figures),
        method=_method(figures),
    )
    files[PAGE] = document(
        f"What paid on {run.flags['dataset']}",
        directory.resolve().name,
        _state(figures),
        body,
        STYLE,
    ).encode()
    try:
        write_tables(directory, figures)
        for name, content in files.items():
            (directory / name).write_bytes(content)
    except OSError as error:
        raise UserError(
            f"{directory} cannot be written ({error.strerror or error}); make "
            "room there and give the command again: the runs are kept"
        ) from error
    return directory / PAGE


def _state(figures: Figures) -> str:
    counts = figures.whole.groupby("arm", observed=True).size()
    low, high = counts.min(), counts.max()
    seeds = f"{low} to {high}" if low < high else f"{low}"
    equal, costs = compare_costs(figures)
    costs = escape(costs) if equal else f"<b>{escape(costs)}</b>"
    few = f". <b>Exploratory: fewer than {ENOUGH} seeds</b>"
    return (
        f"{len(figures.arms)} arms, {seeds} seed{'s' if high > 1 else ''} "
        f"each, {costs}{few if low < ENOUGH else ''}"
    )


def _cards(figures: Figures) -> str:
    cards = []
    for arm in figures.arms:
        accuracy = html_tables.mean(
            figures.of(arm)["accuracy"], html_tables.percent
        )
        verdict = figures.verdicts.get(arm)
        if verdict:
            kind = {HELPS: "good", HURTS: "bad"}.get(verdict.word, "")
            note = f"{accuracy}, {points(verdict.paired.mean)} points"
            cards.append((kind, arm, verdict.word, note))
        elif arm == figures.baseline:
            cards.append(("", arm, accuracy, "accuracy of the baseline"))
    return "".join(
        f'<div class="{kind}"><dt>{escape(name)}<dd><b>{escape(value)}</b>'
        f"<dd>{escape(note)}</div>\n"
        for kind, name, value, note in cards
    )


def _sentences(figures: Figures) -> str:
    return "".join(
        f"<li>{escape(verdict.sentence)}</li>\n"
        for verdict in figures.verdicts.values()
    )


def _failed(failed: Sequence[Trial]) -> str:
    if not failed:
        return ""
    names = escape(", ".join(trial.name for trial in failed))
    return f"<p><b>Missing, since they failed: {names}.</b></p>"


def _target(figures: Figures) -> str:
    """What the target is, in words."""
    targets = figures.whole["target"].dropna().unique()
    if len(targets) == 1:
        return f"an accuracy of {targets[0]:.1%}"
    return escape(
        f"the accuracy that {figures.baseline} ended with on the same seed "
        f"({min(targets):.1%} to {max(targets):.1%})"
    )


def _budgets(figures: Figures) -> str:
    if len(figures.budgets) < 2:
        return ""
    return BUDGETS.substitute(
        baseline=escape(figures.baseline),
        table=html_tables.budget_table(figures),
    )


def _method(figures: Figures) -> str:
    timing = (
        f"Seconds are left out, because {figures.untimed}."
        if figures.untimed
        else "Seconds are of training alone, without validation, measured one "
        "run after another."
    )
    return escape(
        "Verdicts are about the final accuracy on all validation images at the "
        "final image size, at the largest budget, and about nothing else in "
        "these tables. Each arm is compared with the baseline seed by seed: a "
        "two-sided paired t test at 5%, its p values corrected by Holm for the "
        "number of arms. The interval is the 95% t interval of that one "
        "difference, not corrected, so it can leave out 0 where the corrected "
        "test sees nothing. ‘Would be seen’: the true difference that 4 of 5 "
        "such comparisons would find. ± is the standard deviation over seeds. "
        "Gap: accuracy on a fixed part of the training images, not augmented, "
        "minus accuracy on the validation images; for losses the other way "
        "round. Bands in the plots are bootstrap intervals of the mean over "
        "seeds, too narrow at so few seeds to claim anything from. " + timing
    )


BUDGETS = string.Template("""<h2>What each budget buys</h2>
<p>Every figure comes from runs that were trained to their own end within that
budget. ‘Times less cost’: for the accuracy that $baseline reaches with the
whole budget, read off the means by interpolation, linear in the logarithm of
the cost.</p>
<div class="figures" tabindex="0">$table</div>""")
STYLE = """.cards div:last-child { grid-column: auto; }
.cards { grid-template-columns:
  repeat(auto-fit, minmax(min(11rem, 45%), 1fr)); }
.cards div { border-left: .3rem solid var(--line); }
.cards .good { border-color: #1a8f5f; }
.cards .bad { border-color: #d1453b; }
.cards div b, .cards div:last-child b { display: block; font-size: 1.15rem;
  line-height: 1.3; }
.figures { white-space: nowrap; }
.figures th { overflow-wrap: normal; white-space: normal; }
.figures td:first-child { min-width: 6.5rem; white-space: normal; }
.figures th, .figures td { padding-right: .75rem; }
.arms td { text-align: left; vertical-align: top; min-width: 7rem; }
.arms th { text-align: left; }
ul { padding-left: 1.2rem; }
"""
BODY = string.Template("""<dl class="cards">
$cards</dl>
<h2>What this shows</h2>
<ul>
$sentences</ul>
$failed
<div class="figures" tabindex="0">$verdicts</div>
<h2>Plots</h2>
<div class="plots">
$plots</div>
<h2>At the end of training</h2>
<div class="figures" tabindex="0">$ends</div>
<h2>Cost and time to the target</h2>
<p>The target is $target. Each cost is read off the curve, linear between
evaluations: at the final image size, and at the size of the moment, which the
network of that moment is trained for.</p>
<div class="figures" tabindex="0">$to_target</div>
$budgets
<h2>The arms</h2>
<div class="arms" tabindex="0">$arms</div>
<h2>How to read this</h2>
<p>$method</p>""")
