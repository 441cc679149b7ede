"""Writes `report.html`, one page about one run, and its plots.

It only reads files (no model, no TensorFlow), so it also serves a run in
progress. comparison/ compares several runs.
"""

import dataclasses
import pathlib

from markupsafe import Markup

from smartgrowth import UserError
from smartgrowth.rendering import html, svg_chart
from smartgrowth.rendering.figure import Plot, chart_png, make_plot, render
from smartgrowth.rendering.text import stage_summary
from smartgrowth.report import curves, errors, sections
from smartgrowth.report.decisions import decisions
from smartgrowth.report.outcome import OUTCOMES, Outcome, is_wide, read_outcome
from smartgrowth.runs import files
from smartgrowth.runs.reader import Run, read_flag_lines, read_run

TEMPLATE = "report/templates/report.html.jinja2"


def write_report(directory: pathlib.Path | str) -> pathlib.Path:
    """Writes `report.html` and its plots into a run directory.

    The page needs no other file. The plots are also written as files, in the
    light theme: `files.PLOTS`, the last three once there are predictions.

    Args:
      directory: the `--workdir` of a run, finished or in progress.

    Returns:
      The path of `report.html`.

    Raises:
      UserError: it is not a run directory, a file in it is malformed, or it
        cannot be written.
    """
    directory = pathlib.Path(directory).expanduser()
    run = read_run(directory)
    course = curves.make_course(run)
    outcome, plots, outputs = read_outcome(run), {}, {}
    for name, part in course.items():
        outputs[f"{name}.png"] = chart_png(part.first())
    if outcome:
        plots, pictures = _draw(outcome)
        outputs |= pictures
    outputs[files.REPORT] = html.render(
        TEMPLATE, **_values(run, course, outcome, plots)
    ).encode()
    try:
        for name, content in outputs.items():
            files.write_bytes(directory / name, content)
    except OSError as error:
        raise UserError(
            f"{directory / name} cannot be written ({error.strerror or error})"
            "; make room there and give `--mode=report`"
        ) from error
    return directory / files.REPORT


def _values(
    run: Run,
    course: dict[str, curves.Part],
    outcome: Outcome | None,
    plots: dict[str, Plot],
) -> dict:
    """Returns the template's variables."""
    return {
        "title": "{model} on {dataset}".format_map(run.flags),
        "name": run.directory.resolve().name,
        "run": run,
        "headline": sections.headline(
            run, outcome.reliability.error if outcome else None
        ),
        "axes": curves.AXES,
        "course": [(part.title, _drawn(part)) for part in course.values()],
        "summaries": [stage_summary(stage) for stage in run.stages],
        "stages": sections.stage_table(run),
        "decisions": decisions(run),
        "outcome": outcome and _outcome_values(run, outcome, plots),
        "hard_images": errors.hard_images(run),
        "test_time": sections.test_time(run),
        "figures": sections.final_figures(run),
        "audit": sections.audit(run),
        "augmentation": sections.augmentation(run),
        "data_report": sections.data_problems(run),
        "made_with": sections.made_with(run),
        "flags": read_flag_lines(run.directory),
    }


def _drawn(part: curves.Part) -> dict[str, list[tuple[str, Markup]]]:
    """Returns axis -> (title, SVG) of each chart; a single one has no title."""
    return {
        axis: [("", svg_chart.draw(charts[0]))]
        if len(charts) == 1
        else [
            (chart.y.label, svg_chart.draw(chart, svg_chart.LOW))
            for chart in charts
        ]
        for axis, charts in part.charts.items()
    }


def _outcome_values(run: Run, outcome: Outcome, plots: dict[str, Plot]) -> dict:
    confusions = errors.confusions(run, outcome)
    matrix = plots["confusion"]
    cells = errors.cell_areas(outcome, confusions, matrix.box)
    if cells:
        note = f"{matrix.note} Wrong cells lead to their images."
        matrix = dataclasses.replace(matrix, note=note)
    return {
        "wide": is_wide(outcome),
        "plots": plots | {"confusion": matrix},
        "cells": cells,
        "confusions": confusions[: errors.CONFUSIONS],
        "pictured": [each for each in confusions if each.gallery],
        "wrong": outcome.wrong,
        "bars": sections.class_bars(outcome),
        "classes": sections.class_table(outcome),
    }


def _draw(outcome: Outcome) -> tuple[dict[str, Plot], dict[str, bytes]]:
    """Returns the plots of a run's predictions, for the page and as files."""
    plots, outputs = {}, {}
    for name, (title, note, draw) in OUTCOMES.items():

        def draw_into(figure, draw=draw):
            return draw(figure, outcome)

        if name == "class_accuracy":  # the page has it in HTML
            outputs[f"{name}.png"], _ = render(draw_into, "light")
        else:
            plots[name] = make_plot(title, draw_into, note)
            outputs[f"{name}.png"] = plots[name].light
    return plots, outputs
