"""Recorded studies, and the command that makes the one of lesson 05: what it runs, resumes, copies and refuses."""

import json
from functools import partial
from pathlib import Path

import nbformat
import pytest
import torch
import yaml
from benchmarks import freeze_study, grid, source_study
from test_comparison import write_run

from yolo_ft import api
from yolo_ft.core.errors import UserError
from yolo_ft.finetune.comparison import SEEDS_FOR_A_CLAIM, paired_interval
from yolo_ft.finetune.hyp import PRESETS
from yolo_ft.report import recorded as home
from yolo_ft.report.comparison import compare
from yolo_ft.report.parameters import read_parameters
from yolo_ft.report.recorded import ABOUT, ROWS, recorded, recorded_rows

STUDIES = sorted(path.parent for path in Path(home.__file__).parent.glob(f"*/{ABOUT}"))
RUNS = [folder for folder in STUDIES if not (folder / ROWS).exists()]  # the others are tables: test_grid.py
TEXT = {"config.yaml", "environment.json", "results.csv", "summary.json"}
SETTINGS = {"imgsz": 320, "batch": 16, "val_every": 5, "data": "bccd", "freeze_bn": "fixed"}


def test_an_unknown_study_is_a_sentence():
    with pytest.raises(UserError, match="no recorded study 'nothing'; there is"):
        recorded("nothing")


@pytest.mark.parametrize("folder", RUNS, ids=lambda path: path.name)
def test_a_packaged_study_is_whole_small_and_comparable(folder, recwarn):
    assert recorded(folder.name) == folder
    runs = [path for path in folder.iterdir() if path.is_dir()]
    assert all({file.name for file in run.iterdir()} == TEXT for run in runs)
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 2_000_000
    enough = 3 if folder.name.startswith("views") else SEEDS_FOR_A_CLAIM  # from three seeds the lesson claims nothing
    comparison = compare(folder)
    assert comparison.notes == () and not recwarn.list
    assert (comparison.arms["seeds"] >= enough).all()
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    began = {json.loads((run / "summary.json").read_text(encoding="utf-8"))["weights"] for run in runs}
    named = {name.replace("packaged", "weights").replace("-", "_") for name in began & set(api.PACKAGED)}
    assert set(about) - {"note"} == {"command", *named, *(f"{name}_sha256" for name in named)} and named


def test_the_readmes_show_what_is_recorded():
    root, benchmarks = (freeze_study.ROOT / place / "README.md" for place in ("", "tests/benchmarks"))
    tables = [
        freeze_study.table(compare(recorded("freeze_bccd"))),
        grid.table(recorded_rows("transfer"), list(grid.STUDIES["transfer"])),
        source_study.table(recorded_rows("source")),
    ]
    text = benchmarks.read_text(encoding="utf-8")
    assert [table in text for table in tables] == [True] * 3
    assert tables[0] in root.read_text(encoding="utf-8")


@pytest.mark.parametrize("epochs", [5, 10, 25, 100])
def test_drawn_cells_are_as_hard_as_photographs(epochs):
    """At equal budgets the five arms end in the same order as on blood smears (where seeds do not swap them, which they
    do within 0.02), and about as high."""
    rows = recorded_rows("transfer").query("epochs == @epochs")
    largest = rows["images"] == rows.groupby("data")["images"].transform("max")
    means = rows[largest].pivot_table("map50", "arm", "data")
    real, drawn = (means[name].to_numpy()[:, None] - means[name].to_numpy() for name in ("bccd", "cells"))
    apart = abs(real) > 0.02
    assert (real[apart] * drawn[apart] > 0).all() and apart.sum() >= 18  # of 20 ordered pairs
    assert (means["cells"] - means["bccd"]).abs().max() <= 0.10
    assert rows.loc[rows["data"] == "cells", "map50"].max() <= 0.95 and means["cells"].notna().sum() == 5


def test_the_augmentation_that_is_suggested_was_beaten_on_no_set():
    """What `yolo_ft.data.statistics.domain_gap` says of the preset "light"."""
    rows = recorded_rows("augment")
    rows = rows[rows["arm"].isin(PRESETS)]
    for _, part in rows.groupby(["data", "images"]):
        by_seed = part.pivot(index="seed", columns="arm", values="map50_95")
        others = by_seed.drop(columns="light").sub(by_seed["light"], axis=0)
        assert others.shape == (SEEDS_FOR_A_CLAIM, len(PRESETS) - 1)
        assert all(paired_interval(others[arm].tolist())[1] <= 0 for arm in others)


def test_a_run_is_one_command_that_names_no_place():
    wanted = freeze_study.command("official-freeze24", 3, "bccd", 25)
    told = "train --data bccd --epochs 25 --imgsz 320 --batch 16 --val-every 5 --seed 3 --project runs"
    assert " ".join(wanted) == f"{told} --name official-freeze24-seed3 --weights yolov5n.pt --freeze 24 --views 0"


def test_the_next_step_of_a_run(tmp_path):
    folder, wanted = tmp_path / "none-seed0", freeze_study.command("none", 0, "bccd", 25)
    step = partial(freeze_study.next_step, folder, "none", 0, "bccd", 25)
    assert step() == wanted
    folder.mkdir()
    assert step() == wanted and not folder.exists()  # stopped in its first epoch
    run = write_run(tmp_path, "none-seed0", config=SETTINGS)
    (run.path / "weights" / "last.pt").touch()
    assert step() is None
    (run.path / "summary.json").unlink()
    assert step() == ["train", "--resume", str(Path("runs", "none-seed0"))]
    for other in ({"epochs": 3}, {"freeze_bn": "running"}):
        run.write_config({**run.config, **SETTINGS, "epochs": 25, **other})
        with pytest.raises(UserError, match="other settings"):
            step()


def test_export_copies_text_only_and_refuses_a_place_of_this_machine(tmp_path):
    work, out = tmp_path / "work", tmp_path / "out"
    with pytest.raises(UserError, match="no finished run"):
        freeze_study.export(work, out, {})
    run = write_run(work / "runs", "none-seed0")
    (run.path / "weights" / "last.pt").touch()
    write_run(work / "runs", "killed").path.joinpath("summary.json").unlink()
    assert freeze_study.export(work, out, {"command": "c"}) == 1
    assert {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} == {
        ABOUT,
        *(str(Path("none-seed0", name)) for name in TEXT),
    }
    run.write_config({"project": str(work.resolve())})
    with pytest.raises(UserError, match="names a place"):
        freeze_study.export(work, out, {"command": "c"})


def test_later_arms_add_to_what_a_study_tells_and_take_nothing_from_it(tmp_path):
    work, out = tmp_path / "work", tmp_path / "out"
    write_run(work / "runs", "none-seed0")
    first = {"command": "study", "weights": {"epochs": 3}, "weights_sha256": "a"}
    freeze_study.export(work, out, first)
    for _ in range(2):
        freeze_study.export(work, out, {"command": "study --arms official-none"})
    about = json.loads((out / ABOUT).read_text(encoding="utf-8"))
    assert about == {**first, "command": "study; study --arms official-none"}
    with pytest.raises(UserError, match="other packaged weights"):
        freeze_study.export(work, out, {**first, "weights_sha256": "b"})
    assert json.loads((out / ABOUT).read_text(encoding="utf-8")) == about


def test_prefix_only_has_the_ten_layers_of_the_source_and_the_others_of_the_control(tmp_path):
    path = tmp_path / "begin" / "3" / "prefix-only.pt"
    freeze_study.write_prefix_only(path, seed=3)
    begins = [api.YOLO(path), api.YOLO(None), api.YOLO("yolov5n.yaml", seed=3)]
    ours, source, control = (begin.model.state_dict() for begin in begins)
    for name, value in ours.items():
        assert torch.equal(value, (source if int(name.split(".")[1]) < 10 else control)[name]), name
    assert "begin/3/prefix-only.pt" in freeze_study.command("prefix-only", 3, "bccd", 25)


@pytest.mark.parametrize(("seeds", "told"), [(5, "-0.100 (-0.100 to -0.100)"), (2, "-0.100 -0.100")])
def test_table_has_one_row_per_arm_and_an_interval_from_five_seeds_on(tmp_path, seeds, told):
    for seed in range(seeds):
        write_run(tmp_path, f"none-seed{seed}", seed=seed, ap=0.5)
        write_run(tmp_path, f"freeze10-seed{seed}", "10", seed=seed, ap=0.4)
    head, line, none, ten = freeze_study.table(compare(tmp_path)).splitlines()
    assert head.count("|") == line.count("|") == none.count("|") == ten.count("|") == 10
    each = " ".join(["0.500"] * seeds)
    assert none == f"| freeze none, packaged weights | 25 | 0.800 | 0.500 | {each} | 100 | 90 | 1000 |  |"
    assert ten.startswith("| freeze 10, packaged weights | 25 | 0.700 | 0.400 |") and ten.endswith(f"| {told} |")


@pytest.mark.parametrize("arguments", [[], ["--data", "no such folder"], ["--table", "--out", "nowhere"]])
def test_a_mistake_is_a_sentence_and_exit_code_2(arguments, tmp_path, capsys):
    assert freeze_study.main([*arguments, "--work", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_guides_experiment_fits_the_lesson(repository):
    lesson = nbformat.read(repository / "notebooks" / "05_comparing_runs.ipynb", as_version=4)
    declared = read_parameters(lesson)
    given = yaml.safe_load((repository / "tests" / "benchmarks" / "guide_voc.yaml").read_text(encoding="utf-8"))
    assert set(given) == set(declared)
    assert {name: declared[name].convert(value) for name, value in given.items()} == given


def test_a_study_names_the_command_that_repeats_it():
    plain = freeze_study.origin(freeze_study.parse(["--data", "somewhere/bccd"]))
    assert plain["command"] == "python tests/benchmarks/freeze_study.py --data path/to/bccd"
    given = ["--data", "somewhere/mask", "--arms", "freeze10", "views8", "--seeds", "0", "2", "--jobs", "2"]
    told = freeze_study.origin(freeze_study.parse(given))["command"]
    assert told == f"{plain['command'].replace('bccd', 'mask')} --arms freeze10 views8 --seeds 0 2"


def test_the_weights_of_another_family_are_recorded_too(tmp_path, monkeypatch):
    monkeypatch.setitem(api.PACKAGED, "packaged-yolo26n", tmp_path / "yolo26n.pt")
    options = freeze_study.parse(["--data", "x/bccd", "--arms", "none", "yolo26n-freeze11", "--epochs", "9"])
    with pytest.raises(UserError, match="not part of this copy"):
        freeze_study.origin(options)
    api.YOLO("yolo26n.yaml").save(tmp_path / "yolo26n.pt")
    about = freeze_study.origin(options)
    assert about["command"].endswith("bccd --arms none yolo26n-freeze11 --epochs 9")
    assert about["weights_sha256"] != about["weights_yolo26n_sha256"]
    alone = freeze_study.origin(freeze_study.parse(["--data", "x/bccd", "--arms", "yolo26n-freeze11", "scratch"]))
    assert [name for name in alone if "weights" in name] == ["weights_yolo26n", "weights_yolo26n_sha256"]
    wanted = freeze_study.command("yolo26n-musgd", 0, "bccd", 6)[-8:]
    assert wanted == "--weights packaged-yolo26n --set optimizer=MuSGD --set lr0=0.01 --set weight_decay=0.0005".split()
