"""The data sets that are drawn on demand, by name: no file, no network, the same bytes on every machine."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from yolo_ft.core.errors import UserError
from yolo_ft.core.targets import Target
from yolo_ft.data.drawn.cells import CELLS_NAMES, CELLS_SHA256, CELLS_SPLITS, draw_cells
from yolo_ft.data.drawn.defects import DEFECTS_NAMES, DEFECTS_SHA256, DEFECTS_SPLITS, draw_defects
from yolo_ft.data.drawn.domains import DOMAINS_SHA256, CellsDomain, parse_domain


@dataclass(frozen=True, eq=False)  # one object per set, compared and hashed as itself
class DrawnSet:
    """A set that `draw(index)` makes: class names, the indices of each split, and what is known of its bytes.

    `sha256`: of each split's images, boxes and labels as `fingerprint` reads them; empty where none is committed.
    """

    name: str
    names: dict[int, str]
    splits: dict[str, range]
    sha256: dict[str, str]
    draw: Callable[[int], tuple[np.ndarray, Target]]

    def content(self, split: str) -> tuple[list[np.ndarray], list[Target]]:
        """Images (h, w, 3) uint8 and their targets. Warns when this machine draws other bytes than the committed.

        Raises UserError for another split than train, val and test.
        """
        if split not in self.splits:
            raise UserError(f"The drawn set '{self.name}' has no split {split!r}; use one of {', '.join(self.splits)}.")
        images, targets = map(list, zip(*map(self.draw, self.splits[split]), strict=True))
        if split in self.sha256 and fingerprint(images, targets) != self.sha256[split]:
            warnings.warn(
                f"This machine draws other bytes than the committed ones for {self.name}/{split}: results cannot "
                "be compared digit by digit with recorded runs. Please report it, with processor and numpy version.",
                stacklevel=2,
            )
        return images, targets


def drawn_set(data: str | Path) -> DrawnSet | None:
    """The drawn set that `data` means, or None: "cells", "cells:DOMAIN" (see `CellsDomain`), or "defects".

    Raises UserError for a domain that does not exist. Lessons 00, 10 and 12.
    """
    text = str(data).removesuffix(".yaml")
    name, colon, domain = text.partition(":")
    if name not in ("cells", "defects"):
        return None
    if Path(text).is_dir():
        warnings.warn(f"'{text}' means the drawn set: for the folder of that name pass its full path.", stacklevel=3)
    if name == "cells":
        return _cells(parse_domain(domain))
    if colon:
        raise UserError(f"The drawn set 'defects' has no domains: leave out ':{domain}'.")
    return _defects()


@cache
def _cells(domain: CellsDomain) -> DrawnSet:
    text = str(domain)
    sha256 = DOMAINS_SHA256.get(text, {}) if text else CELLS_SHA256
    name = f"cells:{text}" if text else "cells"
    return DrawnSet(name, CELLS_NAMES, CELLS_SPLITS, sha256, lambda index: draw_cells(index, domain=domain))


@cache
def _defects() -> DrawnSet:
    return DrawnSet("defects", DEFECTS_NAMES, DEFECTS_SPLITS, DEFECTS_SHA256, draw_defects)


def fingerprint(images: Iterable[np.ndarray], targets: Iterable[Target]) -> str:
    """SHA-256 (hex) over the bytes of every image followed by its boxes and labels, little-endian."""
    digest = hashlib.sha256()
    for image, target in zip(images, targets, strict=True):
        digest.update(image.tobytes() + target.boxes.astype("<f4").tobytes() + target.labels.astype("<i8").tobytes())
    return digest.hexdigest()
