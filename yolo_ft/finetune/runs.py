"""A run is a folder: configuration, environment, one row of results per epoch, summary, weights.

Whatever happens to the process, every file in it is either the old one or the new one. Lesson 03 opens one.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from yolo_ft.core.errors import UserError
from yolo_ft.core.signposts import Signposts
from yolo_ft.data.files import plain, write_json_atomic, write_text_atomic, write_yaml_atomic

CONFIG, ENVIRONMENT, RESULTS, SUMMARY = "config.yaml", "environment.json", "results.csv", "summary.json"
WEIGHTS = ("best", "last")
RESULT_COLUMNS = (
    "epoch",
    "phase",
    "seconds",
    "images_per_s",
    "waiting",
    "lr",
    "loss",
    "box",
    "obj",
    "cls",
    "map50",
    "map50_95",
    "precision",
    "recall",
    "val_seconds",
)
FORBIDDEN = '<>:"|?*\\/'  # what Windows forbids in a name: a run folder must travel


def new_run_folder(project: str | Path, name: str) -> Path:
    """Make and return the folder `project/name`; where that exists, `name-2`, `name-3`, … Nothing is overwritten.

    Safe when several processes ask for the same name. Raises UserError for a name that is no folder name, and when the
    folder cannot be made.
    """
    if not name.strip(" .") or name != name.strip() or any(c in FORBIDDEN or ord(c) < 32 for c in name):
        raise UserError(f"{name!r} cannot name a run folder: use letters, digits, spaces, '-', '_' and '.'.")
    number = 1
    while True:
        path = Path(project) / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            if not path.exists():  # a file stands where the project folder should be
                raise UserError(f"{Path(project)} is not a folder; choose another project folder.") from None
            number += 1
        except OSError as error:
            raise UserError(f"The run folder {path} cannot be made ({error.strerror}); choose another.") from None


class Run(Signposts):
    """A run folder, read when asked, so a run that still trains shows its latest state.

    `Run(path)` opens an existing folder (UserError where there is none); `Run.create(project, name)` makes a new one.
    """

    elsewhere = {
        "save_dir": "path is the run's folder",
        "results_dict": "summary has the metrics of the best and of the last epoch",
        "box": "summary['best'] has map50, map50_95, precision and recall",
        "maps": "summary['best']['per_class'] has them",
        "best": "weights('best') is the file, summary['best'] its metrics",
    }

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise UserError(f"There is no run folder {self.path}; give the folder that training printed.")

    @classmethod
    def create(cls, project: str | Path, name: str) -> Run:
        """A run in a new folder below `project` (see `new_run_folder`), with an empty `weights` folder."""
        path = new_run_folder(project, name)
        (path / "weights").mkdir()
        return cls(path)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @property
    def config(self) -> dict:
        """`config.yaml`: every hyper-parameter, and what was resolved for the machine."""
        try:
            return _mapping(self.path / CONFIG, yaml.safe_load(self._text(CONFIG)))
        except yaml.YAMLError:
            raise UserError(f"{self.path / CONFIG} is no valid YAML; copy the run folder again.") from None

    @property
    def environment(self) -> dict:
        """`environment.json`: versions, processor, device, git commit, data hash."""
        return self._json(ENVIRONMENT)

    @property
    def summary(self) -> dict:
        """`summary.json`: best and final metrics per class, seconds, images/s, memory; written when training ends."""
        return self._json(SUMMARY)

    @property
    def history(self) -> pd.DataFrame:
        """`results.csv`, one row per epoch; metrics are NaN for epochs without validation. Empty before the first."""
        rows = self._rows()
        columns = list(rows[0]) if rows else RESULT_COLUMNS
        return pd.DataFrame({column: [_value(row[column]) for row in rows] for column in columns})

    def weights(self, which: str = "best") -> Path:
        """The path of `weights/best.pt` or `weights/last.pt`; the file is missing in recorded runs."""
        if which not in WEIGHTS:
            raise UserError(f"There are no {which!r} weights: choose 'best' or 'last'.")
        return self.path / "weights" / f"{which}.pt"

    def write_config(self, values: Mapping[str, Any]) -> None:
        """Write `config.yaml`."""
        write_yaml_atomic(self.path / CONFIG, values)

    def write_environment(self, values: Mapping[str, Any]) -> None:
        """Write `environment.json` (see `machine.environment`)."""
        write_json_atomic(self.path / ENVIRONMENT, values)

    def write_summary(self, values: Mapping[str, Any]) -> None:
        """Write `summary.json`."""
        write_json_atomic(self.path / SUMMARY, values)

    def append_result(self, row: Mapping[str, Any]) -> None:
        """Add one epoch to `results.csv`.

        `row` needs `epoch`; what it leaves out of `RESULT_COLUMNS`, None and NaN become empty cells, further keys
        further columns. Rows of this epoch and later ones, left over from before a resume, are dropped.
        """
        rows = [old for old in self._rows() if int(old["epoch"]) < int(row["epoch"])]
        rows.append({key: _cell(value) for key, value in row.items()})
        columns = list(dict.fromkeys([*RESULT_COLUMNS, *(key for each in rows for key in each)]))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text_atomic(self.path / RESULTS, text.getvalue())

    def __repr__(self) -> str:
        return f"Run({self.path.as_posix()!r}): {self._state()}"

    def _repr_html_(self) -> str:
        return f"<b>Run</b> <code>{escape(self.path.as_posix())}</code>: {escape(self._state())}"

    def _state(self) -> str:
        """How far the run is, in a few words."""
        if not (self.path / SUMMARY).exists():
            return f"{len(self._rows())} epochs so far"
        summary = self.summary
        best = summary.get("best") or {}
        scores = [f"{label} {best[key]:.3f}" for key, label in _SHOWN if isinstance(best.get(key), float)]
        text = f"{summary.get('epochs', '?')} epochs"
        return f"{text}, best {', '.join(scores)} in epoch {best['epoch'] + 1}" if scores else text

    def _rows(self) -> list[dict[str, str]]:
        """The cells of `results.csv` as they are written, so that rewriting the file keeps every digit."""
        if not (self.path / RESULTS).exists():
            return []
        return list(csv.DictReader(io.StringIO(self._text(RESULTS))))

    def _json(self, name: str) -> dict:
        try:
            return _mapping(self.path / name, json.loads(self._text(name)))
        except json.JSONDecodeError:
            raise UserError(f"{self.path / name} is no valid JSON; copy the run folder again.") from None

    def _text(self, name: str) -> str:
        path = self.path / name
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise UserError(f"{self.path} has no {name}; is it a finished run?") from None
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path} cannot be read ({error}); copy the run folder again.") from None


_SHOWN = (("map50", "mAP50"), ("map50_95", "mAP50-95"))


def _mapping(path: Path, value: Any) -> dict:
    """`value` if it is a mapping; a run file that holds something else is broken."""
    if not isinstance(value, dict):
        raise UserError(f"{path} does not hold names and values; copy the run folder again.")
    return value


def _cell(value: Any) -> str:
    """One value as `results.csv` keeps it: the shortest text that reads back as the same number; empty for none."""
    value = plain(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value)


def _value(cell: str) -> Any:
    """One cell of `results.csv` as the number that was written, to the last digit; NaN where it is empty."""
    for kind in (int, float):
        try:
            return kind(cell or "nan")
        except ValueError:
            continue
    return cell
