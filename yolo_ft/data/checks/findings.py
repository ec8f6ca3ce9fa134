"""What a check of a data set can find, ranked by what hurts most, and the report of one check. Lesson 06.

The order is that of `KINDS`. First what makes the measurement itself a lie (leakage: every later decision is taken on
it), then what takes whole images away or teaches them wrongly, then single wrong boxes, then classes, then what is only
suspicious or merely worth knowing. Levels: an *error* costs accuracy or its measurement for certain, a *warning* often
does and needs a look, a *note* is there to be known. `yolo-ft data check` exits with 1 when there is an error.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field

from yolo_ft.data.dataset import Dataset

ERROR, WARNING, NOTE = "error", "warning", "note"
Place = tuple[str, int]  # split, index of the image in it


@dataclass(frozen=True)
class Kind:
    """One thing that a check looks for: its level, why it hurts, and the mend."""

    name: str
    level: str
    why: str
    mend: str


@dataclass(frozen=True)
class Finding:
    """One case: the split and file it is in, what is the matter, and the boxes in question (xyxy pixels) to look at.

    `line`: the line of the label file, 1-based, where there is one. `place` and `twin`: the images to show, if any;
    `twin_boxes` are those in question on the twin.
    """

    kind: Kind
    split: str
    file: str
    reason: str
    line: int | None = None
    place: Place | None = None
    twin: Place | None = None
    boxes: tuple[tuple[float, ...], ...] = ()
    twin_boxes: tuple[tuple[float, ...], ...] = ()

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}, line {self.line}"
        return f"{self.split} {where}: {self.reason}"


SPLIT_AGAIN = "split again with these images kept together (yolo-ft data split, by group or near-duplicate cluster)"
BY_HAND = "look at the pictures, then correct the labels"
LEAKED = Kind(
    *("copy in two splits", ERROR, "the score counts images that were trained on"),
    "yolo-ft data fix keeps the held-out copy only",
)
SAME_GROUP = Kind(
    *("group in two splits", ERROR, "images of one video, patient or place are alike, so the score is too good"),
    SPLIT_AGAIN,
)
EMPTY_SPLIT = Kind(
    *("split without objects", ERROR, "there is nothing to learn or to measure"),
    "put labelled images into it, or share all images out anew (yolo-ft data split)",
)
DROPPED_IMAGE = Kind(
    *("image dropped", ERROR, "it is not used and its objects are lost; one bad row is enough"),
    "mend the file or the row; yolo-ft data fix mends what needs no guess",
)
UNLABELLED_COPY = Kind(
    *("unlabelled copy", ERROR, "a copy with labels says object, this one says background"),
    "copy the labels over; yolo-ft data fix drops it if the pixels are the same",
)
CONTRADICTION = Kind("copies labelled differently", ERROR, "one of the two teaches something wrong", BY_HAND)
SHARED_LABELS = Kind(
    *("shared label file", ERROR, "two pictures have it, and at most one shows what it says"),
    "find out whose labels they are, and give the other picture a name and labels of its own",
)
ABSENT_CLASS = Kind(
    *("class not in train", ERROR, "it is measured but cannot be learned"),
    "split again by class (yolo-ft data split)",
)
TWICE = Kind("box drawn twice", ERROR, "one of the two can only count as missed", "delete one of the two rows")
REMOVED_ROW = Kind(
    *("row removed", WARNING, "the row says nothing, but perhaps it should have said something"),
    "yolo-ft data fix leaves it out; draw a box without size again if it stood for an object",
)
TWO_CLASSES = Kind("one box, two classes", WARNING, "the same pixels are taught as two things", BY_HAND)
UNLABELLED = Kind("object without a label", WARNING, "objects without a label are taught as background", BY_HAND)
OVER_EDGE = Kind(
    *("box over the edge", WARNING, "it is cut when loaded; far outside it may be wrong altogether"),
    "yolo-ft data fix cuts it (formats other than YOLO: yolo-ft data convert does)",
)
TINY = Kind(
    *("tiny box", WARNING, "at the training size hardly a pixel of it is left"),
    "train at a larger --imgsz, cut the images into tiles, or drop the box",
)
NO_VALIDATION = Kind(  # a warning, because a set in one piece is not wrong, only not ready
    *("no validation split", WARNING, "there is no score without one, and training does not begin"),
    "yolo-ft data split makes one (formats other than YOLO: yolo-ft data convert first)",
)
NO_TEST = Kind(
    *("test split without images", WARNING, "nothing can be measured on it; perhaps its images got lost"),
    "put the images there, or take the entry out",
)
UNLABELLED_LOOK_ALIKE = Kind(
    *("unlabelled look-alike", WARNING, "nearly the same scene is taught as object and as background"),
    "look at the pictures, and label the objects that were forgotten",
)
TWIN_NAMES = Kind(
    *("two names for one class", WARNING, "one thing is taught as two classes"),
    "use one of the two numbers in all labels",
)
RARE = Kind("rare class", WARNING, "too few examples to learn it or to measure it", "label more, or split by class")
ORPHAN = Kind("label file without image", WARNING, "labelled work is not used", "restore the image or correct its name")
UNLISTED = Kind(
    *("labelled image in no split", WARNING, "labelled work is not used"),
    "name it in a list of images, unless it was left out on purpose",
)
PASSED_OVER = Kind(
    *("passed over", WARNING, "a picture, a region or a mark is not used"),
    "each case says why; save pictures in a common format and list each once",
)
NO_LABELS = Kind(
    *("no label file", WARNING, "it is taught as background; that is wrong if its labels got lost"),
    "find the labels, or write an empty file to say that there is no object",
)
LOOK_ALIKE = Kind("look-alikes in two splits", WARNING, "one scene in two splits makes the score too good", SPLIT_AGAIN)
REPEATED = Kind(
    *("copy within a split", WARNING, "the image counts twice"),
    "yolo-ft data fix keeps one of those with the same pixels",
)
COLOUR_MODES = Kind("few in another colour mode", WARNING, "the model can tell sources apart", "save all images alike")
HUGE = Kind(
    *("box over the whole image", NOTE, "some tools write it where nothing was drawn"),
    "nothing, if the object fills the image, else delete it",
)
THIN = Kind(
    *("extreme aspect ratio", NOTE, "a slip of the mouse, unless the object is thin"),
    "nothing, if the object is thin, else draw it again",
)
ONLY_TRAIN = Kind("class never measured", NOTE, "no score says how well it is found", "split by class")
UNUSED_CLASS = Kind(
    *("class without objects", NOTE, "it costs outputs and is never found"),
    "label some, or remove the name and lower the class numbers above it in all labels",
)
SIZES = Kind("mixed image sizes", NOTE, "objects of one size appear at many", "nothing, or train at several sizes")
AT_EDGE = Kind("boxes at the image edge", NOTE, "their objects are seen in part", "nothing, if they are labelled alike")
BACKGROUND_IMAGES = Kind("image without objects", NOTE, "it is taught as background", "nothing, if it has no object")

KINDS = (
    *(LEAKED, SAME_GROUP, EMPTY_SPLIT),  # the score itself
    *(DROPPED_IMAGE, UNLABELLED_COPY, CONTRADICTION, SHARED_LABELS, ABSENT_CLASS),  # whole images and classes
    *(TWICE, REMOVED_ROW, TWO_CLASSES, UNLABELLED, OVER_EDGE, TINY),  # single boxes
    *(NO_VALIDATION, NO_TEST),  # not complete
    *(UNLABELLED_LOOK_ALIKE, TWIN_NAMES, RARE, NO_LABELS, ORPHAN, UNLISTED),  # suspicious
    *(PASSED_OVER, LOOK_ALIKE, REPEATED, COLOUR_MODES),
    *(HUGE, THIN, ONLY_TRAIN, UNUSED_CLASS, SIZES, AT_EDGE, BACKGROUND_IMAGES),  # worth knowing
)


@dataclass
class CheckReport:
    """Everything that one check found in the `splits` of a data set, worst first; `imgsz` is the training size."""

    splits: dict[str, Dataset] = field(repr=False)
    imgsz: int
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.findings.sort(key=lambda finding: KINDS.index(finding.kind))  # stable: the order of discovery within one

    @property
    def name(self) -> str:
        """The name of the data set."""
        return next(iter(self.splits.values())).name

    @property
    def errors(self) -> int:
        """How many findings cost accuracy or its measurement for certain."""
        return sum(finding.kind.level == ERROR for finding in self.findings)

    def counts(self) -> dict[str, tuple[int, int]]:
        """{split: (images, objects)} of what can be used."""
        return {
            split: (len(dataset), sum(len(dataset.target(i)) for i in range(len(dataset))))
            for split, dataset in self.splits.items()
        }

    def of(self, kind: Kind) -> list[Finding]:
        """The findings of one kind."""
        return [finding for finding in self.findings if finding.kind is kind]

    def found(self) -> list[tuple[Kind, list[Finding]]]:
        """Each kind that was found, worst first, with its findings."""
        return [(kind, cases) for kind in KINDS if (cases := self.of(kind))]

    def summary(self, examples: int = 3) -> str:
        """The ranked table for people, and below it `examples` of each kind (of notes all or none)."""
        lines = [self._opening()]
        if not self.findings:
            return f"{lines[0]} Nothing found."
        rows = [("", "found", "where", "why it hurts", "mend")]
        rows += [(*self._row(kind, cases), kind.why, kind.mend) for kind, cases in self.found()]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        for row in rows:
            lines.append(
                "  ".join(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)) + f"  {row[3]}"
            )
        lines.append("")
        for kind, cases in self.found():
            if kind.level == NOTE and len(cases) > examples:
                continue
            lines.append(f"{kind.name}: {kind.mend}")
            lines += [f"  {case}" for case in cases[:examples]]
            if len(cases) > examples:
                lines.append(f"  ... and {len(cases) - examples} more")
        return "\n".join(lines)

    __str__ = summary

    def markdown(self, pictures: dict[str, list[str]] | None = None) -> str:
        """The same as a page: the table, every case, and below each kind its `pictures` {kind name: [file]}."""
        if not self.findings:
            return f"# {self.name}\n\n{self._opening()} Nothing found.\n"
        lines = [
            f"# {self.name}",
            "",
            self._opening(),
            "",
            "| | found | where | why it hurts | mend |",
            "|---|--:|---|---|---|",
        ]
        for kind, cases in self.found():
            lines.append(f"| {' | '.join((*self._row(kind, cases), kind.why, kind.mend))} |")
        for kind, cases in self.found():
            lines += ["", f"## {kind.name}", "", f"{kind.level}: {kind.why}. Mend: {kind.mend}.", ""]
            lines += [f"![{kind.name}]({file})" for file in (pictures or {}).get(kind.name, [])]
            lines += ["", *(f"- {case}" for case in cases)]
        return "\n".join(lines) + "\n"

    def as_dict(self) -> dict:
        """Plain values for a JSON file: the counts, and every finding with its level and its twin's file."""
        cases = []
        for finding in self.findings:
            case = {name: value for name, value in asdict(finding).items() if name not in ("kind", "place")}
            if finding.twin is not None:
                split, index = finding.twin
                case["twin"] = {"split": split, "file": self.splits[split].keys[index]}
            cases.append({"kind": finding.kind.name, "level": finding.kind.level, **case})
        splits = {split: {"images": images, "objects": objects} for split, (images, objects) in self.counts().items()}
        kinds = [{**asdict(kind), "found": len(found)} for kind, found in self.found()]
        return {"name": self.name, "imgsz": self.imgsz, "splits": splits, "kinds": kinds, "findings": cases}

    def _opening(self) -> str:
        counts = self.counts().items()
        splits = "; ".join(f"{split} {images} images, {objects} objects" for split, (images, objects) in counts)
        return f"{self.name}: {splits}."

    def _row(self, kind: Kind, cases: list[Finding]) -> tuple[str, str, str]:
        splits = Counter(
            f"{case.split}-{case.twin[0]}" if case.twin and case.twin[0] not in case.split.split("-") else case.split
            for case in cases
        )
        where = ", ".join(f"{split} {count}" if len(splits) > 1 else split for split, count in splits.items())
        return f"{kind.level}: {kind.name}", str(len(cases)), where
