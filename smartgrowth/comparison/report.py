"""comparison.html, its plots and its tables, from the figures alone."""

import pathlib
from collections.abc import Sequence

from smartgrowth import UserError
from smartgrowth.comparison import comparable, html_tables
from smartgrowth.comparison.arms import Trial
from smartgrowth.comparison.costs import compare_costs
from smartgrowth.comparison.csv_tables import write_tables
from smartgrowth.comparison.equality import KINDS
from smartgrowth.comparison.plots import plots
from smartgrowth.comparison.summary import Figures
from smartgrowth.comparison.verdicts import ENOUGH, HELPS, HURTS, points
from smartgrowth.rendering import html
from smartgrowth.rendering.figure import Plot, make_plot
from smartgrowth.rendering.html import Tile
from smartgrowth.runs.files import write_bytes

PAGE = "comparison.html"
TEMPLATE = "comparison/templates/comparison.html.jinja2"


def write_report(
    directory: pathlib.Path,
    figures: Figures,
    failed: Sequence[Trial] = (),
    missing: Sequence[Trial] = (),
) -> pathlib.Path:
    """Writes the page, comparison.csv, comparison_arms.csv and the plots.

    Args:
      directory: of the comparison.
      figures: what the page shows.
      failed: trials that have no figures.
      missing: others, which another machine trains.

    Returns:
      The page's path.

    Raises:
      UserError: one of the files cannot be written.
    """
    drawn = {
        name: make_plot(title, draw_into, note)
        for name, (title, note, draw_into) in plots(figures).items()
    }
    files = {f"{name}.png": plot.light for name, plot in drawn.items()}
    absent = [trial for trial in missing if trial not in failed]
    values = _values(figures, failed, list(drawn.values()))
    values["absent"] = [trial.name for trial in absent]
    page = html.render(TEMPLATE, name=directory.resolve().name, **values)
    files[PAGE] = page.encode()
    try:
        write_tables(directory, figures.table, figures.summary)
        for name, content in files.items():
            write_bytes(directory / name, content)
    except OSError as error:
        raise UserError(
            f"{directory} cannot be written ({error.strerror or error}); make "
            "room there and give the command again: the runs are kept"
        ) from error
    return directory / PAGE


def _values(
    figures: Figures, failed: Sequence[Trial], drawn: Sequence[Plot]
) -> dict:
    """Returns the template's variables, except the page's name."""
    run = next(iter(figures.runs.values()))
    equal, costs = compare_costs(figures)
    seeds = figures.whole.groupby("arm", observed=True).size()
    return {
        "title": f"What paid on {run.flags['dataset']}",
        "figures": figures,
        "seeds": (int(seeds.min()), int(seeds.max())),
        "enough": ENOUGH,
        "equal": equal,
        "costs": costs,
        "less": KINDS[figures.equal].less,
        "cards": _cards(figures),
        "sentences": [each.sentence for each in figures.verdicts.values()],
        "conditions": comparable.differences(figures.runs),
        "failed": [trial.name for trial in failed],
        "verdicts": html_tables.verdict_table(figures),
        "plots": drawn,
        "ends": html_tables.end_table(figures),
        "target": _target(figures),
        "to_target": html_tables.target_table(figures),
        "budgets": (
            html_tables.budget_table(figures)
            if len(figures.budgets) > 1
            else None
        ),
        "arms": html_tables.arm_table(figures),
    }


def _cards(figures: Figures) -> list[Tile]:
    """Returns a tile for each arm's verdict and the baseline's accuracy."""
    cards = []
    for arm in figures.arms:
        accuracy = html_tables.mean(
            figures.of(arm)["accuracy"], html_tables.percent
        )
        verdict = figures.verdicts.get(arm)
        if verdict:
            kind = {HELPS: "good", HURTS: "bad"}.get(verdict.word, "")
            note = f"{accuracy}, {points(verdict.paired.mean)} points"
            cards.append(Tile(arm, verdict.word, note, kind))
        elif arm == figures.baseline:
            cards.append(Tile(arm, accuracy, "accuracy of the baseline"))
    return cards


def _target(figures: Figures) -> str:
    """Returns the target as text."""
    targets = figures.whole["target"].dropna().unique()
    if len(targets) == 1:
        return f"an accuracy of {targets[0]:.1%}"
    return (
        f"the accuracy that {figures.baseline} ended with on the same seed "
        f"({min(targets):.1%} to {max(targets):.1%})"
    )
