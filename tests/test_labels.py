"""Label files: what rows say, what is wrong with them, and where they lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_sets import photograph
from PIL import Image

from yolo_ft.data.formats.labels import label_path, parse_labels, read_labels
from yolo_ft.data.formats.records import POLYGON
from yolo_ft.data.health import BACKGROUND, DROPPED, ROW_REMOVED


@pytest.mark.parametrize("text", ["", "\n", "  \r\n\t\n"])
def test_an_empty_label_file_has_no_rows_and_no_findings(text):
    rows, findings = parse_labels(text, 3)
    assert rows.shape == (0, 5) and findings == []


def test_rows_are_read_with_tabs_crlf_and_whole_float_classes():
    rows, findings = parse_labels("0 0.5 0.25 0.1 0.2\r\n\r\n2.0\t1 1 1e-1 0\t\r\n1 .5 .5 1 1", 3)
    assert findings == [(3, "the box has no width or height", ROW_REMOVED)]
    np.testing.assert_array_equal(rows, [[0, 0.5, 0.25, 0.1, 0.2], [1, 0.5, 0.5, 1, 1]])


def test_polygons_become_the_box_around_them_row_by_row():
    rows, findings = parse_labels("1 0.1 0.2 0.5 0.4 0.3 0.8\n0 0.5 0.5 0.2 0.2\n", 2)
    assert not findings
    np.testing.assert_allclose(rows, [[1, 0.3, 0.5, 0.4, 0.6], [0, 0.5, 0.5, 0.2, 0.2]])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("0 0.5 0.5 0.1", "4 columns"),
        ("0 0.5 0.5 0.1 0.1 0.9", "6 columns"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "8 columns"),
        ("cat 0.5 0.5 0.1 0.1", "not a number: cat"),
        ("0 0,5 0.5 0.1 0.1", "not a number: 0,5"),
        ("0 nan 0.5 0.1 0.1", "NaN"),
        ("0 0.5 inf 0.1 0.1", "NaN or infinity"),
        ("nan 0.5 0.5 0.1 0.1", "NaN"),
        ("0 -0.01 0.5 0.1 0.1", "-0.01 is outside 0..1"),
        ("0 0.5 0.5 1.01 0.1", "1.01 is outside 0..1"),
        ("0 320 240 50 60", "320 is outside 0..1"),
        ("2 0.5 0.5 0.1 0.1", "class 2 is not in 0..1"),
        ("-1 0.5 0.5 0.1 0.1", "class -1 is not in 0..1"),
        ("0.5 0.5 0.5 0.1 0.1", "class 0.5 is not in 0..1"),
        ("1 0.1 0.2 0.5 0.4 0.3 1.8", "1.8 is outside"),
    ],
)
def test_a_bad_row_names_its_line_and_costs_the_image(row, reason):
    _, findings = parse_labels(f"0 0.5 0.5 0.1 0.1\n{row}\n", 2)
    assert [(line, action) for line, _, action in findings] == [(2, DROPPED)]
    assert reason in findings[0][1]


def test_the_same_row_again_is_removed_once_per_repetition():
    rows, findings = parse_labels("1 .5 .5 .1 .1\n0 .5 .5 .1 .1\n1 0.50 0.5 0.1 0.1\n1 .5 .5 .1 .1\n", 2)
    assert rows[:, 0].tolist() == [1, 0]  # the order of the file stays
    assert [(line, action) for line, _, action in findings] == [(3, ROW_REMOVED), (4, ROW_REMOVED)]


@settings(deadline=None)
@given(st.text(max_size=80) | st.from_regex(r"([0-9] ?[-0-9.einfa ]*\n){0,4}", fullmatch=True))
def test_no_text_makes_the_parser_fail_or_pass_bad_numbers(text):
    rows, findings = parse_labels(text, 3)
    assert rows.shape[1] == 5 and np.isfinite(rows).all()
    assert ((rows[:, 1:] >= 0) & (rows[:, 1:] <= 1)).all() and set(rows[:, 0]) <= {0, 1, 2}
    assert all(line >= 1 and reason and action in (DROPPED, ROW_REMOVED) for line, reason, action in findings)


def test_labels_lie_beside_the_last_folder_called_images(tmp_path):
    assert label_path(Path("/x/images/a/images/b.mp4#t=1.jpg")) == Path("/x/images/a/labels/b.mp4#t=1.txt")
    assert label_path(Path("/x/pictures/b.jpg")) == Path("/x/pictures/b.txt")
    home = tmp_path / "images" / "set"
    home.mkdir(parents=True)
    (home / "a.txt").write_text("", encoding="utf-8")
    assert label_path(home / "a.jpg") == home / "a.txt"
    assert label_path(home / "b.jpg") == tmp_path / "labels" / "set" / "b.txt"


def test_a_record_holds_boxes_in_pixels_and_marks_polygons(tmp_path):
    image, label = tmp_path / "a.png", tmp_path / "a.txt"
    Image.fromarray(photograph(60, 100)).save(image)
    label.write_text("1 0.1 0.2 0.5 0.4 0.3 0.8\n0 0.5 0.5 0.2 0.5\n0 0.9 0.5 0.4 0.5\n", encoding="utf-8")
    record, issues = read_labels("a.png", image, label, "a.txt", 2)
    assert record.size == (60, 100) and record.key == "a.png" and not issues
    np.testing.assert_allclose(record.target.boxes, [[10, 12, 50, 48], [40, 15, 60, 45], [70, 15, 100, 45]], atol=1e-4)
    assert record.marks == (frozenset({POLYGON}), frozenset(), frozenset())
    label.unlink()
    record, issues = read_labels("a.png", image, label, "a.txt", 2)
    assert len(record.target) == 0 and record.marks == () and [issue.action for issue in issues] == [BACKGROUND]


def test_further_pages_of_a_tiff_are_passed_over_with_a_word(tmp_path):
    pages = [Image.new("L", (20, 12), value) for value in (50, 90)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n", encoding="utf-8")
    record, issues = read_labels("a.tif", tmp_path / "a.tif", tmp_path / "a.txt", "a.txt", 1)
    assert len(record.target) == 1 and ["2 pages, of which only the first" in issue.reason for issue in issues] == [
        True
    ]
