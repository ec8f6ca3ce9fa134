"""The broken copy of lesson 06: every planted fault is found and the mendable ones are mended; the source stays."""

import pytest
from picture_sets import coloured, fingerprint, in_memory

from yolo_ft.core.errors import UserError
from yolo_ft.data.checks.check import check
from yolo_ft.data.checks.findings import ERROR
from yolo_ft.data.checks.repair import fix
from yolo_ft.report.planted_faults import plant_faults


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("broken") / "copy"
    return folder, plant_faults(coloured(60, size=(96, 160)), folder, images=16)


def test_every_planted_fault_is_found(broken):
    folder, planted = broken
    report = check(folder, imgsz=160)
    found = {kind.name: cases for kind, cases in report.found()}
    assert set(planted) <= set(found)
    assert [len(found[name]) for name in planted] == [2, 1, 1, 1, 1]
    assert sorted(case.file for case in found["copy in two splits"])
    # 16 images, 12 of them for training: one of these has a class that does not exist; two copies more in val
    assert {split: images for split, (images, _) in report.counts().items()} == {"train": 11, "val": 6}


def test_fix_mends_what_needs_no_guess_and_the_broken_copy_stays(broken, tmp_path):
    folder, _ = broken
    before = fingerprint(folder)
    repair = fix(folder, tmp_path / "mended")
    assert fingerprint(folder) == before
    assert not repair.left.errors
    left = {kind.name for kind, _ in repair.left.found() if kind.level != "note"}
    assert left >= {"tiny box", "no label file"} and ERROR not in left
    assert {split: images for split, (images, _) in repair.left.counts().items()} == {"train": 9, "val": 6}


def test_too_few_images_are_a_sentence_and_write_nothing(tmp_path):
    empty = in_memory([], [])
    for dataset in (empty, coloured(7)):
        with pytest.raises(UserError, match=r"images with objects; give 8 at least"):
            plant_faults(dataset, tmp_path / "out")
    assert not (tmp_path / "out").exists()
