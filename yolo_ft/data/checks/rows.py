"""The rows of a YOLO label file, mended where that needs no guess. Lesson 06."""

from __future__ import annotations

import numpy as np

from yolo_ft.core.boxes import cxcywh_to_xyxy, xyxy_to_cxcywh
from yolo_ft.data.formats.labels import parse_labels

OVERSHOOT = 0.01  # share of the image that a coordinate may lie outside 0..1 and still be cut instead of distrusted
EXACT = 1e-4  # share of the image that counts as the edge itself


class BadRow(Exception):
    """A row that cannot be mended without a guess."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line, self.reason = line, reason


def mend(text: str, num_classes: int) -> tuple[list[str], list[tuple[int, str, str]]]:
    """The rows of a label file that stay, mended where needed and otherwise as they are; the changes (line, what, why).

    Raises `BadRow` where only a guess could mend one.
    """
    rows: list[str] = []
    changes: list[tuple[int, str, str]] = []
    seen: set[tuple[float, ...]] = set()
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        mended, reach = _cut(words)
        parsed, findings = parse_labels(mended, num_classes)
        if findings:
            _, reason, action = findings[0]
            if not action.startswith("row"):
                raise BadRow(number, reason)
            changes.append((number, action, reason))
        elif (row := tuple(parsed[0].tolist())) in seen:
            changes.append((number, "row removed", "the same row again"))
        else:
            seen.add(row)
            rows.append(mended)
            if reach:
                changes.append((number, "box cut", f"it reached over the edge by {reach:.2%} of the image"))
    return rows, changes


def _cut(words: list[str]) -> tuple[str, float]:
    """(the row, cut at the image's edge if it reaches over it by a plausible amount; how far it reached, in shares)."""
    line = " ".join(words)
    try:
        values = np.array([float(word) for word in words[1:]])
    except ValueError:
        return line, 0.0
    if len(values) < 4 or not np.isfinite(values).all() or values.min() < -OVERSHOOT or values.max() > 1 + OVERSHOOT:
        return line, 0.0
    corners = cxcywh_to_xyxy(values) if len(values) == 4 else values
    reach = float(max(-corners.min(), corners.max() - 1))
    if reach <= EXACT and values.min() >= 0 and values.max() <= 1:
        return line, 0.0
    corners = corners.clip(0, 1)
    mended = xyxy_to_cxcywh(corners) if len(values) == 4 else corners
    return " ".join([words[0], *(f"{value:.6f}" for value in mended)]), reach
