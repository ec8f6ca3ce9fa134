"""One lesson in one process: started by the runner as `python -m yolo_ft.report.notebook_process FOLDER`.

A folder holds `combination.json` (what to run, and what came of it), the executed copy of the lesson, `log.txt` and
whatever the lesson writes, because it is the lesson's working directory.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from yolo_ft.core.errors import UserError
from yolo_ft.data.files import write_json_atomic

RECORD, LOG, PARTIAL = "combination.json", "log.txt", "unfinished.ipynb"
RESULT_TYPE = "application/vnd.yolo_ft.result+json"
START_TIMEOUT = 120  # seconds for a kernel to answer on a busy machine


def own_kernel() -> type:
    """A kernel manager class whose kernel is this interpreter, whatever kernelspecs the machine has under that name."""
    try:
        from jupyter_client.kernelspec import KernelSpec
        from jupyter_client.manager import AsyncKernelManager
    except ImportError:
        raise UserError('Running lessons needs the notebook tools: pip install "yolo_ft[notebooks]".') from None

    class OwnKernel(AsyncKernelManager):
        """A kernel manager whose kernel is this Python, whatever kernels are installed."""

        @property
        def kernel_spec(self) -> KernelSpec:
            command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            return KernelSpec(argv=command, display_name="Python 3", language="python")

    return OwnKernel


def results_of(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The results that an executed notebook displayed (`display({RESULT_TYPE: {...}}, raw=True)`), in order."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return [dict(output["data"][RESULT_TYPE]) for output in outputs if RESULT_TYPE in output.get("data", {})]


def execute(folder: Path) -> None:
    """Run the combination that `folder/combination.json` describes and record how it ended; the error is not raised."""
    import nbformat
    import papermill

    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    source, timeout = Path(record["notebook"]), record["timeout"]
    start = time.monotonic()

    def seconds_left(cell: Any) -> int | None:
        return max(1, int(timeout - (time.monotonic() - start))) if timeout else None

    state, error = "finished", ""
    try:
        papermill.execute_notebook(
            nbformat.read(source, as_version=4),
            str(folder / PARTIAL).replace("{", "{{").replace("}", "}}"),  # papermill fills in braces
            record["parameters"],
            kernel_name="python3",
            language="python",
            progress_bar=False,
            cwd=folder,
            start_timeout=START_TIMEOUT,
            timeout_func=seconds_left,
            shutdown_kernel="immediate",
            kernel_manager_class=own_kernel(),
        )
    except Exception as failure:  # a timeout and a dead kernel are no papermill errors
        state, error = "failed", reason(failure, timeout)
        print(f"{type(failure).__name__}: {failure}", file=sys.stderr)
    results = []
    if (folder / PARTIAL).exists():
        os.replace(folder / PARTIAL, folder / source.name)
        results = results_of(nbformat.read(folder / source.name, as_version=4))
    record |= {"state": state, "error": error, "seconds": round(time.monotonic() - start, 1), "results": results}
    write_json_atomic(folder / RECORD, record)


def reason(failure: Exception, timeout: float | None) -> str:
    """One line that says why a lesson failed; errors of papermill and nbclient name the cell's own error."""
    kind = type(failure).__name__
    if kind == "CellTimeoutError":
        return f"stopped after {timeout:g} s"
    if kind == "DeadKernelError":
        return "the kernel died; it may have run out of memory"
    message = (str(getattr(failure, "evalue", failure)).strip().splitlines() or [""])[0]
    count = getattr(failure, "exec_count", None)
    return f"{f'cell [{count}]: ' if count else ''}{getattr(failure, 'ename', kind)}: {message}"


if __name__ == "__main__":
    execute(Path(sys.argv[1]))
