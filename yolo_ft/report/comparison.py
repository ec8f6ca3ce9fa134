"""Compare runs: a table, differences paired by seed, a figure, and one sentence that reads them. Lesson 05."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from yolo_ft.core.errors import UserError
from yolo_ft.finetune.comparison import (
    COST_NOTE,
    MEASURED,
    SEEDS_FOR_A_CLAIM,
    find_runs,
    paired_interval,
    read_run,
    read_runs,
)
from yolo_ft.finetune.runs import Run
from yolo_ft.report.comparison_plots import METRICS, plot_comparison

LOW, HIGH = "95 % low", "95 % high"
COSTS = {"train_seconds": "training time", "peak_memory_mb": "peak memory"}


def compare(runs: Run | str | Path | Iterable[Run | str | Path]) -> Comparison:
    """Compare finished runs: `Run` objects, run folders, folders that contain run folders, or patterns.

    Only the folders are read, so the runs may come from anywhere. Runs that are not finished are skipped and runs
    that should not be compared are named, each in a warning. Raises UserError when nothing is left. Lesson 05.
    """
    table, notes = read_runs(find_runs(runs))
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return Comparison(table, tuple(notes))


class Comparison:
    """Runs side by side.

    `table`: DataFrame, one row per run. map50 and map50_95 are those of the best epoch, final_* those of the last;
    frozen_share is a share of 1. `notes`: sentences about what was skipped and what should not be compared.
    """

    def __init__(self, table: pd.DataFrame, notes: Sequence[str] = ()) -> None:
        self.table = table
        self.notes = tuple(notes)

    @property
    def arms(self) -> pd.DataFrame:
        """One row per arm, the least frozen first: its number of seeds, the best map50_95 of each, means of the rest.

        It shows no spread on purpose: between arms only differences paired by seed mean something (`paired`).
        """
        groups = self.table.groupby("arm", sort=False)
        arms = pd.DataFrame({"seeds": groups["seed"].nunique()})
        arms["map50_95_each"] = [tuple(self._by_seed(arm, "map50_95").round(4)) for arm in arms.index]
        return arms.join(groups[list(MEASURED)].mean())

    @property
    def baseline(self) -> str:
        """The arm that others are measured against unless told: the first, which has the least frozen."""
        return str(self.table["arm"].iloc[0])

    def paired(self, baseline: str | None = None, metric: str = "map50_95") -> pd.DataFrame:
        """Each other arm minus `baseline` (its name, or a part that only it has), paired by seed.

        One row per arm: the number of common seeds, and the difference of every seed. From five common seeds on also
        the mean difference and its 95 % interval (Student's t); with fewer these are NaN, because they would claim
        more than the seeds can carry, and the columns are absent when no arm has five. Lesson 05.
        """
        baseline = self._arm(baseline)
        reference = self._by_seed(baseline, metric)
        rows = {}
        for arm in self.arms.index.drop(baseline):
            differences = (self._by_seed(arm, metric) - reference).dropna()
            row = {"seeds": len(differences)}
            row |= {f"seed {seed}": difference for seed, difference in differences.items()}
            if len(differences) >= SEEDS_FOR_A_CLAIM:
                row |= dict(zip(("mean", LOW, HIGH), paired_interval(differences.tolist()), strict=True))
            rows[arm] = row
        frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("arm")
        seeds = [f"seed {seed}" for seed in sorted(self.table["seed"].unique())]
        order = ["seeds", *seeds, "mean", LOW, HIGH]
        return frame[[column for column in order if column in frame.columns]]

    def plot(
        self,
        x: str | Sequence[str] = ("train_seconds", "peak_memory_mb"),
        metric: str = "map50_95",
        star: Run | str | Path | None = None,
    ) -> Figure:
        """Accuracy against cost, one panel per column of `table` in `x`, one dot per run; `star` marks another run."""
        columns = [x] if isinstance(x, str) else list(x)
        for column in (*columns, metric):
            self._check_metric(column)
        own = None if star is None else read_run(star if isinstance(star, Run) else Run(star))
        return plot_comparison(self.table, columns, metric, own)

    def sentence(self, baseline: str | None = None, metric: str = "map50_95") -> str:
        """What the comparison says, in one sentence made from its numbers; no claim with fewer than five seeds."""
        baseline = self._arm(baseline)
        name = METRICS.get(metric, metric)
        if len(self.arms) == 1:
            values = self._by_seed(baseline, metric)
            seeds = f"{len(values)} seed{'s' * (len(values) != 1)}"
            return f"{name} of {baseline}, {seeds}: {', '.join(f'{value:.3f}' for value in values)}."
        paired = self.paired(baseline, metric)
        told = [f"{arm} {self._difference(row)}{self._cost(arm, baseline)}" for arm, row in paired.iterrows()]
        return f"{name} against {baseline}, paired by seed: {'; '.join(told)}."

    def to_csv(self, path: str | Path) -> None:
        """Write `table` as UTF-8 CSV."""
        self.table.to_csv(path, index=False, encoding="utf-8", lineterminator="\n")

    def __repr__(self) -> str:
        return "\n".join([self.sentence(), *self.notes])

    def _repr_html_(self) -> str:
        table = self.arms.to_html(float_format="{:.4g}".format)
        return "".join([table, *(f"<p>{escape(text)}</p>" for text in (self.sentence(), *self.notes))])

    def _difference(self, row: pd.Series) -> str:
        """One row of `paired` in words."""
        if row["seeds"] == 0:
            return "shares no seed with it"
        if row["seeds"] >= SEEDS_FOR_A_CLAIM:
            return f"{row['mean']:+.3f} (95 % interval {row[LOW]:+.3f} to {row[HIGH]:+.3f}, {row['seeds']:.0f} seeds)"
        each = [f"{value:+.3f}" for name, value in row.items() if name.startswith("seed ") and value == value]
        return f"{', '.join(each)} ({len(each)} of the {SEEDS_FOR_A_CLAIM} seeds that a claim needs)"

    def _cost(self, arm: str, baseline: str) -> str:
        """An arm's mean training time and peak memory as multiples of the baseline's; empty where not comparable."""
        if any(note.startswith(COST_NOTE) for note in self.notes):
            return ""
        arms = self.arms
        ratios = {name: arms.loc[arm, column] / arms.loc[baseline, column] for column, name in COSTS.items()}
        told = [f"{ratio:.2f} × its {name}" for name, ratio in ratios.items() if math.isfinite(ratio)]
        return f" at {' and '.join(told)}" if told else ""

    def _by_seed(self, arm: str, metric: str) -> pd.Series:
        """One value per seed of an arm, in order of the seeds; runs that repeat a seed are averaged."""
        self._check_metric(metric)
        rows = self.table[self.table["arm"] == arm]
        return rows.groupby("seed")[metric].mean()

    def _check_metric(self, metric: str) -> None:
        if metric not in MEASURED:
            raise UserError(f"There is no column '{metric}' to compare; choose one of {', '.join(MEASURED)}.")

    def _arm(self, name: str | None) -> str:
        """The arm that `name` means: its full label, or a part that only one arm has."""
        if name is None:
            return self.baseline
        arms = list(self.arms.index)
        matches = [name] if name in arms else [arm for arm in arms if name in arm]
        if len(matches) != 1:
            raise UserError(f"'{name}' names {len(matches)} arms; choose one of: {'; '.join(arms)}.")
        return matches[0]
