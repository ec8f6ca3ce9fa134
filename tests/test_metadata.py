"""Groups and times of images: from names, tables, EXIF, near copies, or as given."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
from picture_sets import coloured, photograph, write_set
from PIL import Image

from yolo_ft.core.errors import UserError
from yolo_ft.data.dataset import load_splits
from yolo_ft.data.splits.metadata import group_labels, image_times

BOX = "0 0.5 0.5 0.2 0.5\n"
NAMES = ["a/clip1_0001.png", "a/clip1_0002.png", "b/clip2_0001.png", "b/ü 7.png"]


@pytest.fixture
def dataset(tmp_path):
    return load_splits(write_set(tmp_path, dict.fromkeys(NAMES, BOX)))["train"]


def table(tmp_path, text: str, encoding: str = "utf-8"):
    path = tmp_path / "info.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_nothing_has_no_groups_and_no_times():
    nothing = coloured(1).subset([])
    for what in ("near-duplicates", "names", r"(\d)", []):
        assert group_labels(nothing, what) == []
    assert image_times(nothing, "exif").shape == (0,)


def test_patterns_match_the_key(dataset):
    assert group_labels(dataset, "images/([ab])") == ["a", "a", "b", "b"]
    assert group_labels(dataset, "[ab]/") == ["a/", "a/", "b/", "b/"]
    assert group_labels(dataset, r"(\w)/(clip\d)|$") == ["a-clip1", "a-clip1", "b-clip2", "images/b/ü 7.png"]
    assert image_times(dataset, r"_?(\d+)\.png").tolist() == [1, 2, 1, 7]
    assert group_labels(dataset, "names") == ["a/clip1", "a/clip1", "b/clip2", "images/b/ü 7.png"]
    assert group_labels(dataset, [1, 1, 2, 3]) == ["1", "1", "2", "3"]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (
            "name,patient,day\nimages/a/clip1_0001.png,p1,3\n./a/clip1_0002.png,p2,4\nclip2_0001,p1,5\nü 7,p3,6\n",
            "utf-8",
        ),
        ("Datei;patient\r\nclip1_0001.png;p1\r\nclip1_0002.png;p2\r\nclip2_0001.png;p1\r\nü 7.png;p3\r\n", "utf-8-sig"),
    ],
)
def test_tables_by_key_file_name_or_stem(dataset, tmp_path, text, encoding):
    text = text.replace("./a/clip", "images\\a\\clip")  # as a table from Windows has it
    assert group_labels(dataset, "patient", table(tmp_path, text, encoding)) == ["p1", "p2", "p1", "p3"]


def test_near_copies_are_one_group(tmp_path):
    file = write_set(tmp_path, dict.fromkeys(["1.png", "2.png"], BOX), size=(96, 128))
    smooth = Image.fromarray(photograph(12, 16, 5)).resize((128, 96), Image.Resampling.BICUBIC)
    for name in ("3.png", "4.jpg"):
        smooth.save(tmp_path / "images" / name)
    assert group_labels(load_splits(file)["train"], "near-duplicates") == [
        f"images/{name}" for name in ("1.png", "2.png", "3.png", "3.png")
    ]


def test_times_are_numbers_or_iso_dates(dataset):
    day = 86400.0
    dates = ["1970-01-02", "1970-01-01T00:00:01", "1970-01-02T00:00Z", "1970-01-03 00:00:00+01:00"]
    assert image_times(dataset, dates).tolist() == [day, 1, day, 2 * day - 3600]
    assert image_times(dataset, ["20260131", 5, 2.5, "-1"]).tolist() == [20260131, 5, 2.5, -1]
    assert image_times(dataset, [datetime(1970, 1, 2)] * 4).tolist() == [day] * 4


def test_exif_says_when_a_photograph_was_taken(tmp_path):
    file = write_set(tmp_path, dict.fromkeys(["1.jpg", "2.jpg", "3.png"], BOX))
    exif = Image.Exif()
    exif[0x0110] = "a camera"  # without a tag in its main block, Pillow writes none into a PNG
    exif.get_ifd(0x8769)[0x9003] = "1970:01:02 00:00:05"
    for path in (tmp_path / "images").iterdir():
        Image.fromarray(photograph(40, 30)).save(path, exif=exif)
    assert image_times(load_splits(file)["train"], "exif").tolist() == [86405.0] * 3
    Image.fromarray(photograph(40, 30)).save(tmp_path / "images" / "2.jpg")
    with pytest.raises(UserError, match=r"1 of 3 images have no time by 'exif', the first is images/2\.jpg"):
        image_times(load_splits(file)["train"], "exif")


@pytest.mark.parametrize(
    ("read", "what", "words"),
    [
        (group_labels, "clip", r"1 of 4 images have no group by 'clip', the first is images/b/ü 7\.png: .*'\|\$'"),
        (group_labels, "(", "is no regular expression"),
        (group_labels, ["a"], "1 groups for 4 images"),
        (image_times, [1, 2, 3], "3 times for 4 images"),
        (image_times, ["2026-01-31", "31.01.2026", "1", "1"], r"The time '31\.01\.2026' of images/a/clip1_0002\.png"),
        (image_times, ["1", "nan", "1", "1"], "The time 'nan' of images/a/clip1_0002"),
        (image_times, ["2026-01-31", "5", "2026-01-31", "7"], "The time '5' of .* as all have to be"),
    ],
)
def test_mistakes_are_named(dataset, read, what, words):
    with pytest.raises(UserError, match=words):
        read(dataset, what)


def test_only_the_column_that_is_asked_for_has_to_be_consistent(dataset, tmp_path):
    rows = "".join(f"{name},p{i},{x}\n" for i, name in enumerate(NAMES) for x in (1, 2))  # one per object
    assert group_labels(dataset, "patient", table(tmp_path, f"name,patient,xmin\n{rows}")) == ["p0", "p1", "p2", "p3"]


@pytest.mark.parametrize("name", ["3.jpg", "3"])
def test_a_name_in_a_table_that_fits_two_images_is_refused(tmp_path, name):
    dataset = load_splits(write_set(tmp_path, dict.fromkeys(["a/3.jpg", "b/3.jpg"], BOX)))["train"]
    with pytest.raises(UserError, match=rf"column of .*, 'file', .* '{name}' fits images/a/3\.jpg and images/b/3\.jpg"):
        group_labels(dataset, "site", table(tmp_path, f"file,site\n{name},s\n"))
    text = "file,site\na/3.jpg,s1\nb/3.jpg,s2\n3.jpg,s3\n"
    assert group_labels(dataset, "site", table(tmp_path, text)) == ["s1", "s2"]


@pytest.mark.parametrize("names", [["A/CLIP1_0001.PNG"], ["/data/images/a/clip1_0001.png"], [1, 2], ["row", "row"]])
def test_a_first_column_that_names_no_image_is_told(dataset, tmp_path, names):
    rows = "".join(f"{name},p{i}\n" for i, name in enumerate(names))
    words = (
        rf"first column of .*info\.csv, 'id', .* row has '{names[0]}', the first image is 'images/a/clip1_0001\.png'"
    )
    with pytest.raises(UserError, match=words):
        group_labels(dataset, "patient", table(tmp_path, f"id,patient\n{rows}"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "needs a heading and two columns"),
        ("name\n1\n", "needs a heading and two columns"),
        ("name,patient\n", "and a row for each of them"),
        ("name,patient\nclip1_0001,p1\nclip1_0001,p2\n", "gives clip1_0001 two values of 'patient'"),
        ("name,patient\nclip1_0001,p1\n", r"3 of 4 images have no group by 'patient'.*fill the column"),
        ("name,patient\n" + "".join(f"{name},\n" for name in NAMES), "4 of 4 images have no group"),
        ("name,person\nclip1_0001,p1\n", r"no group by 'patient'.*\(the columns of .* are person\)"),
    ],
)
def test_mistakes_in_a_table_are_named(dataset, tmp_path, text, words):
    with pytest.raises(UserError, match=words):
        group_labels(dataset, "patient", table(tmp_path, text))


def test_a_table_that_cannot_be_read(dataset, tmp_path):
    for path in (tmp_path / "none.csv", tmp_path, table(tmp_path, "name,patient\nü,1", "latin-1")):
        with pytest.raises(UserError, match="cannot be read as a table"):
            group_labels(dataset, "names", path)  # a table that is not needed is no excuse for a slip in its path
        with pytest.raises(UserError, match="cannot be read as a table"):
            group_labels(dataset, "patient", path)


def test_values_are_those_of_the_images_in_order(dataset, tmp_path):
    days = "name,day\n" + "".join(f"{name},{number}\n" for number, name in enumerate(reversed(NAMES)))
    np.testing.assert_array_equal(
        image_times(dataset, "day", table(tmp_path, days.replace("a/", "").replace("b/", ""))), [3, 2, 1, 0]
    )


@pytest.mark.parametrize("head", ["name,note,note,site", "name,,,site", "name, ,note,site"])
def test_headings_that_are_equal_or_blank_move_no_column(dataset, tmp_path, head):
    rows = "".join(f"images/{name},n{number},m{number},s{number % 2}\n" for number, name in enumerate(NAMES))
    file = table(tmp_path, f"{head}\n{rows}")
    assert group_labels(dataset, "site", file) == ["s0", "s1", "s0", "s1"]
    if head.count("note") == 2:
        with pytest.raises(UserError, match="has 2 columns called 'note': rename all but one"):
            group_labels(dataset, "note", file)
