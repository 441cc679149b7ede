"""predict.html: what a finished run sees in new images, the unsure ones first.

Of plain records: no model.
"""

import dataclasses
import heapq
from collections.abc import Sequence

import numpy as np

from smartgrowth.rendering import contact_sheet, heat_map, html
from smartgrowth.rendering.html import Picture, Tile

TEMPLATE = "evaluation/templates/predict.html.jinja2"
MOST = 500  # images on the page
PICTURE = 128  # pixels per side
UNSURE = 0.5  # probability of the first class, below which it counts as such


@dataclasses.dataclass(frozen=True)
class Labeled:
    """An image, and what the network says of it.

    Attributes:
      name: of the file.
      classes: names of the most probable classes, the first one first.
      probabilities: of these, 0 to 1.
      image: uint8 (PICTURE, PICTURE, 3).
      heat: float (rows, columns), the activation map of the first class; None
        if the network has none.
    """

    name: str
    classes: Sequence[str]
    probabilities: Sequence[float]
    image: np.ndarray
    heat: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Card:
    """An image on the page: its pictures, and (class, percent) of the first."""

    name: str
    pictures: Sequence[Picture]
    bars: Sequence[tuple[str, str]]


class UnsureImages:
    """The images of which the network is least sure, of any number added."""

    def __init__(self):
        self.count = self.unsure = 0
        self._kept = []  # (probability, -position, image), a heap of the surest

    def add(self, labeled: Labeled) -> None:
        """Keeps an image for now, if it is among the most unsure ones."""
        probability = labeled.probabilities[0]
        self.unsure += probability < UNSURE
        entry = (-probability, -self.count, labeled)
        self.count += 1
        if len(self._kept) < MOST:
            heapq.heappush(self._kept, entry)
        else:
            heapq.heappushpop(self._kept, entry)

    def ascending(self) -> list[Labeled]:
        """Returns the kept images, the least sure first."""
        return [labeled for *_, labeled in sorted(self._kept, reverse=True)]


def render(
    images: UnsureImages, skipped: int, run: str, network: str, accuracy: float
) -> html.Markup:
    """Returns the page.

    Args:
      images: all that were labeled have been added.
      skipped: files that could not be read.
      run: its name. network: what it trained on what.
      accuracy: of its validation, 0 to 1.
    """
    kept = images.ascending()
    tiles = [
        Tile("Images labeled", f"{images.count:,}"),
        Tile(
            "Unsure",
            f"{images.unsure:,}",
            f"no class has a probability of {UNSURE:.0%}",
        ),
        Tile("Files skipped", f"{skipped:,}"),
        Tile("Network", f"{network}, validation accuracy {accuracy:.1%}"),
    ]
    return html.render(
        TEMPLATE,
        title="Labeled images",
        name=run,
        tiles=tiles,
        count=images.count,
        cards=[_card(labeled) for labeled in kept],
        has_maps=any(labeled.heat is not None for labeled in kept),
    )


def _card(labeled: Labeled) -> Card:
    best = labeled.classes[0]
    pictures = [Picture(_uri(labeled.image), labeled.name)]
    if labeled.heat is not None:
        blended = heat_map.blend(labeled.image, labeled.heat, PICTURE)
        alt = f"Heat map of {best}. {labeled.name}"
        pictures.append(Picture(_uri(blended), alt))
    shares = [f"{probability:.1%}" for probability in labeled.probabilities]
    bars = list(zip(labeled.classes, shares, strict=True))
    return Card(labeled.name, pictures, bars)


def _uri(image: np.ndarray) -> str:
    return contact_sheet.data_uri(image, PICTURE)
