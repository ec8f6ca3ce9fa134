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
            given = getattr(self, name)
            try:
                value = float(given)
            except (TypeError, ValueError):
                value = math.nan
            if not low <= value <= high:
                raise UserError(f"cells: {name}={given} is no number from {low:g} to {high:g}.")
            object.__setattr__(self, name, value)  # numbers of any kind draw the same bytes

    def __str__(self) -> str:
        """The name, or the controls that differ from the usual ones; empty for the `cells` set itself."""
        for name, domain in CELLS_DOMAINS.items():
            if domain == self:
                return name
        changed = [field for field in fields(self) if getattr(self, field.name) != field.default]
        return ",".join(f"{field.name}={getattr(self, field.name)}" for field in changed)


RANGES = {"stain": (-1, 1), "focus": (0, 1), "magnification": (0.6, 1.6), "density": (0.2, 2.5), "camera": (0, 1)}
USUAL = CellsDomain()
CELLS_DOMAINS = {
    "blue-stain": CellsDomain(stain=0.9),
    "field-lab": CellsDomain(stain=-0.5, focus=0.5, camera=0.9),
    "thick-smear": CellsDomain(focus=0.8, density=1.8),
    "low-power": CellsDomain(magnification=0.7),
}
DOMAINS_SHA256 = {  # of all images, boxes and labels, like CELLS_SHA256
    "blue-stain": {
        "train": "b0bec8e40d2d70bfe66320e5a9e6d874150b124e17aaca648229de014c07ec86",
        "val": "ec0af42ff3a0e9bc5c9d2e3a1f28ce762b545b22acf6200acc74e20b142382a8",
        "test": "d67be96d48136f5815dea4f09f7d76596c305713a3f1507240b805053ce7c589",
    },
    "field-lab": {
        "train": "6212ce9b51d92c10b08070ebd0c61536118a050000b53f49dace32ec14b85a05",
        "val": "1837aea5e8d450f01d0d832221593e6ccb835606a59bb73b98260f0e487daf2d",
        "test": "43d14392b1d951049e1d0062f881a9e60d600fc1ea101d8969b6c170cb3113ba",
    },
    "thick-smear": {
        "train": "c70839031a162e295b66bc1e499465a926a0b18253f28325b04798fbcf6a8ed3",
        "val": "60f1848c012f7e26dd01e80e9c48ce6367d3666bea375c6705fa8ea68d557357",
        "test": "9a3e089d607fab0b236356c93731eac2171da7b7e097230b76d9df630540082e",
    },
    "low-power": {
        "train": "916c5a4a4f908ac29b681bccb2904c231355590120bd012abcff8795be592907",
        "val": "741b457bba7ebecb2eca428308a398cd479eaccbd072ca33cb221b31a5512532",
        "test": "ac18529eb707ac802483a2697e97104d0288d89cc1518b00ff1a6cbbfbf75237",
    },
}


def parse_domain(text: str) -> CellsDomain:
    """The domain that a text means: a name, controls, or a name and then controls: "field-lab,focus=1"; or "".

    Raises UserError for a word that is neither, naming the nearest one, and for a value that a control cannot have.
    """
    if not text.strip():
        return USUAL
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
        domain = replace(domain, **{name: number})
    return domain


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.4)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}."
