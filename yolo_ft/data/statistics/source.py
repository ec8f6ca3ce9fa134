"""What is known about the source: COCO as published, and the photographs that the packaged checkpoint saw. Lesson 06.

`source.json` holds numbers only, computed by `python tests/benchmarks/source_statistics.py --data …`; no
image is in it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from yolo_ft.data.statistics.distributions import Profile, profile
from yolo_ft.data.statistics.stats import ALL, Statistics

PAPER = "Lin et al. 2014, arXiv:1405.0312, section 5"
EVALUATION = "cocodataset.org/#detection-eval (areas of masks)"
# quantity: (COCO's number, where it is published, the column of `Statistics.splits` that is its counterpart).
PUBLISHED = {
    "images (COCO: train2017)": (118_000, "cocodataset.org/#download (rounded there)", "images"),
    "classes with boxes": (80, "Lin et al. 2014, arXiv:1405.0312, section 6", None),
    "objects per image": (7.7, PAPER, "per_image"),
    "classes per image": (3.5, PAPER, "classes_per_image"),
    "images with one class": (0.10, PAPER, None),
    "small objects": (0.41, EVALUATION, "small"),
    "medium objects": (0.34, EVALUATION, "medium"),
    "large objects": (0.24, EVALUATION, "large"),
}
FILE = Path(__file__).with_suffix(".json")


@dataclass(frozen=True, eq=False)
class Source:
    """What a comparison needs to know about a source: its `profile` and its row of `splits`."""

    profile: Profile
    summary: dict[str, float]

    @classmethod
    def of(cls, statistics: Statistics) -> Source:
        """Any data set as the source, for example the one that a checkpoint of your own was trained on."""
        return cls(profile(statistics), statistics.splits.loc[ALL].to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and lists, for JSON."""
        return {"profile": self.profile.to_dict(), "summary": self.summary}


def packaged_source() -> Source:
    """The photographs of COCO val2017 that the packaged checkpoint was trained on, their long side 416 pixels."""
    content = json.loads(FILE.read_text(encoding="utf-8"))
    return Source(Profile(**content["profile"]), content["summary"])


def beside_coco(statistics: Statistics) -> pd.DataFrame:
    """COCO's published numbers beside those of a data set and of the packaged source; `cited` says where from.

    Shares are of 1. Sizes are published for masks; those of boxes, which the other columns give, are larger. Yours are
    counted at original size, the source's at 640 pixels, COCO's usual size, because its copies were made smaller.
    """
    source, own = packaged_source().summary, statistics.splits.loc[ALL]
    alone = (statistics.images["classes"] == 1).mean()
    counted = {"classes with boxes": statistics.objects["label"].nunique(), "images with one class": alone}
    rows = {}
    for quantity, (value, cited, column) in PUBLISHED.items():
        mine = own[column] if column else counted[quantity]
        theirs = source.get(f"{column}_at_imgsz", source.get(column))
        rows[quantity] = {"yours": mine, "source": theirs, "coco": value, "cited": cited}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("quantity")
    return table.astype({name: float for name in ("yours", "source", "coco")})
