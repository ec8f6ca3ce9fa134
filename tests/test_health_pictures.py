"""The written report of a check: its files, its contact sheets, and where it may not be written."""

from __future__ import annotations

import json

import pytest
from matplotlib.patches import Rectangle
from picture_sets import fingerprint, photograph, write_set
from PIL import Image

from yolo_ft.core.errors import UserError
from yolo_ft.data.checks import findings as kinds
from yolo_ft.data.checks.check import check
from yolo_ft.report import health_pictures
from yolo_ft.report.health_pictures import contact_sheet, write_check

BOTH = "0 0.5 0.5 0.4 0.4\n1 0.3 0.6 0.2 0.4\n"
TINY = BOTH + "1 0.9 0.9 0.02 0.1\n"  # 2 x 6 pixels of 100 x 60
FILES = {f"{n}.png": TINY if n < 14 else BOTH for n in range(16)}
ONE_SPLIT = "train: images\nnames: [cat, dog]\n"


@pytest.fixture
def report(tmp_path):
    file = write_set(tmp_path / "set", FILES, ONE_SPLIT)
    Image.fromarray(photograph(60, 100, 14)).save(tmp_path / "set/images/15.png")  # the same picture as 14
    return check(file, imgsz=100)


def rectangles(ax) -> list[Rectangle]:
    return [patch for patch in ax.patches if isinstance(patch, Rectangle)]


def test_files_of_a_report(report, tmp_path):
    before = fingerprint(tmp_path / "set")
    files = write_check(report, tmp_path / "out" / "check")
    names = ["report.md", "report.json", "tiny_box.png", "copy_within_a_split.png"]
    assert [file.name for file in files] == names and all(file.stat().st_size > 200 for file in files)
    page = files[0].read_text(encoding="utf-8")
    assert "![tiny box](tiny_box.png)" in page and "- train images/0.png, line 3: dog is 2.0 x 6.0 pixels" in page
    content = json.loads(files[1].read_text(encoding="utf-8"))
    assert len(content["findings"]) == len(report.findings) and content["imgsz"] == 100
    for name in names[2:]:
        assert (tmp_path / "out" / "check" / name).read_bytes().startswith(b"\x89PNG")
    assert fingerprint(tmp_path / "set") == before


def test_a_sheet_shows_each_image_once_with_its_boxes_and_their_surroundings(report):
    figure = contact_sheet(report, kinds.TINY)
    shown = [ax for ax in figure.axes if ax.images]
    assert len(shown) == health_pictures.TILES == 12 and "14 found" in figure.get_suptitle()
    first = shown[0]
    assert len(rectangles(first)) == 4  # three labels, and the one in question again, dashed
    assert [patch.get_linestyle() for patch in rectangles(first)] == ["solid", "solid", "solid", "--"]
    (x1, x2), (y2, y1) = first.get_xlim(), first.get_ylim()
    assert (x1, y1, x2, y2) == (40, 0, 100, 60)  # 64 pixels or the shorter side, moved into the image
    assert first.get_title(loc="left").startswith("train: 0.png\ndog is 2.0 x 6.0")


def test_copies_stand_side_by_side(report):
    shown = [ax for ax in contact_sheet(report, kinds.REPEATED).axes if ax.images]
    assert [ax.get_title(loc="left").splitlines()[0] for ax in shown] == ["train: 14.png", "train: 15.png"]
    assert shown[0].get_xlim() == (0, 100) and shown[0].get_ylim() == (60, 0)


def test_every_text_can_be_read(report):
    figure = contact_sheet(report, kinds.TINY)
    sizes = [ax.title.get_fontsize() for ax in figure.axes] + [figure._suptitle.get_fontsize()]
    assert min(sizes) >= 11


def test_nothing_is_overwritten_and_nothing_goes_into_the_data_set(report, tmp_path):
    write_check(report, tmp_path / "out")
    with pytest.raises(UserError, match="is not empty"):
        write_check(report, tmp_path / "out")
    with pytest.raises(UserError, match="which stays as it is"):
        write_check(report, tmp_path / "set" / "images" / "report")
