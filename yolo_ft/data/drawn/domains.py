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
        "train": "c9784011299c85ba69177e771e9ec21eff9fb36c4327f80ca545104e5e3fb793",
        "val": "9cb33fed692bfdd25747cb0cc939bc6baaabc162b1bc68c4681cfd8e4e4491d7",
        "test": "c6d5032caf0dc6757c4c1d8fca3e274e73fda1db0bbeb3e33f66b814b412d9ca",
    },
    "field-lab": {
        "train": "054f22793df72f4d51a16ed997e25442c32551589f8d8aae3e3af633dca37e8e",
        "val": "11e3e2243b81c70e8ed277fc144ae0f64950061cb269fc78eaf6eccbe63ef285",
        "test": "d7376bdea3d35f4bb2c53f1c91157165dd2292bf597626d928cfc70dc526bab2",
    },
    "thick-smear": {
        "train": "0c63a9f25892b0dda7644d18d7d20e1465c04824151ec12cf20ade957e59632c",
        "val": "ccc52363df5c3488adcb0b9d4a069de214a58d3b4a9dd05ff0cabdaebae92a38",
        "test": "4cda49f67f7be3d28e07ab4ebab375c35cac383e9bea2f0544df198abd28949e",
    },
    "low-power": {
        "train": "3219fefd328ae3431d06adb057f64f5e6e9e8803b6ddc10d982a29fc88909dae",
        "val": "8ab6ddb56e830c1bb31261076743c45a8e18655e8be132b7e781611e853f48c5",
        "test": "152720148187596472a1b7ce2d960b653cd0558359686a6e7eab7cf7c496a957",
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
