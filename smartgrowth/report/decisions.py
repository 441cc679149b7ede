"""Where the stages of `--grow_when=auto` ended, and by which figures."""

import math

from smartgrowth import boundaries
from smartgrowth.rendering.html import Table
from smartgrowth.rendering.text import show
from smartgrowth.runs.reader import Run


def decisions(run: Run) -> Table | None:
    """Returns the evaluations at which a stage could end; None without any.

    With the figures of the rules, and what was decided.
    """
    if not run.rules:
        return None
    ends = {each["step"]: each["rule"] for each in run.decisions}
    rows = []
    for row in run.log.to_dict("records"):
        if row["stage"] + 1 == len(run.stages):
            continue
        rule, fall = ends.get(row["step"]), row["loss_fall"]
        rows.append(
            (
                f"{row['stage'] + 1:.0f}",
                f"{row['step']:,.0f}",
                show("gflops", row["gflops"]),
                show("accuracy", row["stage_train_accuracy"]),
                "–" if math.isnan(fall) else f"{fall:.2f}",
                boundaries.explain(run.rules, rule, row) if rule else "",
            )
        )
    head = ("Stage", "Step", "Cost", "Own training images right")
    return Table((*head, "Fall of the loss", "Ends, since"), rows)
