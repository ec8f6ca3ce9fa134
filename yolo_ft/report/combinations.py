"""What a batch of lessons is made of: which lessons, which values of their parameters, which folder for each.

Everything that can be wrong with a request is found here, before anything runs.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yolo_ft.core.errors import UserError
from yolo_ft.core.version import VERSION
from yolo_ft.data.files import write_json_atomic
from yolo_ft.report.notebook_process import RECORD
from yolo_ft.report.parameters import Parameter, read_parameters, unknown_parameter

LESSON = re.compile(r"\d\d_\w+\.ipynb")
LABEL_LENGTH = 80  # Windows allows 260 characters for a whole path


@dataclass
class Combination:
    """One lesson with one choice of parameters: its folder and, once it ran, how it ended."""

    notebook: Path
    parameters: dict[str, Any]
    folder: Path
    key: str
    state: str = "waiting"  # then running, and finished or failed
    error: str = ""
    seconds: float = 0.0
    results: list[dict[str, Any]] = field(default_factory=list)

    def __str__(self) -> str:
        return " ".join([self.notebook.stem, *(f"{name}={value}" for name, value in self.parameters.items())])

    @property
    def executed(self) -> Path:
        """The executed copy of the lesson; absent when it could not even start."""
        return self.folder / self.notebook.name

    def recall(self) -> None:
        """Take over what the folder records, if it came from the same code, parameters and package version."""
        try:
            record = json.loads((self.folder / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return
        if record["key"] == self.key and record["state"] in ("finished", "failed"):
            for name in ("state", "error", "seconds", "results"):
                setattr(self, name, record[name])

    def refuse_foreign_files(self) -> None:
        """Raise UserError where the folder holds files that no earlier run put there: running would delete them."""
        if self.folder.exists() and any(self.folder.iterdir()) and not (self.folder / RECORD).exists():
            raise UserError(f"{self.folder} holds files of yours; give another folder with --out.")

    def prepare(self, timeout: float | None) -> None:
        """An empty folder with the record that the process reads."""
        self.refuse_foreign_files()
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        self.record("running", timeout=timeout)

    def record(self, state: str, error: str = "", seconds: float = 0.0, timeout: float | None = None) -> None:
        """Take a new state and store it in the folder."""
        self.state, self.error, self.seconds, self.results = state, error, round(seconds, 1), []
        names = ("notebook", "parameters", "key", "state", "error", "seconds", "results")
        write_json_atomic(self.folder / RECORD, {name: getattr(self, name) for name in names} | {"timeout": timeout})


def find_lessons(folder: str | Path = "notebooks", chosen: Sequence[str] = ()) -> list[Path]:
    """The numbered notebooks of `folder`, or those `chosen` by number ("05"), name or path; absolute paths.

    Raises UserError for a choice that does not exist and for a folder without lessons.
    """
    lessons = {
        path.name: path.resolve() for path in sorted(Path(folder).glob("*.ipynb")) if LESSON.fullmatch(path.name)
    }
    if not lessons and not chosen:
        raise UserError(f"There are no lessons in {folder}; run this in a clone of the repository, or give --dir.")
    found: dict[Path, None] = {} if chosen else dict.fromkeys(lessons.values())
    for choice in chosen:
        matches = [path for name, path in lessons.items() if choice.zfill(2) == name[:2] or choice in (name, path.stem)]
        if not matches and choice.endswith(".ipynb") and Path(choice).is_file():
            matches = [Path(choice).resolve()]
        if not matches:
            raise UserError(f"There is no lesson {choice} in {folder}; there are {', '.join(lessons) or 'none'}.")
        found |= dict.fromkeys(matches)
    return list(found)


def plan_combinations(
    lessons: Sequence[Path], parameters: Mapping[str, Any], grid: Mapping[str, Sequence[Any]], out: str | Path
) -> list[Combination]:
    """Every lesson with every combination of the grid's values, each lesson with those parameters that it declares.

    Values may be text, as a shell gives them, or Python values. Raises UserError for a name that none of the lessons
    declares, for a name in both `parameters` and `grid`, and for a value that does not fit the declared type.
    """
    import nbformat

    if twice := [name for name in parameters if name in grid]:
        raise UserError(f"The parameter {twice[0]} is given twice: use either -p or --grid for it.")
    notebooks = {path: nbformat.read(path, as_version=4) for path in lessons}
    declared = {path: read_parameters(notebook) for path, notebook in notebooks.items()}
    choices = {**{name: [value] for name, value in parameters.items()}, **grid}
    known = sorted({name for names in declared.values() for name in names})
    for name in choices:
        if name not in known:
            raise unknown_parameter(name, known)
    combinations = []
    for path in lessons:
        axes = {name: _values(declared[path][name], choices[name]) for name in choices if name in declared[path]}
        for values in itertools.product(*axes.values()):
            chosen = dict(zip(axes, values, strict=True))
            folder = Path(out).resolve() / path.stem / _label(chosen)
            combinations.append(Combination(path, chosen, folder, _key(notebooks[path], chosen)))
    return combinations


def _values(parameter: Parameter, choices: Sequence[Any]) -> list[Any]:
    """The choices as the parameter's type, each once."""
    values: list[Any] = []
    for choice in choices:
        value = _absolute(parameter.convert(choice))
        if value not in values:
            values.append(value)
    return values


def _absolute(value: Any) -> Any:
    """A path that exists made absolute: it is given relative to where the user stands, but a lesson runs elsewhere."""
    if isinstance(value, list):
        return [_absolute(item) for item in value]
    is_path = isinstance(value, str) and ("/" in value or os.sep in value) and Path(value).exists()
    return str(Path(value).resolve()) if is_path else value


def _label(parameters: Mapping[str, Any]) -> str:
    """A folder name for a choice of parameters: readable, with a hash where the readable part may not tell all."""
    exact = ",".join(f"{name}={value}" for name, value in parameters.items())
    parts = [f"{name}={Path(v).name if isinstance(v, str) else v}" for name, v in parameters.items()]
    label = re.sub(r"[^\w.=+,-]+", "_", ",".join(parts))[:LABEL_LENGTH].strip("_. ")
    return label if label == exact and label else f"{label}-{_digest(exact)[:6]}" if exact else "default"


def _key(notebook: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    """What a result depends on, as far as files tell: the code of the lesson, its parameters, the package's version."""
    code = [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return _digest(json.dumps([code, dict(parameters), VERSION], sort_keys=True))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
