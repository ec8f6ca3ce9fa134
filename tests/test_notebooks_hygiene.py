"""What every stored lesson must be, read without running it: nbval alone accepts a notebook that compares nothing."""

from __future__ import annotations

import ast
import base64
import io
import json
import re
from pathlib import Path

import nbformat
import pytest
from PIL import Image

from yolo_ft.report.parameters import read_parameters

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
TAGS = {"parameters", "nbval-ignore-output"}
IGNORED_SHARE = 0.25
WORDS = (300, 2200)  # a start of five minutes, a lesson of an hour
# POSIX paths of two components or more, and Windows paths; a slash after a word, a colon or "<" is something else
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/~*<\\])/(?:[\w.-]+/)+[\w.-]+|\b[A-Z]:\\\w+")
# nbval takes a time for any other time, but not the spaces that pad it: a slower machine fails by one digit
PADDED_TIME = re.compile(r":[<>^]?\d+(\.\d+)?[dfg]\} ?(ms|s|min|images/s)\b")
MAX_BYTES = 1_500_000

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path: Path) -> list:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def texts(output: dict) -> list[str]:
    """The text of one output: streams, plain text, HTML, JSON; not pictures."""
    data = output.get("data", {})
    return [output.get("text", ""), *(str(value) for kind, value in data.items() if not kind.startswith("image/"))]


def test_is_valid_and_stored_by_refresh(path):
    raw = json.loads(path.read_text(encoding="utf-8"))
    nbformat.validate(raw)
    assert (raw["nbformat"], raw["nbformat_minor"]) == (4, 5)
    assert set(raw["metadata"]) == {"kernelspec", "language_info"}, "run `yolo-ft notebooks refresh`"
    assert raw["metadata"]["kernelspec"]["name"] == "python3" and "version" not in raw["metadata"]["language_info"]
    ids = [cell["id"] for cell in raw["cells"]]
    assert len(set(ids)) == len(ids)
    assert path.stat().st_size <= MAX_BYTES


def test_was_run_from_top_to_bottom(path):
    counts = [cell.execution_count for cell in code_cells(path) if cell.source.strip()]
    assert counts == list(range(1, len(counts) + 1))


def test_tags_and_metadata(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert set(cell.metadata.get("tags", [])) <= TAGS, "nbval and papermill ignore a misspelt tag without a word"
        assert not {"execution", "papermill", "collapsed", "ExecuteTime"} & set(cell.metadata)
        assert "NBVAL" not in cell.source, "use the tag nbval-ignore-output, which readers do not see"


def test_outputs_hold_no_error_widget_state_or_path(path):
    for cell in code_cells(path):
        for output in cell.outputs:
            assert output.output_type != "error"
            assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {})
            for text in texts(output):
                assert not ABSOLUTE_PATH.search(text), ABSOLUTE_PATH.search(text)
                assert not re.search(r"0x[0-9a-f]{6,}", text), "an address: print something that means something"


def test_most_outputs_are_compared(path):
    with_output = [cell for cell in code_cells(path) if cell.outputs]
    ignored = [cell for cell in with_output if "nbval-ignore-output" in cell.metadata.get("tags", [])]
    assert len(with_output) > len(ignored)
    assert len(ignored) <= IGNORED_SHARE * len(with_output)


def test_no_cell_ends_in_a_semicolon(path):
    """The kernel hides that output here and shows it under nbval."""
    assert not [cell.source for cell in code_cells(path) if cell.source.rstrip().endswith(";")]


def test_no_time_is_padded(path):
    for cell in code_cells(path):
        assert not PADDED_TIME.search(cell.source), "write `:.1f}`: nbval compares the spaces before a time"


def test_figures_come_with_a_sentence(path):
    """A picture's text/plain is all that the strict check compares, and what a screen reader reads."""
    for cell in code_cells(path):
        for output in cell.outputs:
            picture = output.get("data", {}).get("image/png")
            if picture is not None:
                sentence = output.data["text/plain"]
                assert not sentence.startswith("<"), "show the figure with show(figure, sentence)"
                assert len(sentence.split()) >= 4 and sentence.rstrip().endswith((".", "!", "?")), sentence
                assert Image.open(io.BytesIO(base64.b64decode(picture))).size[0] <= 2000


def test_has_one_typed_and_commented_parameters_cell(path):
    cells = [cell for cell in code_cells(path) if "parameters" in cell.metadata.get("tags", [])]
    assert len(cells) == 1
    lines = ast.parse(cells[0].source).body
    assert lines and all(isinstance(node, ast.AnnAssign) for node in lines), "write name: type = value  # meaning"
    for parameter in read_parameters(nbformat.read(path, as_version=4)).values():
        assert parameter.help, f"say what {parameter.name} means"
        assert parameter.convert(parameter.default) == parameter.default


def test_no_loop_overwrites_a_parameter(path):
    """A reader who runs an earlier cell again would train on what the last loop left behind."""
    parameters = set(read_parameters(nbformat.read(path, as_version=4)))
    for cell in code_cells(path):
        loops = [node.target for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.For)]
        taken = {name.id for target in loops for name in ast.walk(target) if isinstance(name, ast.Name)}
        assert not taken & parameters, f"{taken & parameters}: give the loop another name"


def test_reads_like_a_lesson(path):
    prose = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
    assert re.match(r"# \S", prose[0]), "the first cell is the title"
    assert sum(text.count("\n# ") + text.startswith("# ") for text in prose) == 1
    assert WORDS[0] <= len(" ".join(prose).split()) <= WORDS[1]
    assert max(len(cell.source.splitlines()) for cell in code_cells(path)) <= 40, "a cell fits on a screen"
