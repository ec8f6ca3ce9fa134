"""How far a data set lies from the source of the weights, and what that might mean for training. Lesson 06.

The suggestions are hypotheses: rules of thumb of guides and papers, applied to measured distances. Each says what tests
it. The limits below are conventions, as is the mean that they are applied to.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from yolo_ft.data.augmentation.diversity import Diversity
from yolo_ft.data.statistics.distributions import LAYOUT, LOOK, distances, noise_floor, profile
from yolo_ft.data.statistics.source import Source, packaged_source
from yolo_ft.data.statistics.stats import ALL, Statistics

NEAR, FAR = 0.3, 0.6  # of a gap in 0..1
MANY_SMALL = 0.5  # share of the objects


@dataclass(frozen=True, eq=False)
class DomainGap:
    """A data set compared with a source.

    `distances`: one row per distribution: distance (0..1), noise (what 95 % of random halves of the data set itself
    stay below), beyond_noise, and the medians `yours` and `source`.
    `look` and `layout`: the mean distance (0..1) of what the pixels say and of what the boxes say, where distances
    within the noise count as 0; NaN when there are too few images to know the noise.
    `diversity`: how many clearly different images the data set is worth; the source plays no part.
    `suggestions`: setting, hypothesis, because, and what tests it.
    """

    name: str
    source: str
    distances: pd.DataFrame
    look: float
    layout: float
    diversity: Diversity
    suggestions: pd.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain lists and dicts, for JSON."""
        numbers = {"look": self.look, "layout": self.layout, "diversity": asdict(self.diversity)}
        tables = {"distances": self.distances.to_dict("index"), "suggestions": self.suggestions.to_dict("records")}
        return {"name": self.name, "source": self.source, **numbers, **tables}

    def sentence(self) -> str:
        """The gap in one sentence."""
        if not np.isfinite(self.look):
            return f"{self.name} has too few images to tell a gap from chance."
        far = self.distances[self.distances["beyond_noise"]]
        names = ", ".join(far.sort_values("distance", ascending=False).index[:3])
        most = f", most of all: {names}" if names else ""
        return (
            f"{self.name} lies {self.look:.2f} from {self.source} in look and {self.layout:.2f} in layout (0 the same, "
            f"1 nothing shared); {len(far)} of {len(self.distances)} distributions differ by more than chance{most}."
        )

    def __str__(self) -> str:
        table = self.distances.to_string(float_format="{:.2f}".format)
        ideas = [
            f"  {row.setting}: {row.hypothesis}\n    because {row.because}\n    tested by {row.tested_by}"
            for row in self.suggestions.itertuples()
        ]
        ideas = ["Hypotheses, not facts, and what tests each:", *ideas] if ideas else []
        return "\n".join([self.sentence(), "", table, "", *ideas])


def compare_with_source(statistics: Statistics, source: Statistics | None = None) -> DomainGap:
    """The domain gap between a data set and a source, by default what the packaged checkpoint saw. Lesson 06.

    Another `source` is the statistics of the set that your own weights come from.
    """
    origin = packaged_source() if source is None else Source.of(source)
    table = distances(profile(statistics), origin.profile)
    table = table.rename(columns={"median": "yours", "other_median": "source"})
    floor = noise_floor(statistics)
    noise = floor[floor["images"] == floor["images"].max()].set_index("distribution")["high"]
    table.insert(1, "noise", noise.reindex(table.index).astype(float))
    table.insert(2, "beyond_noise", table["distance"] > table["noise"])
    look, layout = gap(table.loc[list(LOOK)]), gap(table.loc[list(LAYOUT)])
    ideas = suggestions(look, statistics.diversity, statistics.splits.loc[ALL, "small_at_imgsz"])
    return DomainGap(statistics.name, origin.profile.name, table, look, layout, statistics.diversity, ideas)


def gap(table: pd.DataFrame) -> float:
    """The mean distance of these distributions; one within the noise counts as 0, one without values not at all."""
    known = table.dropna(subset=["distance", "noise"])
    return float(known["distance"].where(known["beyond_noise"], 0.0).mean())


def suggestions(look: float, diversity: Diversity, small: float) -> pd.DataFrame:
    """What the gap suggests, as hypotheses: freeze depth and rate by `look`, the image size by `small`, the share of
    small objects at imgsz; and the augmentation to try first, which did not turn out to depend on `diversity`. What is
    not known (NaN, below two images) suggests nothing.

    One row per setting: setting, hypothesis, because, tested_by.
    """
    rows: list[tuple[str, str, str, str]] = []
    if np.isfinite(look):
        rows += _by_look(look)
    if diversity.compared > 1:
        because = (
            "no other preset was reliably better on any set recorded, whatever its diversity "
            f"(your images are worth {diversity.effective:.1f} different ones)"
        )
        rows.append(("augmentation", 'hyp="light" is the preset to try first', because, "claim A1, lesson 09"))
    if small > MANY_SMALL:
        because = f"{100 * small:.0f} % of the objects are smaller than 32 x 32 pixels at imgsz"
        rows.append(("imgsz", "a larger one, or tiles, helps", because, "two runs of your own"))
    return pd.DataFrame(rows, columns=["setting", "hypothesis", "because", "tested_by"])


def _by_look(look: float) -> list[tuple[str, str, str, str]]:
    """Freeze depth and rate. Deep features transfer the worse the farther the target (Yosinski et al. 2014,
    arXiv:1411.1792); against it, Lee et al. 2023 (arXiv:2210.11466) train the first block when the input changed."""
    if look < NEAR:
        because = f"the images look like the source's ({look:.2f} < {NEAR})"
        freeze = "freeze=10, the whole backbone, costs little"
        rate = "a rate 5-10 times below the default is enough"
    elif look <= FAR:
        because = f"the images look partly like the source's ({NEAR} ≤ {look:.2f} ≤ {FAR})"
        freeze, rate = (
            "freeze=5, the first half of the backbone, costs little",
            "a rate 2-5 times below the default is enough",
        )
    else:
        because = f"the images look unlike the source's ({look:.2f} > {FAR})"
        freeze = "freeze=3 or nothing: only the earliest features fit (Lee et al. 2023: train above all the first ones)"
        rate = "the default rate: there is less to preserve"
    planned = "lesson {} (planned); until then, two runs of your own"
    return [("freeze", freeze, because, planned.format("12")), ("lr0", rate, because, planned.format("07"))]
