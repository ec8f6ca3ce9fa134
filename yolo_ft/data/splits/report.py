"""How well the parts of a split represent the whole, and whether they leak into each other. Lesson 06."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from yolo_ft.data.dataset import Dataset

ALL, BACKGROUND = "(all)", "(background)"
GIVEN = "given values"  # what groups are called that came as a label per image
NAMED = 3  # names that one line of the report gives


@dataclass(frozen=True, repr=False)
class SplitReport:
    """What `Split.report` returns; printing it gives a few lines.

    `table`: a row per class, one for images without an object and one for all, with the columns images and boxes of the
    whole, then for every split the share of these images and boxes that it holds, and `deviation`, the largest distance
    of any of the row's shares from the split's share of all images. `missing`: {split: classes that no image of it
    shows, though others do}. `leaks`: a row per group that several splits share, with its images in each; `by` says
    what groups were looked at, None if none. `how`: how the split was made.
    """

    table: pd.DataFrame
    missing: dict[str, list[str]]
    leaks: pd.DataFrame
    by: str | None
    how: str

    @property
    def worst(self) -> float:
        """The largest deviation of a class common enough for an image in every split (0..1; NaN if there is none)."""
        return float(self._judged["deviation"].max())

    @property
    def _judged(self) -> pd.DataFrame:
        smallest = min(self.table.loc[ALL, f"{split} images"] for split in self.splits)
        enough = self.table["images"] * smallest >= 1
        return self.table[enough & (self.table.index != ALL)]

    @property
    def splits(self) -> list[str]:
        """The names of the splits."""
        return list(self.missing)

    def __str__(self) -> str:
        everything = self.table.loc[ALL]
        shares = {split: np.nan_to_num(everything[f"{split} images"]) for split in self.splits}
        parts = [
            f"{split} {round(share * everything['images']):,.0f} images ({share:.1%})"
            for split, share in shares.items()
        ]
        return "\n".join([f"{', '.join(parts)}; {self.how}.", *self._shares(shares), *self._absent(), self.leakage])

    __repr__ = __str__

    def _shares(self, wanted: dict[str, float]) -> list[str]:
        judged = self._judged
        if judged.empty:
            return ["No class has an image for every split: label more images."]
        name = judged["deviation"].idxmax()
        row = judged.loc[name]
        columns = [(split, what) for split in self.splits for what in ("images", "boxes")]
        split, what = max(columns, key=lambda column: np.nan_to_num(abs(row[" ".join(column)] - wanted[column[0]])))
        text = f"{split} holds {row[f'{split} {what}']:.1%} of the {row[what]:,.0f} {what} of {name}"
        return [f"Largest deviation {row['deviation']:.1%}: {text}, and {wanted[split]:.1%} of all images."]

    def _absent(self) -> list[str]:
        nowhere = [str(name) for name, row in self.table.iterrows() if not row["images"] and name != BACKGROUND]
        lines = [f"No image at all shows {_names(nowhere)}: label some, or remove the class."] if nowhere else []
        for split, names in self.missing.items():
            if names:
                mend = "nothing can be learned about it" if split == "train" else "its accuracy is not measured"
                counts = [f"{name} ({self.table.loc[name, 'images']:.0f} images)" for name in names]
                lines.append(f"Not in {split}: {_names(counts)}: {mend}. Label more images, or average over folds.")
        return lines

    @property
    def leakage(self) -> str:
        """The last sentence of the report: which groups several splits share, and the mend."""
        if self.by is None:
            return "Leakage was not looked for: name a group (video, patient, place, near-duplicates) to know."
        if self.leaks.empty:
            return f"No leakage: no group ({self.by}) is in two splits."
        names = _names([f"'{name}'" for name in self.leaks.index])
        mend = "split with these groups" if self.by == GIVEN else f"groups='{self.by}' (--group {self.by})"
        if "test" in self.leaks and self.leaks["test"].any():
            mend += ", and share the test images out anew (--test 0.1)"
        return (
            f"LEAKAGE: {len(self.leaks)} groups ({self.by}) are in several splits, so accuracy will look better than "
            f"it is: {names}. Keep them together: {mend}."
        )


def split_report(
    dataset: Dataset,
    indices: Mapping[str, np.ndarray],
    groups: Sequence[str] | None = None,
    by: str = GIVEN,
    how: str = "as given",
) -> SplitReport:
    """Compare the splits `indices` ({split: indices into `dataset`}) with all images that any of them holds.

    `groups`: a label per image of `dataset`, to look for groups that several splits share; `by`: what they are.
    """
    counts = dataset.class_counts()
    used = np.concatenate(list(indices.values())).astype(np.int64)
    whole = _totals(counts[used])
    table = pd.DataFrame(whole, columns=["images", "boxes"], index=pd.Index(_rows(dataset), name="class"))
    share = {split: len(part) / max(len(used), 1) for split, part in indices.items()}
    deviations = []
    for split, part in indices.items():
        with np.errstate(invalid="ignore"):
            shares = _totals(counts[part]) / whole  # (rows, 2), NaN where the whole has none
        table[f"{split} images"], table[f"{split} boxes"] = shares.T
        deviations.append(np.abs(shares - share[split]))
    table["deviation"] = np.fmax.reduce(np.concatenate(deviations, 1), axis=1)
    classes = table.iloc[: dataset.num_classes]
    present = classes[classes["images"] > 0]
    missing = {split: [str(name) for name in present.index[present[f"{split} images"] == 0]] for split in indices}
    return SplitReport(table, missing, _leaks(indices, groups), None if groups is None else by, how)


def _rows(dataset: Dataset) -> list[str]:
    """Class names, made unique, then the two rows that are no class."""
    names = [dataset.names[c] for c in sorted(dataset.names)]
    return [name if names.count(name) == 1 else f"{name} ({c})" for c, name in enumerate(names)] + [BACKGROUND, ALL]


def _totals(counts: np.ndarray) -> np.ndarray:
    """Images and boxes, (classes + 2, 2): of every class, of background, of all."""
    background = int((~counts.any(1)).sum())
    images = [*(counts > 0).sum(0), background, len(counts)]
    return np.array([images, [*counts.sum(0), 0, counts.sum()]]).T


def _leaks(indices: Mapping[str, np.ndarray], groups: Sequence[str] | None) -> pd.DataFrame:
    """A row per group of which several splits have an image, those with the most images first."""
    splits = [split for split, part in indices.items() for _ in part]
    labels = [groups[i] for part in indices.values() for i in part] if groups is not None else []
    table = pd.crosstab(pd.Series(labels, name="group", dtype=object), pd.Series(splits[: len(labels)], dtype=object))
    table = table.reindex(columns=list(indices), fill_value=0).rename_axis(columns=None)
    shared = table[(table > 0).sum(axis=1) > 1]
    return shared.loc[shared.sum(axis=1).sort_values(ascending=False, kind="stable").index]


def _names(names: list[str]) -> str:
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
