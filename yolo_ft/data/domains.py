"""Other laboratories for the drawn `cells` set: the same blood, another stain, microscope or camera. Lesson 12."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from yolo_ft.core.errors import UserError


@dataclass(frozen=True)
class CellsDomain:
    """How a smear was made and photographed; the defaults are the `cells` set itself.

    The same index shows the same cells at the same places in every domain (those that are in view), so a difference
    between two domains is the domain's alone. As text, for `data="cells:stain=0.8,focus=0.5"`: `str(domain)`.

    stain: -1 (acid buffer: orange cells, pale reddish nuclei) to 1 (alkaline: grey-blue cells, dark nuclei).
    focus: 0 (far out of focus) to 1 (as in `cells`, which is never quite even).
    magnification: 0.6 to 1.6 times the usual size; below 1 the picture shows more of the smear.
    density: 0.2 to 2.5 times the usual number of red cells.
    camera: 0 (the microscope's) to 1 (a telephone at the eyepiece: yellow, dark corners, flat, noisy).

    Raises UserError for a value outside its range.
    """

    stain: float = 0.0
    focus: float = 1.0
    magnification: float = 1.0
    density: float = 1.0
    camera: float = 0.0

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(f"cells: {name}={value:g} is outside its range, {low:g} to {high:g}.")

    def __str__(self) -> str:
        """The name, or the controls that differ from the usual ones; empty for the `cells` set itself."""
        for name, domain in CELLS_DOMAINS.items():
            if domain == self:
                return name
        changed = [field for field in fields(self) if getattr(self, field.name) != field.default]
        return ",".join(f"{field.name}={getattr(self, field.name):.12g}" for field in changed)


RANGES = {"stain": (-1, 1), "focus": (0, 1), "magnification": (0.6, 1.6), "density": (0.2, 2.5), "camera": (0, 1)}
USUAL = CellsDomain()
CELLS_DOMAINS = {
    "blue-stain": CellsDomain(stain=0.9),
    "field-lab": CellsDomain(stain=-0.5, focus=0.5, camera=0.9),
    "thick-smear": CellsDomain(focus=0.8, density=1.8),
    "low-power": CellsDomain(magnification=0.7),
}
DOMAINS_SHA256 = {}  # of all images, boxes and labels, like CELLS_SHA256


def parse_domain(text: str) -> CellsDomain:
    """The domain that a text means: a name, controls, or a name and then controls: "field-lab,focus=1".

    Raises UserError for a word that is neither, naming the nearest one, and for a value that a control cannot have.
    """
    first, *others = (word.strip() for word in text.split(","))
    if "=" not in first and first not in CELLS_DOMAINS:
        raise UserError(f"cells: there is no domain {first!r}; {_nearest(first, CELLS_DOMAINS)}")
    named = "=" not in first
    domain = CELLS_DOMAINS[first] if named else USUAL
    for word in others if named else [first, *others]:
        name, equals, number = (part.strip() for part in word.partition("="))
        if not equals:
            raise UserError(f"cells: {word!r} is no control=number; a domain's name comes first, and there is one.")
        if name not in RANGES:
            raise UserError(f"cells: there is no control {name!r}; {_nearest(name, RANGES)}")
        domain = replace(domain, **{name: _number(name, number)})
    return domain


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        low, high = RANGES[name]
        raise UserError(
            f"cells: {name}={text} is no number; write, for example, {name}={high:g} ({low:g} to {high:g})."
        )
    return value


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.4)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}."
