"""Recorded studies: runs on real data, with enough seeds and epochs to decide what no reader can decide in minutes.

`<study>/<run>/` holds config.yaml, environment.json, results.csv and summary.json, no weights and no images; a grid of
many small runs is one table instead, `<study>/rows.csv`. `<study>/study.json` says what the study was made with. The
commands that made them are in `tests/benchmarks`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from yolo_ft.core.errors import UserError

ABOUT, ROWS = "study.json", "rows.csv"


def recorded(study: str) -> Path:
    """The folder of a packaged study, for `compare`. Raises UserError when there is none of that name. Lesson 05."""
    home = Path(__file__).parent
    names = sorted(path.parent.name for path in home.glob(f"*/{ABOUT}"))
    if study not in names:
        raise UserError(f"There is no recorded study '{study}'; there is {', '.join(names) or 'none yet'}.")
    return home / study


def recorded_rows(study: str) -> pd.DataFrame:
    """The table of a packaged grid, one row per run: what was trained, its seed, mAP, seconds. Lessons 05, 06, 09.

    Raises UserError when there is no study of that name, or none with a table.
    """
    path = recorded(study) / ROWS
    if not path.is_file():
        raise UserError(f"The study '{study}' has run folders instead of a table: compare(recorded('{study}')).")
    return pd.read_csv(path)
