"""What a batch of lessons found: one tidy table of results, and for each lesson a comparison of its training runs."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from yolo_ft.core.errors import UserError
from yolo_ft.data.files import atomic_path, write_text_atomic
from yolo_ft.finetune.runs import SUMMARY
from yolo_ft.report.combinations import Combination
from yolo_ft.report.comparison import Comparison, compare
from yolo_ft.report.lessons import png

RESULTS = "results.csv"


def results_table(combinations: Sequence[Combination]) -> pd.DataFrame:
    """One row per result that a lesson displayed, or one for a lesson without: lesson, state, parameters, results.

    A lesson displays a result as `display({RESULT_TYPE: {name: value}, "text/plain": "..."}, raw=True)`. A cell is
    empty where a lesson lacks the parameter or the result.
    """
    rows = []
    for c in combinations:
        parameters = {name: str(value) if isinstance(value, list) else value for name, value in c.parameters.items()}
        about = {"lesson": c.notebook.stem, "state": c.state, "lesson_seconds": c.seconds, **parameters}
        rows += [{**about, **result} for result in c.results or [{}]]
    return pd.DataFrame(rows)


def compare_lesson(combinations: Sequence[Combination]) -> Comparison | None:
    """All training runs that one lesson made, compared; None where there are no two different ones to compare."""
    runs = [path.parent for c in combinations for path in sorted(c.folder.rglob(SUMMARY))]
    try:
        comparison = compare(runs) if len(runs) > 1 else None
    except UserError as error:  # for example runs that were never validated
        warnings.warn(str(error), stacklevel=2)
        return None
    if comparison is None or len(comparison.table[["arm", "seed"]].drop_duplicates()) < 2:
        return None
    return comparison


def write_comparison(comparison: Comparison, folder: str | Path) -> list[Path]:
    """Write `comparison.csv` and `comparison.png` into `folder`; returns the two files."""
    table, figure = Path(folder) / "comparison.csv", Path(folder) / "comparison.png"
    table.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(table) as path:
        comparison.to_csv(path)
    with atomic_path(figure) as path:
        path.write_bytes(png(comparison.plot()))
    return [table, figure]


def collect(combinations: Sequence[Combination], out: str | Path) -> dict[Path, str]:
    """Write `out/results.csv`, and per lesson the comparison of its runs; returns {file: what it says}."""
    out = Path(out)
    buffer = io.StringIO()
    results_table(combinations).to_csv(buffer, index=False, lineterminator="\n")
    write_text_atomic(out / RESULTS, buffer.getvalue())
    found = {out / RESULTS: "one row per result"}
    for lesson in dict.fromkeys(c.notebook for c in combinations):
        comparison = compare_lesson([c for c in combinations if c.notebook == lesson])
        if comparison is not None:
            table, figure = write_comparison(comparison, out / lesson.stem)
            found |= {table: comparison.sentence(), figure: "accuracy against time and memory"}
    return found
