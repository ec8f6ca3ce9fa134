"""The repaired copy: what it has differently and why, what stays for a person, and that the source is only read."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
from picture_sets import fingerprint, photograph, write_set
from PIL import Image

from yolo_ft.core.errors import UserError
from yolo_ft.data.checks import findings as kinds
from yolo_ft.data.checks.check import check
from yolo_ft.data.checks.duplicates import NEAR_COPY, Pair
from yolo_ft.data.checks.repair import fix
from yolo_ft.data.dataset import load_splits

BOTH = "0 0.5 0.5 0.4 0.4\n1 0.3 0.6 0.2 0.4\n"
TWO_SPLITS = "train: images/train\nval: images/val\nnames: [cat, dog]\n"
CLEAN = {f"{split}/{split[0]}{n}.png": BOTH for split in ("train", "val") for n in range(12)}


@pytest.fixture
def source(tmp_path):
    """A clean set of twelve images in each of two splits; tests spoil it."""
    write_set(tmp_path / "set", CLEAN, TWO_SPLITS)
    return tmp_path / "set"


def relabel(source, name: str, text: str | None) -> None:
    label = source / "labels" / f"{name}.txt"
    label.unlink() if text is None else label.write_text(text, encoding="utf-8")


def copy(source, name: str, other: str) -> None:
    shutil.copy(source / "images" / f"{name}.png", source / "images" / f"{other}.png")


def log(out) -> list[tuple[str, ...]]:
    with (out / "changes.csv").open(encoding="utf-8", newline="") as file:
        return [(row["change"], row["file"], row["line"], row["split"]) for row in csv.DictReader(file)]


def rows(out, name: str) -> list[str]:
    return (out / "labels" / f"{name}.txt").read_text(encoding="utf-8").splitlines()


def test_a_clean_set_is_copied_byte_for_byte(source, tmp_path):
    before = fingerprint(source)
    repair = fix(source, tmp_path / "copy")
    assert fingerprint(source) == before
    assert repair.changes == [] and repair.left.findings == [] and "nothing to repair" in str(repair)
    assert "Nothing found." in (tmp_path / "copy/left_for_you.md").read_text(encoding="utf-8")
    for name in CLEAN:
        assert (tmp_path / "copy/images" / name).read_bytes() == (source / "images" / name).read_bytes()
    assert rows(tmp_path / "copy", "val/v11") == BOTH.splitlines()
    ours, theirs = load_splits(tmp_path / "copy"), load_splits(source)
    assert ours["train"].digest == theirs["train"].digest and ours["val"].digest == theirs["val"].digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "set"]  # no temporary folder stays


def test_rows_are_repaired_without_a_guess(source, tmp_path):
    relabel(source, "train/t0", BOTH + "\n0 0.5 0.5 0.4 0.4\n0 0.5 0.5 0 0.1\n")
    relabel(source, "train/t1", "0 0.95 0.5 0.2 0.2\n1 1.000001 0.5 0.2 0.5\n0 0.1 0.1 0.9 0.1 0.5 1.005\n")
    fix(source, tmp_path / "copy")
    assert rows(tmp_path / "copy", "train/t0") == BOTH.splitlines()
    first, second, polygon = (line.split() for line in rows(tmp_path / "copy", "train/t1"))
    np.testing.assert_allclose(np.array(first, float), [0, 0.925, 0.5, 0.15, 0.2], atol=1e-6)
    np.testing.assert_allclose(np.array(second, float), [1, 0.95, 0.5, 0.1, 0.5], atol=2e-6)
    np.testing.assert_allclose(np.array(polygon, float), [0, 0.1, 0.1, 0.9, 0.1, 0.5, 1], atol=1e-6)
    assert log(tmp_path / "copy") == [
        ("row removed", "labels/train/t0.txt", "4", "train"),
        ("row removed", "labels/train/t0.txt", "5", "train"),
        *(("box cut", "labels/train/t1.txt", str(line), "train") for line in (1, 2, 3)),
    ]
    left = check(tmp_path / "copy")
    assert {case.kind for case in left.findings} <= {kinds.AT_EDGE}  # the copy has none of what was repaired


@pytest.mark.parametrize(
    "row", ["7 0.5 0.5 0.1 0.1", "0 0.5 0.5 0.1", "0 nan 0.5 0.1 0.1", "0 1.3 0.5 0.1 0.1", "x 0 0 1 1"]
)
def test_an_image_with_a_bad_row_is_left_out_and_told(source, tmp_path, row):
    relabel(source, "train/t3", BOTH + row + "\n")
    repair = fix(source, tmp_path / "copy")
    assert log(tmp_path / "copy") == [("image left out", "labels/train/t3.txt", "3", "train")]
    assert not (tmp_path / "copy/images/train/t3.png").exists() and "1 x image left out" in str(repair)


def test_broken_images_and_labels_that_are_no_text_are_left_out(source, tmp_path):
    (source / "images/train/t0.png").write_bytes(b"")
    (source / "labels/train/t1.txt").write_bytes(b"\xff\xfe\x00")
    fix(source, tmp_path / "copy")
    assert [entry[:2] for entry in log(tmp_path / "copy")] == [
        ("image left out", "images/train/t0.png"),
        ("image left out", "labels/train/t1.txt"),
    ]


def test_leaked_copies_stay_in_the_held_out_split(source, tmp_path):
    copy(source, "val/v0", "train/t0")
    copy(source, "val/v0", "train/t1")  # two copies of one picture: both go
    Image.open(source / "images/val/v1.png").save(source / "images/train/soft.jpg", quality=60)
    relabel(source, "train/t2", BOTH)
    (source / "labels/train/soft.txt").write_text(BOTH, encoding="utf-8")
    repair = fix(source, tmp_path / "copy")
    files = ["images/train/soft.jpg", "images/train/t0.png", "images/train/t1.png"]
    assert sorted(entry[1] for entry in log(tmp_path / "copy")) == files
    assert all("in 'val' stays" in change.reason for change in repair.changes)
    assert len(load_splits(tmp_path / "copy")["val"]) == 12 and not repair.left.of(kinds.LEAKED)


def test_test_comes_before_val(tmp_path):
    sets = {f"{split}/{split}{n}.png": BOTH for split in ("train", "val", "test") for n in range(2)}
    yaml_text = "train: images/train\nval: images/val\ntest: images/test\nnames: [cat, dog]\n"
    write_set(tmp_path / "set", sets, yaml_text)
    copy(tmp_path / "set", "val/val0", "test/test0")
    fix(tmp_path / "set", tmp_path / "copy")
    assert [entry[1] for entry in log(tmp_path / "copy")] == ["images/val/val0.png"]


def test_copies_within_a_split(source, tmp_path):
    copy(source, "train/t0", "train/t1")  # the same labels: one goes
    copy(source, "train/t2", "train/t3")  # one has no labels: that one goes
    relabel(source, "train/t2", None)
    copy(source, "train/t4", "train/t5")  # two opinions: both stay, for a person
    relabel(source, "train/t5", "1 0.5 0.5 0.4 0.4\n")
    repair = fix(source, tmp_path / "copy")
    entries = [entry[:2] for entry in log(tmp_path / "copy")]
    assert entries == [("copy left out", "images/train/t1.png"), ("copy left out", "images/train/t2.png")]
    assert len(repair.left.of(kinds.CONTRADICTION)) == 1
    assert "copies labelled differently" in (tmp_path / "copy/left_for_you.md").read_text(encoding="utf-8")


def test_labels_move_to_the_copy_that_stays(source, tmp_path):
    copy(source, "train/t0", "val/v0")
    relabel(source, "val/v0", "")
    fix(source, tmp_path / "copy")
    assert [entry[:2] for entry in log(tmp_path / "copy")] == [
        ("labels added", "images/val/v0.png"),
        ("copy left out", "images/train/t0.png"),
    ]
    assert rows(tmp_path / "copy", "val/v0") == BOTH.splitlines()


def test_missing_and_empty_label_files_stay_what_they_are(source, tmp_path):
    relabel(source, "train/t0", None)
    relabel(source, "train/t1", "")
    fix(source, tmp_path / "copy")
    assert not (tmp_path / "copy/labels/train/t0.txt").exists() and rows(tmp_path / "copy", "train/t1") == []


def test_label_files_without_an_image_are_told_and_not_copied(source, tmp_path):
    for name in "abcde":
        (source / f"labels/train/lost_{name}.txt").write_text(BOTH, encoding="utf-8")
    before = fingerprint(source)
    repair = fix(source, tmp_path / "copy")
    lost = [f"labels/train/lost_{name}.txt" for name in "abcde"]
    assert log(tmp_path / "copy") == [("label file left out", file, "", "train") for file in lost]
    (line,) = (line for line in str(repair).splitlines() if "lost_" in line)
    assert line.startswith(f"5 x label file without image, not copied ({', '.join(lost[:3])} and 2 more)")
    assert line in (tmp_path / "copy/left_for_you.md").read_text(encoding="utf-8").splitlines()
    assert not list((tmp_path / "copy/labels").rglob("lost*")) and fingerprint(source) == before


def test_a_split_without_images_is_left_out(source, tmp_path):
    (source / "images/test").mkdir()
    (source / "data.yaml").write_text(TWO_SPLITS.replace("names", "test: images/test\nnames"), encoding="utf-8")
    repair = fix(source, tmp_path / "copy")
    assert log(tmp_path / "copy") == [("split left out", "data.yaml", "", "test")]
    assert list(load_splits(tmp_path / "copy")) == ["train", "val"] and repair.left.findings == []


def test_folders_stay_and_images_that_would_share_a_label_file_are_parted(source, tmp_path):
    for name, seed in (("plant-a/frame_1.png", 90), ("train/t0.bmp", 91)):  # of `train/train` one is left out
        (source / "images/train" / name).parent.mkdir()
        Image.fromarray(photograph(60, 100, seed)).save(source / "images/train" / name)
    fix(source, tmp_path / "copy")
    assert (tmp_path / "copy/images/train/plant-a/frame_1.png").is_file()
    assert [entry[:2] for entry in log(tmp_path / "copy")] == [("renamed", "images/train/train/t0.bmp")]
    assert rows(tmp_path / "copy", "train/t0") == BOTH.splitlines()
    assert not (tmp_path / "copy/labels/train/t0_bmp.txt").exists()


def test_two_pictures_that_share_a_label_file_are_left_for_a_person(source, tmp_path):
    """Both keep the labels, though one at most can be right; a copy of the picture may share them."""
    Image.fromarray(photograph(60, 100, 91)).save(source / "images/train/t0.bmp")
    Image.open(source / "images/train/t1.png").convert("L").convert("RGB").save(source / "images/train/t1.jpg")
    repair = fix(source, tmp_path / "copy")
    pictures = ["images/train/t0.bmp", "images/train/t0.png"]
    doubted = [change for change in repair.changes if change.change == "labels in doubt"]
    assert [change.file for change in doubted] == pictures
    assert doubted[0].reason == f"its label file is also that of {pictures[1]}, another picture"
    assert rows(tmp_path / "copy", "train/t0") == rows(tmp_path / "copy", "train/t0_png") == BOTH.splitlines()
    line = f"2 x shared label file, each picture copied with it ({', '.join(pictures)}): {kinds.SHARED_LABELS.mend}."
    assert line in str(repair).splitlines()
    assert line in (tmp_path / "copy/left_for_you.md").read_text(encoding="utf-8").splitlines()


def test_labelled_images_in_no_list_are_told_and_not_copied(source, tmp_path):
    names = [f"images/train/t{n}.png" for n in range(10)]
    (source / "train.txt").write_text("\n".join(names), encoding="utf-8")
    (source / "data.yaml").write_text(TWO_SPLITS.replace("images/train", "train.txt"), encoding="utf-8")
    repair = fix(source, tmp_path / "copy")
    extra = ["images/train/t10.png", "images/train/t11.png"]
    assert log(tmp_path / "copy") == [("unlisted image left out", file, "", "all") for file in extra]
    assert f"2 x labelled image in no split, not copied ({', '.join(extra)})" in str(repair)
    assert len(list((tmp_path / "copy/images/train").iterdir())) == 10


def test_what_is_refused(source, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x", encoding="utf-8")
    with pytest.raises(UserError, match="is not empty"):
        fix(source, tmp_path / "full")
    before = fingerprint(source)
    for inside in (source / "copy", source / "images" / "new"):
        with pytest.raises(UserError, match="which stays as it is"):
            fix(source, inside)
    with pytest.raises(UserError, match="needs no repair"):
        fix("cells", tmp_path / "copy")
    assert fingerprint(source) == before and not (tmp_path / "copy").exists()


def test_a_split_that_would_lose_every_image(tmp_path):
    write_set(tmp_path / "set", {f"{n}.png": BOTH for n in range(3)})  # one folder is both train and val
    with pytest.raises(UserError, match="No image of 'train' would be left"):
        fix(tmp_path / "set", tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_an_empty_folder_is_taken_and_a_failure_leaves_nothing(source, tmp_path, monkeypatch):
    (tmp_path / "copy").mkdir()
    monkeypatch.setattr(
        "yolo_ft.data.checks.repair.shutil.copyfile", lambda *_: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(OSError, match="disk full"):
        fix(source, tmp_path / "copy")
    assert list((tmp_path / "copy").iterdir()) == [] and sorted(p.name for p in tmp_path.iterdir()) == ["copy", "set"]
    monkeypatch.undo()
    assert fix(source, tmp_path / "copy").out.is_dir() and (tmp_path / "copy" / "data.yaml").is_file()


def test_a_copy_that_has_gone_takes_no_other_with_it(source, tmp_path, monkeypatch):
    """train t1 resembles val v1, which resembles test x: with v1 gone, t1 leaks nothing any more."""
    spec = TWO_SPLITS.replace("names", "test: images/test\nnames")
    write_set(source, {**CLEAN, "test/x.png": BOTH}, spec)
    places = sorted(CLEAN)  # train first, as the list of pictures has it
    train, val, test = places.index("train/t1.png"), 12 + places[12:].index("val/v1.png"), 24
    pairs = [Pair(val, test, NEAR_COPY, 0.98), Pair(train, val, NEAR_COPY, 0.95)]
    monkeypatch.setattr("yolo_ft.data.checks.repair.find_pairs", lambda images, broken: pairs)
    fix(source, tmp_path / "copy")
    assert [entry[1] for entry in log(tmp_path / "copy")] == ["images/val/v1.png"]
