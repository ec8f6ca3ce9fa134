"""The written report of a check: its files, its contact sheets, and where it may not be written."""

from __future__ import annotations

import json
import shutil
import warnings

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from picture_sets import fingerprint, photograph, write_set
from PIL import Image

from yolo_ft.core.errors import UserError
from yolo_ft.data.checks import findings as kinds
from yolo_ft.data.checks.check import check
from yolo_ft.report import health_pictures, letters
from yolo_ft.report.health_pictures import contact_sheet, write_check
from yolo_ft.report.lessons import png

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


def test_boxes_that_copies_do_not_share_are_marked_on_both_in_the_same_part(tmp_path):
    """The first has a box more at its left edge, the second, of twice the size, one more at its right edge."""
    left, right = "0 0.1 0.5 0.04 0.1\n", "1 0.3 0.5 0.04 0.1\n"
    file = write_set(tmp_path, {"a.png": BOTH + left, "b.png": BOTH + right}, ONE_SPLIT)
    for name, size in (("a.png", (100, 60)), ("b.png", (200, 120))):
        Image.fromarray(photograph(12, 20)).resize(size).save(tmp_path / "images" / name)
    one, twin = [ax for ax in contact_sheet(check(file), kinds.CONTRADICTION).axes if ax.images]
    dashed = [[patch.get_bbox().extents for patch in rectangles(ax)[3:]] for ax in (one, twin)]
    np.testing.assert_allclose(dashed, [[(8, 27, 12, 33)], [(56, 54, 64, 66)]], atol=0.1)
    np.testing.assert_allclose(2 * np.array(one.get_xlim()), twin.get_xlim(), atol=0.1)
    assert one.get_title(loc="left").splitlines()[1].startswith("2 of 6 boxes are only here")


def test_names_in_other_scripts_and_with_dollars_are_written_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(letters, "_fonts", lambda: {"DejaVu Sans": frozenset(range(0x250))})
    file = write_set(tmp_path, {"细$a_b$.png": BOTH, "x.png": BOTH}, ONE_SPLIT)
    shutil.copy(tmp_path / "images/细$a_b$.png", tmp_path / "images/x.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of letters that it cannot draw
        figure = contact_sheet(check(file), kinds.REPEATED)
        png(figure, dpi=40)
    titles = {
        text.get_text().splitlines()[0]: text.get_parse_math() for text in figure.findobj(Text) if text.get_text()
    }
    assert titles.items() >= {("train: x.png", False), (r"train: \u7ec6$a_b$.png", False)}


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
