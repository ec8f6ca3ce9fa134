"""The house rules: what may import what, how long things may be, and that files which must agree do agree."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10, where pytest brings the same reader
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "yolo_ft"
FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = [
    ["core"],
    ["models", "data"],
    ["finetune"],
    ["report"],
    ["api"],
    ["commands", "data_commands"],
    ["data_cli"],
    ["cli"],
    ["__main__"],
]
LEVELS = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
DATA_ROOMS = [  # inside yolo_ft.data
    ["health", "images", "folders", "files", "progress", "drawn"],
    ["catalog"],
    ["formats"],
    ["dataset"],
    ["checks", "augmentation", "conversion"],
    ["splits", "statistics"],
    ["loader"],
]
DATA_LEVELS = {room: level for level, rooms in enumerate(DATA_ROOMS) for room in rooms}
TOP_LEVEL = {
    *("notebooks", "yolo_ft", "tests", "binder", "environment.yml", "README.md"),
    *("pyproject.toml", "LICENSE", "CITATION.cff", "CHANGELOG.md", "CONTRIBUTING.md"),
}
# the name to import -> the project to install, where they differ
PROJECTS = {"yaml": "pyyaml", "PIL": "pillow", "IPython": "ipython", "faster_coco_eval": "faster-coco-eval"}
BROUGHT_BY_PAPERMILL = {"nbformat", "nbclient", "jupyter_client"}
CONDA_NAMES = {"pytorch": "torch", "pytorch-cpu": "torch", "matplotlib-base": "matplotlib"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def level(module: str) -> int:
    """The room of a module; the package itself, which hands out the public names, is right below the command line."""
    parts = module.split(".")
    return LEVELS[parts[1]] if len(parts) > 1 else LEVELS["cli"] - 0.5


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at the top or inside functions, but not for type checkers alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            node.body = []
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} uses a relative import"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in MODULES else node.module for name in inner}
    return names


MODULES = {module_name(path) for path in FILES}
GRAPH = {module_name(path): {name for name in imports(path) if name.split(".")[0] == "yolo_ft"} for path in FILES}


@pytest.mark.parametrize("module", sorted(GRAPH))
def test_imports_point_down(module):
    for target in GRAPH[module]:
        assert target in MODULES, f"{module} imports {target}, which does not exist"
        same_room = module.split(".")[:2] == target.split(".")[:2]
        assert level(target) < level(module) or same_room, f"{module} may not know {target}"


def data_room(module: str) -> str:
    """The room of a module of `yolo_ft.data`: its folder, or the module itself."""
    return module.split(".")[2]


@pytest.mark.parametrize("module", sorted(name for name in GRAPH if name.startswith("yolo_ft.data.")))
def test_imports_between_the_rooms_of_data_point_down(module):
    room = data_room(module)
    for target in (data_room(name) for name in GRAPH[module] if name.startswith("yolo_ft.data.")):
        assert target == room or DATA_LEVELS[target] < DATA_LEVELS[room], f"{module} may not know {target}"


def test_no_import_cycles():
    """Take away, again and again, the modules that import nothing which is left; a cycle is what cannot be taken."""
    left = {module: targets - {module} for module, targets in GRAPH.items()}
    while free := {module for module, targets in left.items() if not targets & set(left)}:
        left = {module: targets for module, targets in left.items() if module not in free}
    assert not left


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_files_and_functions_stay_small_and_documented(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    tree = ast.parse(text)
    assert ast.get_docstring(tree) or not tree.body, "say in a line what the file is about"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 60, f"{node.name} does not fit on a screen"
    public = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_"]
    assert not [node.name for node in public if not ast.get_docstring(node)]


def test_importing_the_package_does_nothing(tmp_path):
    code = """
import os, sys, threading
before = dict(os.environ), threading.active_count()
import yolo_ft
assert (dict(os.environ), threading.active_count()) == before
assert not {"torch", "numpy", "matplotlib"} & set(sys.modules), sorted(sys.modules)
assert "YOLO" in dir(yolo_ft)
import torch
threads, state = torch.get_num_threads(), torch.get_rng_state()
import yolo_ft.api, yolo_ft.report.notebooks, yolo_ft.report.widgets
changed = {name for name, value in os.environ.items() if before[0].get(name) != value}
assert changed <= {"TORCHINDUCTOR_CACHE_DIR"}, changed  # PyTorch's own doing
assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), state)
assert "matplotlib.pyplot" not in sys.modules, "pyplot chooses a backend when it is imported"
"""
    here, home = tmp_path / "here", tmp_path / "home"
    here.mkdir()
    home.mkdir()
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(home), "MPLCONFIGDIR": str(tmp_path / "fonts")}
    environment = {**os.environ, **environment, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert list(here.iterdir()) == list(home.iterdir()) == []


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def bare(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w-]+", requirement)[0].lower() for requirement in requirements}


def conda_packages(path: str) -> set[str]:
    content = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    assert content["channels"] == ["conda-forge"]
    entries = content["dependencies"]
    listed = [text for entry in entries for text in (entry["pip"] if isinstance(entry, dict) else [entry])]
    return {CONDA_NAMES.get(name, name) for name in bare(listed)} - {"python", "pip"}


def test_the_three_lists_of_packages_agree():
    wanted = bare(project()["dependencies"]) | bare(project()["optional-dependencies"]["notebooks"])
    assert conda_packages("environment.yml") == wanted
    assert conda_packages("binder/environment.yml") == wanted


def test_every_imported_package_is_declared():
    imported = {name.split(".")[0] for path in FILES for name in imports(path)} - set(sys.stdlib_module_names)
    declared = bare(project()["dependencies"]) | bare(project()["optional-dependencies"]["notebooks"])
    needed = {PROJECTS.get(name, name) for name in imported - {"yolo_ft"} - BROUGHT_BY_PAPERMILL}
    assert needed <= declared
    assert not re.search(r"==|~=", " ".join(project()["dependencies"])), "an exact pin disturbs Colab"


def test_every_dependency_of_the_course_says_which_lesson_needs_it():
    lines = (ROOT / "environment.yml").read_text(encoding="utf-8").partition("dependencies:\n")[2].splitlines()
    assert not [line for line in lines if not line.strip().endswith("pip:") and "  # " not in line]


def test_binder_builds_for_the_processor_only():
    content = yaml.safe_load((ROOT / "binder" / "environment.yml").read_text(encoding="utf-8"))
    assert {"python=3.11", "pytorch-cpu"} <= set(map(str, content["dependencies"]))
    script = (ROOT / "binder" / "postBuild").read_text(encoding="utf-8")
    assert script.startswith("#!/bin/bash\n") and "set -euo pipefail" in script
    assert "pip install --no-deps -e ." in script and "torch.version.cuda is None" in script


def test_one_version():
    import yolo_ft

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert yolo_ft.__version__ == project()["version"] == citation["version"]
    assert f"## {yolo_ft.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_sanitiser_is_read_whole():
    """nbval drops a pair without a word when a blank line parts it, or when it is indented."""
    from nbval.plugin import get_sanitize_patterns

    text = (ROOT / "tests" / "nbval_sanitize.cfg").read_text(encoding="utf-8")
    assert text.isascii(), "nbval opens the file with the machine's own encoding"
    patterns = dict(get_sanitize_patterns(text))
    assert len(patterns) == text.count("\nregex:") == 4
    for number in ("0.912", "mAP50 0.912", "1,760,518", "12 images", "loss 0.034"):
        assert not [pattern for pattern in patterns if re.search(pattern, number)], number
    for varying in ("<object at 0x7f2bdeadbeef>", "in 3.2 s", "14 ms", "57.3 images/s", "/tmp/abc/runs"):
        assert [pattern for pattern in patterns if re.search(pattern, varying)], varying


def readme_commands(language: str) -> list[str]:
    blocks = re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if " -m venv " in line]


def test_readme_opens_with_the_two_commands_that_ci_runs():
    opening = (ROOT / "README.md").read_text(encoding="utf-8")[:2500]
    run, test = readme_commands("bash")
    assert run in opening and test in opening
    assert run.endswith("yolo-ft notebooks run") and test.endswith("yolo-ft notebooks check")
    assert test in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_powershell_twins_do_the_same():
    for bash, powershell in zip(readme_commands("bash"), readme_commands("powershell"), strict=True):
        steps = re.split(r"; if \(\$\?\) \{ ", powershell.replace("\\Scripts\\", "/bin/").rstrip(" }"))
        assert steps == bash.replace("python3 -m venv", "python -m venv").split(" && ")


def tracked() -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip("needs a git clone: git lists the files that belong to the project")
    return [name for name in result.stdout.splitlines() if (ROOT / name).is_file()]


def test_top_level_stays_clean():
    top = {name.split("/")[0] for name in tracked()}
    assert {name for name in top if not name.startswith(".")} <= TOP_LEVEL


def test_no_path_of_anybodys_machine():
    """Stored outputs of notebooks and recorded runs love to keep the author's folders."""
    machine = re.compile(r"(?<![\w.~*/])/(home|root|Users|mnt|tmp|var/folders)/[\w.-]+|[A-Z]:\\+Users")
    text_kinds = {".py", ".ipynb", ".md", ".yml", ".yaml", ".json", ".csv", ".toml", ".cff", ".cfg", ".txt", ""}
    found = []
    for name in tracked():
        path = ROOT / name
        if path.suffix in text_kinds and not name.startswith("tests/"):
            for match in machine.finditer(path.read_text(encoding="utf-8")):
                found.append(f"{name}: {match[0]}")
    assert not found


def test_tracked_files_are_small():
    limits = {"yolo_ft/weights/yolov5n.pt": 4_500_000, "yolo_ft/weights/yolo26n.pt": 6_000_000}
    assert all((ROOT / name).stat().st_size <= limits.get(name, 1_500_000) for name in tracked())


def test_workflows_are_valid_and_run_daily():
    for name in ("tests.yml", "notebooks.yml"):
        workflow = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8"))
        triggers = workflow[True]  # YAML 1.1 reads the key `on` as true
        assert {"push", "pull_request", "schedule"} <= set(triggers)
        for job in workflow["jobs"].values():
            assert job["timeout-minutes"] <= 60
    unit = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8"))["jobs"]
    pythons = {str(row) for row in unit["linux"]["strategy"]["matrix"]["python"]}
    assert pythons == {line.rpartition(" ")[2] for line in project()["classifiers"] if re.search(r":: 3\.\d+$", line)}
