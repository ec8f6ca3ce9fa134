"""`yolo-ft data check` and `data fix` as people call them, on small sets and on real ones."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import pytest
from picture_sets import fingerprint, write_set

from yolo_ft.cli import main
from yolo_ft.core.targets import Detections
from yolo_ft.data.checks import findings as kinds
from yolo_ft.data.checks.check import check
from yolo_ft.data.dataset import load_dataset, load_splits

BOTH = "0 0.5 0.5 0.4 0.4\n1 0.3 0.6 0.2 0.4\n"
TWO_SPLITS = "train: images/train\nval: images/val\nnames: [cat, dog]\n"
CLEAN = {f"{split}/{n}.png": BOTH for split in ("train", "val") for n in range(12)}


def test_exit_code_zero_for_warnings_one_for_errors_two_for_mistakes(tmp_path, capsys):
    write_set(tmp_path / "set", {**CLEAN, "train/0.png": BOTH + BOTH, "train/1.png": None}, TWO_SPLITS)
    assert main(["data", "check", str(tmp_path / "set")]) == 0
    out = capsys.readouterr().out
    assert "warning: row removed    2      train" in out and "warning: no label file" in out
    (tmp_path / "set/labels/train/2.txt").write_text("9 0 0 1 1\n", encoding="utf-8")
    assert main(["data", "check", str(tmp_path / "set")]) == 1
    assert "error: image dropped" in capsys.readouterr().out
    assert main(["data", "check", str(tmp_path / "nothing")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_the_report_lands_in_the_folder_and_the_size_counts(tmp_path, capsys):
    write_set(tmp_path / "set", {**CLEAN, "train/0.png": BOTH + "0 0.2 0.2 0.03 0.2\n"}, TWO_SPLITS)  # 3 pixels of 100
    command = ["data", "check", str(tmp_path / "set"), "--out", str(tmp_path / "out")]
    assert main([*command, "--imgsz", "64"]) == 0
    assert str(tmp_path / "out" / "tiny_box.png") in capsys.readouterr().out
    content = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert [kind["name"] for kind in content["kinds"]] == ["tiny box"] and content["imgsz"] == 64
    assert main(command) == 2 and "is not empty" in capsys.readouterr().err
    assert main(["data", "check", str(tmp_path / "set")]) == 0 and "Nothing found" in capsys.readouterr().out


def test_a_model_adds_the_objects_that_it_sees(tmp_path, capsys, monkeypatch):
    answer = [Detections([[70, 2, 95, 20]], [0.8], [1])]
    model = SimpleNamespace(names={0: "cat", 1: "dog"}, predict=lambda image, conf, imgsz: answer)
    monkeypatch.setattr("yolo_ft.api.YOLO", lambda weights: model)
    write_set(tmp_path / "set", CLEAN, TWO_SPLITS)
    assert main(["data", "check", str(tmp_path / "set"), "--weights", "best.pt"]) == 0
    out = capsys.readouterr().out
    assert "warning: object without a label  24" in out and "the model sees dog (score 0.80)" in out


def test_a_model_of_other_classes_is_refused_before_anything_is_predicted(tmp_path, capsys, monkeypatch):
    model = SimpleNamespace(names={0: "person", 1: "car"}, predict=None)
    monkeypatch.setattr("yolo_ft.api.YOLO", lambda weights: model)
    monkeypatch.setattr("yolo_ft.data.checks.check.pair_findings", None)  # nor are minutes spent on comparing
    write_set(tmp_path / "set", CLEAN, TWO_SPLITS)
    assert main(["data", "check", str(tmp_path / "set"), "--weights", "best.pt"]) == 2
    assert "none of the classes of the data set (cat, dog), only person, car" in capsys.readouterr().err


def test_groups_of_a_pattern_or_a_table(tmp_path, capsys):
    names = [f"{split}/p{n % 3}_{n}.png" for split, numbers in (("train", range(11)), ("val", (13,))) for n in numbers]
    write_set(tmp_path / "set", dict.fromkeys(names, BOTH), TWO_SPLITS)
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["file,site", *(f"{name},{name[-5]}" for name in names)]), encoding="utf-8")
    command = ["data", "check", str(tmp_path / "set")]
    assert main(command) == 0 and "group in two splits" not in capsys.readouterr().out
    for asked, group in ((["--group", r"(p\d)_"], "p1"), (["--group", "site", "--table", str(table)], "3")):
        assert main([*command, *asked]) == 1
        assert f"the images of '{group}' are in several splits" in capsys.readouterr().out
    for asked, told in (
        (["--group", "x(y"], "is no regular expression"),
        (["--table", str(table)], "Nothing asks for a column of"),
        (["--table", str(table), "--group", "names"], "Nothing asks for a column of"),
    ):
        assert main([*command, *asked]) == 2 and told in capsys.readouterr().err


def test_fix_from_the_shell(tmp_path, capsys):
    write_set(tmp_path / "set", {**CLEAN, "train/0.png": BOTH + BOTH}, TWO_SPLITS)
    before = fingerprint(tmp_path / "set")
    assert main(["data", "fix", str(tmp_path / "set"), "--out", str(tmp_path / "copy")]) == 0
    assert "2 x row removed; every change is in changes.csv" in capsys.readouterr().out
    assert main(["data", "fix", str(tmp_path / "set"), "--out", str(tmp_path / "copy")]) == 2
    assert fingerprint(tmp_path / "set") == before and check(tmp_path / "copy").findings == []


def test_a_set_in_one_piece_and_an_empty_split_are_told_and_the_rest_is_checked(tmp_path, capsys):
    """As exports leave it: `test:` names a folder that is empty. It costs nothing, so the exit code stays 0."""
    yaml_text = TWO_SPLITS.replace("names", "test: images/test\nnames")
    write_set(tmp_path / "set", {**CLEAN, "train/0.png": BOTH + BOTH}, yaml_text)
    (tmp_path / "set/images/test").mkdir()
    assert main(["data", "check", str(tmp_path / "set")]) == 0
    out = capsys.readouterr().out
    assert "warning: row removed                2      train" in out
    assert "warning: test split without images  1      test" in out and "test 0 images" in out
    write_set(tmp_path / "set", {}, "train: images/train\nnames: [cat, dog]\n")
    assert main(["data", "check", str(tmp_path / "set")]) == 0
    assert "no validation split: yolo-ft data split makes one" in capsys.readouterr().out


@pytest.mark.parametrize("action", ["check", "stats", "fix"])
def test_a_set_without_any_image_is_a_mistake(tmp_path, capsys, action):
    for split in ("train", "val"):
        (tmp_path / "set/images" / split).mkdir(parents=True)
    write_set(tmp_path / "set", {}, TWO_SPLITS)
    assert main(["data", action, str(tmp_path / "set"), "--out", str(tmp_path / "out")]) == 2
    assert "no split (train, val) holds an image: check the paths" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_drawn_set_is_in_order():
    assert {kind.level for kind, _ in check(load_dataset("cells", "test")).found()} == {kinds.NOTE}


def test_real_sets_have_the_findings_that_were_looked_at(real_data):
    """Each case was confirmed by eye; what looks alike by nature (smears, boards) gives no error."""
    smears, faces, boards = (check(real_data / name) for name in ("bccd", "mask", "deeppcb"))
    assert [(kind.name, len(cases)) for kind, cases in smears.found()][:2] == [
        ("box drawn twice", 7),
        ("look-alikes in two splits", 1),
    ]
    assert [(kind.name, len(cases)) for kind, cases in faces.found()][:3] == [
        ("copy in two splits", 3),
        ("copies labelled differently", 1),
        ("copy within a split", 5),
    ]
    assert {kind.level for kind, _ in boards.found()} == {kinds.NOTE}


def test_photographs_of_everyday_life(real_data):
    report = check(load_splits(real_data / "coco_mini")["val"])
    counts = {kind.name: len(cases) for kind, cases in report.found()}
    assert counts["one box, two classes"] == 9 and counts["tiny box"] == 18 and counts["box over the whole image"] == 8
    assert not {"copy within a split", "copy in two splits"} & set(counts)
    assert report.errors == counts["box drawn twice"] == 1


def test_traps(real_data, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    for image in (real_data / "traps" / "images").iterdir():
        shutil.copy(image, tmp_path / "images" / image.name)
        (tmp_path / "labels" / f"{image.stem}.txt").write_text("0 0.5 0.5 0.2 0.2\n", encoding="utf-8")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [x]\n", encoding="utf-8")
    report = check(tmp_path)
    assert [case.file for case in report.of(kinds.DROPPED_IMAGE)] == ["images/truncated.jpg"]
    assert {case.file: case.reason.split(",")[0] for case in report.of(kinds.COLOUR_MODES)} == {
        "images/mode_I16.png": "16-bit",
        "images/mode_L.png": "greyscale",
    }
