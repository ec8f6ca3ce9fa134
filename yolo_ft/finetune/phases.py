"""Progressive unfreezing as data: how long each freeze lasts, and at which share of the learning rate. Lesson 08.

[(5, "backbone"), (20, None)]          5 epochs with a frozen backbone, then 20 with everything trainable
[(5, "backbone", 1.0), (20, None, 0.1)]     the same, the second phase at a tenth of the learning rate
"5:backbone,20:none@0.1"               the same as text, for a shell, papermill or a configuration file
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real

from yolo_ft.core.errors import UserError
from yolo_ft.finetune.selectors import spec_text

TEXT_FORM = "5:backbone,20:none@0.1"


@dataclass(frozen=True)
class Phase:
    """`epochs` passes with `spec` frozen (kept as text, see `selectors`), the learning rate times `rate`."""

    epochs: int
    spec: str
    rate: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.epochs, bool) or not isinstance(self.epochs, Integral) or self.epochs < 1:
            raise UserError(f"A freeze phase lasts a whole number of epochs from 1, not {self.epochs!r}.")
        if isinstance(self.rate, bool) or not isinstance(self.rate, Real) or not 0 < self.rate < math.inf:
            raise UserError(f"The rate factor of a freeze phase is a number above 0, not {self.rate!r}.")
        object.__setattr__(self, "epochs", int(self.epochs))
        object.__setattr__(self, "spec", spec_text(self.spec))
        object.__setattr__(self, "rate", float(self.rate))

    def __str__(self) -> str:
        return f"{self.epochs}:{self.spec}" + ("" if self.rate == 1 else f"@{self.rate:g}")


def is_phases(spec: object) -> bool:
    """Whether `spec` is a schedule of phases rather than one selection."""
    if isinstance(spec, str):
        return ":" in spec
    if not isinstance(spec, Sequence):
        return isinstance(spec, Phase)
    return any(isinstance(item, (Phase, tuple, list)) or (isinstance(item, str) and ":" in item) for item in spec)


def parse_phases(spec: object) -> tuple[Phase, ...]:
    """Phases from any form of the module's table. `UserError` says which part is wrong and how to write it."""
    if isinstance(spec, Phase):
        return (spec,)
    if isinstance(spec, str):
        # a comma starts a new phase only before "epochs:", so that "5:0-9,13,20:none" has two
        return tuple(_from_text(part) for part in re.split(r",(?=\s*\d+\s*:)", spec))
    if not isinstance(spec, Sequence) or not spec:
        raise UserError(f"Write freeze phases as [(5, 'backbone'), (20, None)] or '{TEXT_FORM}', not {spec!r}.")
    return tuple(_phase(item) for item in spec)


def phases_text(phases: Sequence[Phase]) -> str:
    """The text form, which `parse_phases` reads back to equal phases."""
    return ",".join(str(phase) for phase in phases)


def total_epochs(phases: Sequence[Phase]) -> int:
    """Epochs of the whole schedule."""
    return sum(phase.epochs for phase in phases)


def phase_index(phases: Sequence[Phase], epoch: int) -> int:
    """Which phase `epoch` (from 0) falls into; `UserError` outside the schedule."""
    end = 0
    for index, phase in enumerate(phases):
        end += phase.epochs
        if 0 <= epoch < end:
            return index
    raise UserError(f"Epoch {epoch} lies outside the {end} epochs of the freeze phases {phases_text(phases)}.")


def _phase(item: object) -> Phase:
    if isinstance(item, Phase):
        return item
    if isinstance(item, str):
        return _from_text(item)
    if isinstance(item, (tuple, list)) and len(item) in (2, 3):
        return Phase(*item)
    raise UserError(f"A freeze phase is (epochs, what to freeze) or (epochs, what, rate factor), not {item!r}.")


def _from_text(text: str) -> Phase:
    match = re.fullmatch(r"\s*(\d+)\s*:\s*([^:@]+?)\s*(?:@\s*([^@:]+?)\s*)?", text)
    if match is None:
        raise UserError(
            f"'{text}' is not a freeze phase; write 'epochs:what' or 'epochs:what@rate', as in '{TEXT_FORM}'."
        )
    try:
        rate = float(match[3] or 1)
    except ValueError:
        raise UserError(
            f"'{match[3]}' in the freeze phase '{text}' is not a rate factor; write a number like 0.1."
        ) from None
    return Phase(int(match[1]), match[2], rate)
