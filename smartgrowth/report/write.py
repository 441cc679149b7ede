"""One page about one run: `report.html` and its plots, from a run directory.

It reads files and nothing else (no model, no TensorFlow), so it also serves a
run that is still going. Comparing several runs is compare/'s work.
"""

import pathlib
import string
from html import escape

from smartgrowth import UserError
from smartgrowth.rendering import svg_chart
from smartgrowth.rendering.figure import render
from smartgrowth.rendering.html import document, figure
from smartgrowth.report import curves, plots, sections
from smartgrowth.report.outcome import OUTCOMES, Outcome, is_wide, read_outcome
from smartgrowth.runs import files
from smartgrowth.runs.reader import read_json, read_lines, read_run


def write_report(directory: pathlib.Path | str) -> pathlib.Path:
    """Writes `report.html` and its plots into a run directory.

    The page needs nothing beside it. The plots are also written as files, for
    light screens: `files.PLOTS`, the last three once there are
    predictions.

    Args:
        directory: the `--workdir` of a run, finished or still going.

    Returns:
        The path of `report.html`.

    Raises:
        UserError: it is not a run directory, a file in it is malformed, or it
          cannot be written.
    """
    directory = pathlib.Path(directory).expanduser()
    run = read_run(directory)
    outputs = {
        f"{name}.png": plots.draw(name, run, "light")[0] for name in plots.PLOTS
    }
    outcome, drawn, error = read_outcome(run), {}, None
    if outcome:
        drawn, more = _draw(outcome)
        outputs |= more
        error = outcome.reliability.error
    body = BODY.substitute(
        headline=sections.headline(run, error),
        curves=curves.section(run),
        stages=sections.stage_table(run),
        outcome=_outcome(outcome, drawn),
        hardest=sections.hardest(run),
        test_time=sections.test_time(run),
        figures=sections.final_figures(run),
        audit=sections.audit(run),
        augmentation=sections.augmentation(run),
        data_report=sections.data_section(
            read_json(directory / files.DATA_REPORT)
        ),
        made_with=sections.made_with(run),
        flags=escape("\n".join(read_lines(directory / files.FLAGS))),
    )
    outputs[files.REPORT] = document(
        "{model} on {dataset}".format_map(run.flags),
        directory.resolve().name,
        sections.state(run),
        body,
        svg_chart.STYLE + curves.STYLE + STYLE,
    ).encode()
    try:
        for name, content in outputs.items():
            (directory / name).write_bytes(content)
    except OSError as error:
        raise UserError(
            f"{directory / name} cannot be written ({error.strerror or error})"
            "; make room there and give `--mode=report`"
        ) from error
    return directory / files.REPORT


def _draw(outcome: Outcome) -> tuple[dict[str, str], dict[str, bytes]]:
    """The plots of what a run predicts, by name: as HTML, and as files."""
    shown, outputs = {}, {}
    for name, (title, note, draw_into) in OUTCOMES.items():

        def draw(theme, draw_into=draw_into):
            return render(lambda f: draw_into(f, outcome), theme)

        light, alt = draw("light")
        outputs[f"{name}.png"] = light
        if name != "class_accuracy":  # which the page has as HTML
            dark, _ = draw("dark")
            shown[name] = figure(title, light, dark, f"{title}: {alt}.", note)
    return shown, outputs


def _outcome(outcome: Outcome | None, drawn: dict[str, str]) -> str:
    if outcome is None:
        return ""
    wide = is_wide(outcome)
    return OUTCOME.substitute(
        drawn,
        width="wide" if wide else "",
        between="</div>\n<div>" if wide else "",
        confusions=sections.confusions(outcome),
        bars=sections.class_bars(outcome),
        classes=sections.class_table(outcome),
    )


STYLE = """dl { grid-template-columns:
  repeat(auto-fit, minmax(min(15rem, 45%), 1fr)); }
dl div:last-child { grid-column: auto; }
.outcome { align-items: start; margin-bottom: 2rem; }
.wide { grid-column: 1 / -1; }
.bars { columns: 20rem; list-style: none; margin: 0; padding: 0; }
.bars li { align-items: center; break-inside: avoid; display: grid;
  font-size: .875rem; gap: .6rem;
  grid-template-columns: minmax(9.5rem, 40%) 1fr 2.6rem; }
.bars span, .bars b { text-align: right; }
.bars span { line-height: 1.2; padding: .2rem 0; }
.bars b { font-weight: 400; font-variant-numeric: tabular-nums; }
.bars i { background: var(--tile); border-radius: .2rem; height: .8rem;
  overflow: hidden; }
.bars i::before { background: var(--c0); content: ""; display: block;
  height: 100%; width: var(--share); }
.values td:last-child { white-space: nowrap; }
.words td { text-align: left; vertical-align: top; }
.words th { overflow-wrap: normal; text-align: left; }
details > div { overflow-x: auto; }
details summary { cursor: pointer; font-size: 1rem; margin: 1rem 0 .75rem; }
.gallery { grid-template-columns:
  repeat(auto-fill, minmax(clamp(5.2rem, 9vw, 6.3rem), 1fr)); }
"""
OUTCOME = string.Template("""<h2>What it recognizes</h2>
<div class="plots outcome">
<div class="$width">$confusion</div>
<div>$confusions
$between$reliability</div>
</div>
$bars
<details><summary>Every class</summary>
<div class="stages" tabindex="0">$classes</div></details>""")
BODY = string.Template("""<dl>
$headline</dl>
<h2>Course of the training</h2>
$curves
<h2>Stages</h2>
<div class="stages" tabindex="0">$stages</div>
$outcome
$hardest
$test_time
<h2>Final figures</h2>
<div class="values">$figures</div>
$audit
$augmentation
$data_report
$made_with
<details><summary>Flags</summary><pre>$flags</pre></details>""")
