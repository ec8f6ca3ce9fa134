"""The author's side of the lessons: store clean outputs, and check that they still come out.

Both work on copies in an empty folder, so what an earlier reading left beside the lessons changes nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from yolo_ft.core.errors import UserError
from yolo_ft.data.files import write_text_atomic
from yolo_ft.report.notebook_process import START_TIMEOUT, own_kernel, reason

if TYPE_CHECKING:
    from nbformat import NotebookNode

CELL_TIMEOUT = 300  # seconds
SANITISER = Path("tests", "nbval_sanitize.cfg")
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}


def refresh(path: Path) -> float:
    """Run a lesson from an empty folder and store it with its outputs; returns the seconds it took.

    Stored is only what a second refresh would store too: no times, versions, widget states or random ids. A lesson
    that fails stays as it was; UserError names the cell.
    """
    client_class = own_kernel()
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellControlSignal, DeadKernelError

    notebook = nbformat.read(path, as_version=4)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=CELL_TIMEOUT,
            startup_timeout=START_TIMEOUT,
            kernel_manager_class=client_class,
            resources={"metadata": {"path": folder}},
            record_timing=False,
            coalesce_streams=True,
        )
        try:
            client.execute(env=_environment(), stderr=subprocess.DEVNULL)  # a kernel logs on every start
        except (CellControlSignal, DeadKernelError) as error:
            raise UserError(f"{path.name} was not refreshed: {reason(error, CELL_TIMEOUT)}") from None
    write_text_atomic(path, nbformat.writes(clean(notebook)).rstrip("\n") + "\n")
    return time.monotonic() - start


def clean(notebook: NotebookNode) -> NotebookNode:
    """The notebook without what differs between two runs, machines or Python versions; changes it in place."""
    notebook.metadata = METADATA
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells):
        if "id" not in cell or cell["id"] is None:
            cell["id"] = f"cell-{number:02d}"
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET_VIEW, None)
    return notebook


def check(lessons: Sequence[Path], jobs: int = 1) -> int:
    """Run lessons and compare every output with the stored one (strict nbval); returns pytest's exit code.

    Lessons that share a folder with a `conftest.py` are guarded by it. UserError outside a clone of the repository,
    because that is where the sanitiser and the settings of pytest are.
    """
    root = lessons[0].parent.parent
    if not (root / SANITISER).exists():
        raise UserError(
            f"There is no {SANITISER.as_posix()} beside the lessons: check them in a clone of the repository."
        )
    with tempfile.TemporaryDirectory() as folder:
        guard = lessons[0].parent / "conftest.py"
        if guard.exists():
            shutil.copy(guard, folder)
        for lesson in lessons:  # one folder each, because a lesson leaves its runs where it stands
            Path(folder, lesson.stem).mkdir()
            shutil.copy(lesson, Path(folder, lesson.stem))
        command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env"]
        command += [f"--nbval-sanitize-with={root / SANITISER}", f"--nbval-cell-timeout={CELL_TIMEOUT}"]
        command += ["-c", str(root / "pyproject.toml"), f"--rootdir={folder}", "-p", "no:cacheprovider"]
        command += ["-n", str(jobs), "--dist", "loadfile"] if jobs > 1 else []
        folders = [lesson.stem for lesson in lessons]
        return subprocess.run([*command, *folders], cwd=folder, env=_environment(), check=False).returncode


def _environment() -> dict[str, str]:
    """The environment without MPLBACKEND: a backend chosen for scripts would make the figures vanish."""
    return {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
