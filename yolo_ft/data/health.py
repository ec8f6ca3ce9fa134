"""What was wrong in a data set, and what was done about it. Nothing in the user's folder is ever changed.

The rules, which are those of the YOLOv5 scan unless marked:

- *image dropped*: the file is missing, unreadable, truncated, smaller than 10 px on a side or of an unknown format; or
  its label file has a row with a wrong number of columns, something that is no number (NaN and infinity included), a
  negative or larger-than-1 value, or a class that the data set does not have. The whole image goes, not the row alone:
  with the row removed, the object would still be in the picture and would be taught as background.
- *kept as background*: the label file is missing or empty.
- *row removed*: the same row again, or a box without width or height (ours: it encloses nothing).
- *box cut*: a COCO or VOC box that reaches over the edge of its image by more than rounding (ours).
- *passed over*: the second mention of an image in a list, a picture whose format is not read, annotated VOC images that
  no list names (ours).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

DROPPED, BACKGROUND, ROW_REMOVED = "image dropped", "kept as background", "row removed"
CUT, IGNORED = "box cut", "passed over"


@dataclass(frozen=True)
class Issue:
    """One finding: the file (relative to the data set), the line in it (1-based) or None, why, and what was done."""

    file: str
    line: int | None
    reason: str
    action: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}, line {self.line}"
        return f"{place}: {self.reason} ({self.action})"


@dataclass
class HealthReport:
    """The findings of one scan, with counts of what is left: images, objects, images without an object."""

    name: str = ""
    split: str = ""
    images: int = 0
    objects: int = 0
    background: int = 0
    issues: list[Issue] = field(default_factory=list)

    @classmethod
    def of(cls, name: str, split: str, objects: Sequence[int], issues: Sequence[Issue] = ()) -> HealthReport:
        """The report of a split whose images hold so many `objects` each."""
        return cls(name, split, len(objects), sum(objects), list(objects).count(0), list(issues))

    def summary(self, limit: int = 5) -> str:
        """A few lines for people: the counts, then the first `limit` findings, those that cost an image first."""
        text = (
            f"{self.name}, {self.split}: {self.images} images, {self.objects} objects, {self.background} images as "
            "background"
        )
        if not self.issues:
            return f"{text}; no problem found."
        counts = Counter(issue.action for issue in self.issues)
        order = [action for action in (DROPPED, ROW_REMOVED, CUT, IGNORED, BACKGROUND) if counts[action]]
        ranked = sorted(self.issues, key=lambda issue: order.index(issue.action))
        lines = [f"{text}; {', '.join(f'{counts[action]} × {action}' for action in order)}."]
        lines += [f"  {issue}" for issue in ranked[:limit]]
        if len(ranked) > limit:
            lines.append(f"  ... and {len(ranked) - limit} more in `.health.issues`")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()
