"""Recorded studies: runs on real data, with enough seeds and epochs to decide what no reader can decide in minutes.

`<study>/<run>/` holds config.yaml, environment.json, results.csv and summary.json, no weights and no images;
`<study>/study.json` says what the study was made with. The commands that made them are in `tests/benchmarks`.
"""

from __future__ import annotations

from pathlib import Path

from yolo_ft.core.errors import UserError

ABOUT = "study.json"


def recorded(study: str) -> Path:
    """The folder of a packaged study, for `compare`. Raises UserError when there is none of that name. Lesson 05."""
    home = Path(__file__).parent
    names = sorted(path.parent.name for path in home.glob(f"*/{ABOUT}"))
    if study not in names:
        raise UserError(f"There is no recorded study '{study}'; there is {', '.join(names) or 'none yet'}.")
    return home / study
