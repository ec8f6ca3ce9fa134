"""Lessons as a batch, with tiny notebooks; kernels are started only where nothing else can show the behaviour."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pandas as pd
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from yolo_ft.cli import main
from yolo_ft.core.errors import UserError
from yolo_ft.report.combinations import find_lessons, plan_combinations
from yolo_ft.report.notebook_process import RECORD
from yolo_ft.report.notebooks import run_notebooks
from yolo_ft.report.parameters import Parameter, read_parameters, scalar, split_list
from yolo_ft.report.refresh import check, clean, refresh

PARAMETERS = """\
epochs: int = 3  # passes over the data
freeze: int | str | list[int] | None = None  # layers
lr = 1e-3
"""
RESULT = """\
import os
from pathlib import Path
from IPython.display import display
if freeze == 99:
    raise ValueError("no layer 99\\nsecond line")
Path("made_here.txt").write_text("x", encoding="utf-8")
threads = os.environ["OMP_NUM_THREADS"]
display({"application/vnd.yolo_ft.result+json": {"score": epochs * 2, "threads": threads}, "text/plain": "r"}, raw=True)
"""


def lesson(path: Path, *cells: str, parameters: str = "") -> Path:
    """A notebook file with a parameters cell (if any) and code cells."""
    nodes = [new_code_cell(parameters, metadata={"tags": ["parameters"]})] if parameters else []
    nbformat.write(new_notebook(cells=[*nodes, *map(new_code_cell, cells)]), path)
    return path


@pytest.fixture
def lessons(tmp_path: Path) -> list[Path]:
    """Two lessons: 03 has parameters, 04 has one more of its own."""
    folder = tmp_path / "lessons ü"
    folder.mkdir()
    lesson(folder / "03_train.ipynb", RESULT, parameters=PARAMETERS)
    lesson(folder / "04_read.ipynb", "print(1)", parameters="conf: float = 0.25  # smallest score\nepochs: int = 1")
    (folder / "notes.ipynb").write_text("not a lesson", encoding="utf-8")
    return find_lessons(folder)


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        ("int", "3", 3),
        ("float", "3", 3.0),
        ("float", "1e-3", 0.001),
        ("str", "10", "10"),
        ("bool", "false", False),
        ("int | None", "none", None),
        ("Optional[int]", "7", 7),
        ("int | str | None", "none", None),
        ("int | str | None", "10", 10),
        ("int | str | None", "backbone", "backbone"),
        ("str", "none", "none"),
        ("list[int]", "0,1", [0, 1]),
        ("list[int]", "[]", []),
        ("list", "[none, 10, 0.5, head]", [None, 10, 0.5, "head"]),
        ("list[int | list[int] | None]", "[[0,1],none,10]", [[0, 1], None, 10]),
        ("list[int | list[int] | None]", "[0,1],[2]", [[0, 1], [2]]),
        ("int | list[int]", "[0, 1]", [0, 1]),
        ("tuple[int, ...]", (1, 2), [1, 2]),
        ("float", 2, 2.0),
        ("int | None", None, None),
    ],
)
def test_values_from_text(annotation, text, value):
    converted = Parameter("x", annotation, None, "").convert(text)
    assert converted == value and type(converted) is type(value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [("int", "3.5"), ("int", "ten"), ("int", True), ("int", None), ("float", "fast"), ("bool", "1"), ("bool", 1)]
    + [("list[int]", "0,x"), ("str", 3), ("int | None", "none of them"), ("list", 3)],
)
def test_wrong_types_are_refused(annotation, value):
    with pytest.raises(UserError, match=r"epochs=.* has the wrong type: epochs is declared as"):
        Parameter("epochs", annotation, None, "").convert(value)


def test_split_list_and_scalar():
    assert split_list("none,10,[0,1]") == ["none", "10", "[0,1]"]
    assert [scalar(text) for text in ("none", "true", "3", "1e-3", "SGD")] == [None, True, 3, 0.001, "SGD"]


def test_read_parameters(lessons):
    assert read_parameters(new_notebook()) == {}
    found = read_parameters(nbformat.read(lessons[0], as_version=4))
    assert list(found) == ["epochs", "freeze", "lr"]
    assert found["epochs"] == Parameter("epochs", "int", 3, "passes over the data")
    assert found["freeze"].annotation == "int | str | list[int] | None" and found["freeze"].help == "layers"
    assert found["lr"].annotation == "float"


def test_find_lessons(lessons):
    assert [path.name for path in lessons] == ["03_train.ipynb", "04_read.ipynb"]
    folder = lessons[0].parent
    assert find_lessons(folder, ["4", "04_read", str(lessons[0])]) == [lessons[1], lessons[0]]
    with pytest.raises(UserError, match=r"There is no lesson 07 .*03_train\.ipynb, 04_read\.ipynb"):
        find_lessons(folder, ["07"])
    with pytest.raises(UserError, match="There are no lessons"):
        find_lessons(folder / "nowhere")


def test_plan_gives_every_lesson_what_it_declares(lessons, tmp_path):
    grid = {"freeze": ["none", "10", "0,1"], "epochs": ["1", "2"]}
    plan = plan_combinations(lessons, {"conf": "0.5"}, grid, tmp_path)
    assert [c.parameters for c in plan if c.notebook == lessons[1]] == [
        {"conf": 0.5, "epochs": 1},
        {"conf": 0.5, "epochs": 2},
    ]
    assert [c.parameters["freeze"] for c in plan[:6]] == [None, None, 10, 10, [0, 1], [0, 1]]
    assert len({c.folder for c in plan}) == len({c.key for c in plan}) == 8
    assert plan[0].folder == tmp_path / "03_train" / "freeze=None,epochs=1"
    assert plan_combinations(lessons[:1], {}, {}, tmp_path)[0].folder == tmp_path / "03_train" / "default"


def test_plan_makes_existing_paths_absolute(lessons, tmp_path, monkeypatch):
    (tmp_path / "data" / "set").mkdir(parents=True)
    (tmp_path / "head").mkdir()
    monkeypatch.chdir(tmp_path)
    freeze = [
        plan_combinations(lessons[:1], {"freeze": value}, {}, "out")[0].parameters["freeze"]
        for value in ("data/set", "data/none", "head")
    ]
    assert freeze == [str(tmp_path / "data" / "set"), "data/none", "head"]


@pytest.mark.parametrize(
    ("parameters", "grid", "message"),
    [
        ({"epoch": "1"}, {}, "No chosen lesson has a parameter 'epoch': did you mean 'epochs'?"),
        (
            {},
            {"depth": ["1"]},
            "No chosen lesson has a parameter 'depth': the chosen lessons have conf, epochs, freeze",
        ),
        ({}, {"epochs": ["1", "two"]}, "epochs='two' has the wrong type"),
        ({"epochs": 1}, {"epochs": [2]}, "The parameter epochs is given twice"),
    ],
)
def test_mistakes_are_found_before_anything_runs(lessons, tmp_path, parameters, grid, message):
    with pytest.raises(UserError) as error:
        run_notebooks(lessons, parameters, grid, tmp_path / "out")
    assert message in str(error.value)
    assert not (tmp_path / "out").exists()


def test_grid_with_a_failure_then_a_rerun(lessons, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out {x}"
    command = ["notebooks", "run", "3", "--dir", str(lessons[0].parent), "--out", str(out), "--jobs", "2"]
    command += ["-p", "epochs", "4", "--grid", "freeze=10,99"]
    monkeypatch.setenv("MPLBACKEND", "Agg")
    assert main(command) == 1
    printed = capsys.readouterr().out
    assert "1 of 2 combinations finished" in printed
    assert "failed: 03_train epochs=4 freeze=99\n    cell [3]: ValueError: no layer 99\n" in printed
    table = pd.read_csv(out / "results.csv")
    assert table["state"].tolist() == ["finished", "failed"] and table["freeze"].tolist() == [10, 99]
    assert table["score"].tolist()[0] == 8 and table["threads"].tolist()[0] >= 1
    folder = out / "03_train" / "epochs=4,freeze=10"
    assert sorted(path.name for path in folder.iterdir()) == [
        "03_train.ipynb", RECORD, "log.txt", "made_here.txt"
    ]  # fmt: skip
    assert nbformat.read(folder / "03_train.ipynb", as_version=4).cells[1].metadata.tags == ["injected-parameters"]

    made = (folder / "made_here.txt").stat().st_mtime_ns
    assert main(command) == 1  # nothing to do, and the failure is told again
    printed = capsys.readouterr().out
    assert "0 of 2 combinations to run" in printed and "1 failed before" in printed
    assert "ValueError: no layer 99" in printed
    assert (folder / "made_here.txt").stat().st_mtime_ns == made


def test_a_folder_with_other_files_is_not_emptied(lessons, tmp_path):
    combination = plan_combinations(lessons[:1], {}, {}, tmp_path)[0]
    combination.folder.mkdir(parents=True)
    (combination.folder / "thesis.txt").write_text("precious", encoding="utf-8")
    with pytest.raises(UserError, match="holds files of yours"):
        run_notebooks(lessons[:1], out=tmp_path)
    assert (combination.folder / "thesis.txt").exists()


def test_a_timeout_and_a_dead_kernel(tmp_path):
    slow = lesson(tmp_path / "01_slow.ipynb", "print('before')", "import time; time.sleep(60)")
    combination = run_notebooks([slow], out=tmp_path / "out", timeout=3)[0]
    assert (combination.state, combination.error) == ("failed", "stopped after 3 s")
    stored = nbformat.read(combination.executed, as_version=4)  # whole, with what came before the timeout
    assert stored.cells[0].outputs[0].text == "before\n"

    dead = lesson(tmp_path / "02_dead.ipynb", "import os; os._exit(9)")
    combination = run_notebooks([dead], out=tmp_path / "out")[0]
    assert (combination.state, combination.error) == ("failed", "the kernel died; it may have run out of memory")


def test_what_runs_again(lessons, tmp_path, monkeypatch):
    """Finished: never; failed: when asked; interrupted or changed: always."""
    started = []

    class Process:
        def __init__(self, combination, jobs, timeout):
            self.combination, self.elapsed = combination, 0.0
            combination.prepare(timeout)
            started.append(combination.parameters["freeze"])

        def has_ended(self):
            endings = {0: "finished", 1: "failed", 2: "running"}
            self.combination.record(endings[self.combination.parameters["freeze"]], seconds=1)
            return True

    monkeypatch.setattr("yolo_ft.report.notebooks._Process", Process)
    for retry, expected in ((False, [0, 1, 2]), (False, [2]), (True, [1, 2])):
        run_notebooks(lessons[:1], {}, {"freeze": [0, 1, 2]}, tmp_path / "out", retry_failed=retry)
        assert started == expected
        started.clear()
    lesson(lessons[0], RESULT + "# changed", parameters=PARAMETERS)
    run_notebooks(lessons[:1], {}, {"freeze": [0, 1, 2]}, tmp_path / "out")
    assert started == [0, 1, 2]


def test_an_interruption_ends_the_processes(tmp_path, monkeypatch):
    endless = lesson(tmp_path / "01_endless.ipynb", "import time; time.sleep(600)")
    family: list[psutil.Process] = []

    def wait_for_a_kernel_then_interrupt(seconds: float) -> None:
        family[:] = psutil.Process().children(recursive=True)
        if len(family) > 1 and list(tmp_path.rglob("unfinished.ipynb")):
            raise KeyboardInterrupt

    monkeypatch.setattr("yolo_ft.report.notebooks.time.sleep", wait_for_a_kernel_then_interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_notebooks([endless], out=tmp_path / "out")
    monkeypatch.undo()
    assert not [process for process in family if process.is_running()]
    folder = tmp_path / "out" / "01_endless" / "default"
    assert sorted(path.name for path in folder.iterdir()) == [RECORD, "log.txt"]
    combination = plan_combinations([endless], {}, {}, tmp_path / "out")[0]
    combination.recall()
    assert combination.state == "waiting"  # it will run again


def test_refresh_is_repeatable_and_check_compares(tmp_path, repository, capfd):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (tmp_path / "tests").mkdir()
    for name in ("tests/nbval_sanitize.cfg", "notebooks/conftest.py", "pyproject.toml"):
        (tmp_path / name).write_bytes((repository / name).read_bytes())
    cells = [
        "from pathlib import Path\nPath('left.txt').exists()",
        "print('took 3.2 s')",
        "print('mAP50', round(0.9119, 3))",
    ]
    path = lesson(folder / "01_one.ipynb", *cells)
    (folder / "left.txt").write_text("left by a reader", encoding="utf-8")
    refresh(path)
    stored = path.read_bytes()
    refresh(path)
    assert path.read_bytes() == stored

    path.write_bytes(stored.replace(b"took 3.2 s", b"took 17 s").replace(b"mAP50 0.912", b"mAP50 0.512"))
    (folder / "02_two.ipynb").write_bytes(stored.replace(b'"execution_count": 3', b'"execution_count": null'))
    assert check(find_lessons(folder)) == 1
    failed = re.findall(r"^FAILED (\w+)/\S+::Cell (\d)", capfd.readouterr().out, re.MULTILINE)
    assert failed == [("01_one", "2"), ("02_two", "2")]


def test_a_lesson_that_fails_is_not_refreshed(tmp_path):
    broken = lesson(tmp_path / "02_two.ipynb", "1 / 0")
    before = broken.read_bytes()
    with pytest.raises(UserError, match=r"02_two\.ipynb was not refreshed: ZeroDivisionError: division by zero"):
        refresh(broken)
    assert broken.read_bytes() == before


def test_clean_drops_what_varies():
    data = {"text/plain": "IntSlider(value=1)", "application/vnd.jupyter.widget-view+json": {"model_id": "f00"}}
    cell = new_code_cell("1", outputs=[nbformat.v4.new_output("display_data", data)])
    cell.metadata["execution"] = {"iopub.execute_input": "2026-01-01"}
    cell.metadata["tags"] = ["parameters"]
    notebook = new_notebook(
        cells=[cell], metadata={"widgets": {}, "language_info": {"name": "python", "version": "3.11.7"}}
    )
    clean(notebook)
    assert (
        set(notebook.metadata) == {"kernelspec", "language_info"} and "version" not in notebook.metadata.language_info
    )
    assert notebook.cells[0].metadata == {"tags": ["parameters"]}
    assert list(notebook.cells[0].outputs[0].data) == ["text/plain"]
