"""What a check finds about two images: copies, look-alikes, labels that contradict each other or fit one of them."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from picture_sets import photograph, write_set
from PIL import Image

from yolo_ft.data.checks import findings as kinds
from yolo_ft.data.checks.check import check
from yolo_ft.data.checks.findings import CheckReport

CAT, DOG = "0 0.5 0.5 0.4 0.4\n", "1 0.3 0.6 0.2 0.4\n"
BOTH = CAT + DOG
TWO_SPLITS = "train: images/train\nval: images/val\nnames: [cat, dog]\n"
CLEAN = {f"{split}/{split[0]}{n}.png": BOTH for split in ("train", "val") for n in range(12)}


def two_splits(folder, changes=()):
    """A clean set of twelve images with a cat and a dog in each split, with some label files changed."""
    return write_set(folder, {**CLEAN, **dict(changes)}, TWO_SPLITS)


def found(report: CheckReport) -> dict[str, int]:
    return {kind.name: len(cases) for kind, cases in report.found()}


@pytest.mark.parametrize(("copied", "how"), [(".png", "same file"), (".bmp", "same pixels"), (".jpg", "near copy")])
def test_a_copy_in_two_splits(tmp_path, copied, how):
    file = two_splits(tmp_path)
    source, target = tmp_path / "images/train/t3.png", (tmp_path / "images/val/v0.png").with_suffix(copied)
    Image.fromarray(smooth(3)).save(source)
    target.with_suffix(".png").unlink()
    if how == "same file":
        shutil.copy(source, target)
    else:
        Image.open(source).save(target)
    report = check(file)
    assert found(report) == {"copy in two splits": 1} and report.errors == 1
    (case,) = report.findings
    assert (case.split, case.file, case.place, case.twin) == ("train", "images/train/t3.png", ("train", 5), ("val", 0))
    assert how in case.reason and f"images/val/{target.name}" in case.reason


def smooth(seed: int) -> np.ndarray:
    """A picture with soft detail, which JPEG keeps."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (15, 25, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((100, 60), Image.Resampling.BICUBIC))


def test_a_copy_within_a_split_and_labels_that_disagree(tmp_path):
    file = two_splits(tmp_path, {"train/t1.png": CAT + "1 0.8 0.2 0.2 0.2\n"})
    shutil.copy(tmp_path / "images/train/t1.png", tmp_path / "images/train/t2.png")
    report = check(file)
    assert found(report) == {"copies labelled differently": 1, "copy within a split": 1}
    (case,) = report.of(kinds.CONTRADICTION)
    assert "2 of 4 boxes" in case.reason  # the dog of each has no partner
    np.testing.assert_allclose(case.boxes, [(70, 6, 90, 18)], atol=0.1)
    np.testing.assert_allclose(case.twin_boxes, [(20, 24, 40, 48)], atol=0.1)
    (written,) = (each for each in report.as_dict()["findings"] if each["kind"] == case.kind.name)
    assert written["twin"] == {"split": "train", "file": "images/train/t2.png"}
    assert (written["boxes"], written["twin_boxes"]) == (case.boxes, case.twin_boxes)


def test_a_box_that_only_the_second_copy_has_is_shown_too(tmp_path):
    file = two_splits(tmp_path, {"train/t1.png": CAT})
    Image.open(tmp_path / "images/train/t1.png").save(tmp_path / "images/train/t2.bmp")
    (tmp_path / "images/train/t2.png").unlink()
    (case,) = check(file).of(kinds.CONTRADICTION)
    assert case.boxes == () and len(case.twin_boxes) == 1 and "1 of 3 boxes" in case.reason


def test_a_copy_without_labels(tmp_path):
    file = two_splits(tmp_path, {"train/t1.png": None})
    shutil.copy(tmp_path / "images/train/t1.png", tmp_path / "images/val/v4.png")
    report = check(file)
    assert found(report) == {"copy in two splits": 1, "unlabelled copy": 1, "no label file": 1}
    (case,) = report.of(kinds.UNLABELLED_COPY)
    assert case.file == "images/train/t1.png" and "val images/val/v4.png has 2" in case.reason


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_look_alike_without_labels_names_the_one_that_has_some(tmp_path, split):
    """Within a split, too, where look-alikes are no finding of their own."""
    bare = split[0] + "1.png"
    file = two_splits(tmp_path, {f"{split}/{bare}": ""})
    layout = np.asarray(Image.fromarray(photograph(16, 16)).resize((320, 240)))
    for seed, name in enumerate(("train/t3.png", f"{split}/{bare}")):
        grain = np.random.default_rng(seed).normal(0, 40, (240, 320, 1))
        Image.fromarray(np.clip(layout + grain, 0, 255).astype(np.uint8)).save(tmp_path / "images" / name)
    report = check(file)
    assert (kinds.LOOK_ALIKE.name in found(report)) == (split == "val")
    (case,) = report.of(kinds.UNLABELLED_LOOK_ALIKE)
    assert (case.split, case.file) == (split, f"images/{split}/{bare}") and report.errors == 0
    assert "its look-alike train images/train/t3.png has 2" in case.reason and case.twin == ("train", 5)
    for text in (BOTH, CAT):  # both have objects: look-alikes may differ in them
        (tmp_path / "labels" / split / bare).with_suffix(".txt").write_text(text, encoding="utf-8")
        assert not check(file).of(kinds.UNLABELLED_LOOK_ALIKE) and not check(file).of(kinds.CONTRADICTION)


def test_two_pictures_that_share_a_label_file(tmp_path):
    file = two_splits(tmp_path)
    other = tmp_path / "images/train/t0.bmp"
    Image.fromarray(photograph(60, 100, 90)).save(other)
    report = check(file)
    assert found(report) == {"shared label file": 1} and report.errors == 1
    (case,) = report.findings
    assert (case.file, case.place, case.twin) == ("images/train/t0.bmp", ("train", 0), ("train", 1))
    assert case.reason == "t0.txt is also the label file of train images/train/t0.png, another picture"
    label = tmp_path / "labels/train/t0.txt"
    label.write_text("", encoding="utf-8")
    assert found(check(file)) == {"image without objects": 2}  # an empty file may be right for both
    label.write_text(BOTH, encoding="utf-8")
    Image.open(tmp_path / "images/train/t0.png").save(other)
    assert found(check(file)) == {"copy within a split": 1}


def test_a_label_file_that_two_splits_share(tmp_path):
    file = two_splits(tmp_path)
    Image.fromarray(photograph(60, 100, 90)).save(tmp_path / "images/train/t0.bmp")
    names = [f"images/val/v{n}.png" for n in range(12)]
    (tmp_path / "val.txt").write_text("\n".join(["images/train/t0.png", *names]), encoding="utf-8")
    names = [f"images/train/t{n}.png" for n in range(1, 12)]
    (tmp_path / "train.txt").write_text("\n".join(["images/train/t0.bmp", *names]), encoding="utf-8")
    file.write_text("train: train.txt\nval: val.txt\nnames: [cat, dog]\n", encoding="utf-8")
    (case,) = check(file).findings
    assert (case.kind, case.place, case.twin) == (kinds.SHARED_LABELS, ("train", 0), ("val", 0))


def test_one_list_for_two_splits_is_leakage_but_no_contradiction(tmp_path):
    file = write_set(tmp_path, {f"{n}.png": CAT * 1 + DOG for n in range(10)})  # train and val are the same folder
    assert found(check(file)) == {"copy in two splits": 10}
