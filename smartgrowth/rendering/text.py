"""Names and figures as a person reads them, in reports and on plots."""

import math
import re
from collections.abc import Iterable

NAMES = {
    "val_accuracy": "Validation accuracy",
    "val_top5": "Top-5 accuracy",
    "val_loss": "Validation loss",
    "raw_val_accuracy": "Validation accuracy without averaging the weights",
    "raw_val_loss": "Validation loss without averaging the weights",
    "calibration_error": "Calibration error",
    "tta_accuracy": "Accuracy with test-time augmentation",
    "clean_train_accuracy": "Accuracy on training images, not augmented",
    "clean_train_loss": "Loss on training images, not augmented",
    "gflops": "Cost",
    "train_seconds": "Training time",
    "wall_seconds": "Time with validation",
    "num_classes": "Classes",
    "num_images": "Images",
    "samples_per_class": "Images per class",
    "stage_seconds": "Time",
    "boundary_seconds": "Boundary",
}
UNITS = {"gflops": " GFLOPs", "image_size": " px", "native_size": " px"}


def name_of(key: str) -> str:
    """Returns what a key of a run's files is called: "Image size" and so on."""
    return NAMES.get(key, key.replace("_", " ").capitalize())


def short_name(name: str) -> str:
    """Returns a class name without its wnid, not too long for a label."""
    name = re.sub(r"^n\d{8} (?=\S)", "", name)
    return name if len(name) <= 28 else f"{name[:27]}…"


def show(key: str, value) -> str:
    """Returns a figure as text; its key implies the unit."""
    if key == "samples_per_class" and value is None:
        return "all"
    if isinstance(value, dict):
        return ", ".join(
            f"{name} {show(name, of)}" for name, of in value.items()
        )
    if value is None or isinstance(value, (str, bool, list)):
        return "–" if value is None else str(value)
    if not math.isfinite(value):
        return "not finite"
    if key.endswith(("accuracy", "top5", "calibration_error")):
        return f"{value:.1%}"
    if key.endswith("loss"):
        return f"{value:.3f}"
    if key.endswith("seconds"):
        minutes, seconds = divmod(round(value), 60)
        if minutes >= 60:
            return f"{minutes // 60} h {minutes % 60} min"
        return f"{minutes} min {seconds} s" if minutes else f"{value:.1f} s"
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return text + UNITS.get(key, "")


def about(seconds: float) -> str:
    """Returns a duration as text, rounded as one that is known roughly."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"about {max(seconds, 1):.0f} s"
    if minutes < 100:
        return f"about {minutes} min"
    return f"about {minutes // 60} h {minutes % 60} min"


def stage_summary(stage: dict) -> str:
    """Returns a stage of plan.json in words: image size, classes, images."""
    keys = ("image_size", "num_classes", "samples_per_class")
    size, classes, samples = (show(key, stage.get(key)) for key in keys)
    images = {"all": "all images", "1": "1 image each"}
    images = images.get(samples, f"{samples} images each")
    return f"{size}, {classes} classes, {images}"


def shares(costs: list[float]) -> list[str]:
    """Returns percentages to one decimal that add up to 100.0 exactly."""
    exact = [1000 * cost / (sum(costs) or math.inf) for cost in costs]
    tenths = [int(share) for share in exact]
    missing = round(sum(exact)) - sum(tenths)
    by_rest = sorted(range(len(costs)), key=lambda i: tenths[i] - exact[i])
    for index in by_rest[:missing]:
        tenths[index] += 1
    return [f"{share / 10:.1f}%" for share in tenths]


def series(numbers: Iterable[int]) -> str:
    """Returns whole numbers as text, in order: "0 to 4, 7"."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(
        f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run))
        for run in runs
    )
