"""Splits and folds: every image once, groups whole, nothing of the user's touched, and lists that load again."""

from __future__ import annotations

import os
import shutil
import struct
import zlib

import numpy as np
import pytest
import yaml
from picture_sets import coloured, fingerprint, in_memory, write_set
from PIL import Image

from yolo_ft.cli import main
from yolo_ft.core.errors import UserError
from yolo_ft.core.targets import Target
from yolo_ft.data.checks.check import check
from yolo_ft.data.checks.findings import SAME_GROUP
from yolo_ft.data.conversion.tiling import tile
from yolo_ft.data.dataset import Dataset, load_dataset, load_splits
from yolo_ft.data.formats.labels import label_path
from yolo_ft.data.splits.split import Split, folds, split, write_folds

CAT, DOG = "0 0.5 0.5 0.2 0.5\n", "1 0.5 0.5 0.2 0.5\n0 0.3 0.3 0.1 0.1\n"


def covered(made: Split) -> list[int]:
    return sorted(np.concatenate(list(made.indices.values())).tolist())


def photographs(folder, videos: int = 6, frames: int = 5):
    """A YOLO folder of videos: images/clip3_02.png and so on, a fifth of them with a dog."""
    names = [f"clip{video}_{frame:02d}.png" for video in range(videos) for frame in range(frames)]
    return write_set(folder, {name: DOG if i % 5 == 0 else CAT for i, name in enumerate(names)}, size=(12, 20))


def undecodable(path):
    """Damage the pixels of a PNG, but not its checksums, as a program does that writes too few of them."""
    with Image.open(path) as image:
        head = struct.pack(">IIBBBBB", *image.size, 8, 2, 0, 0, 0)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    chunks = chunk(b"IHDR", head), chunk(b"IDAT", bytes(20)), chunk(b"IEND", b"")
    path.write_bytes(b"".join([b"\x89PNG\r\n\x1a\n", *chunks]))


def test_nothing_one_image_and_only_background():
    with pytest.raises(UserError, match="no image to split"):
        split(in_memory([], []))
    for make in (lambda data: split(data), lambda data: folds(data, 2)):
        with pytest.raises(UserError, match="1 image cannot fill 2 parts"):
            make(coloured(1))
    image = np.zeros((20, 30, 3), np.uint8)
    background = split(in_memory([image] * 10, [Target()] * 10))
    assert [len(part) for part in background.indices.values()] == [8, 2]
    assert "No image at all shows class0, class1, class2 and 3 more" in str(background.report())
    two = split(coloured(2))
    assert len(two.train) == len(two.val) == 1


def test_an_empty_test_split_is_no_test_split(tmp_path):
    file = write_set(tmp_path, {f"{n}.png": CAT for n in range(10)}, "train: images\ntest: test\nnames: [x]\n")
    (tmp_path / "test").mkdir()
    made = split(file)
    assert [len(part) for part in made.indices.values()] == [8, 2] and made.how == "stratified, seed 0"


@pytest.mark.parametrize(("count", "held"), [(10, 2), (999, 200), (1000, 100)])
def test_default_shares_change_at_a_thousand_images(count, held):
    image = np.zeros((10, 10, 3), np.uint8)
    made = split(in_memory([image] * count, [Target([[1, 1, 5, 5]], [i % 3]) for i in range(count)]))
    assert len(made.indices["val"]) == held and list(made.indices) == ["train", "val"]


@pytest.mark.parametrize("settings", [{}, {"test": 0.2}, {"stratify": False}, {"val": 0.3, "test": 0.3, "seed": 5}])
@pytest.mark.parametrize("grouped", [False, True])
def test_every_image_is_in_exactly_one_split(settings, grouped):
    dataset, groups = coloured(40), [i // 4 for i in range(40)] if grouped else None
    made, again = (split(dataset, groups=groups, **settings) for _ in range(2))
    assert covered(made) == list(range(40))
    assert all((made.indices[name] == again.indices[name]).all() for name in made.indices)
    assert all((np.diff(part) > 0).all() for part in made.indices.values())
    if grouped:
        parts = [set(part // 4) for part in made.indices.values()]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 10
        assert "No leakage" in str(made.report())


def test_parts_are_data_sets_that_say_what_they_are():
    made = split(coloured(20), test=0.2)
    for name, part in (("train", made.train), ("val", made.val), ("test", made.test)):
        assert isinstance(part, Dataset) and part.split == name and len(part) == len(made.indices[name])
        assert (part.health.split, part.health.images, part.health.objects) == (name, len(part), 2 * len(part))
        assert part.keys == [made.dataset.keys[i] for i in made.indices[name]]
    with pytest.raises(UserError, match="has no 'test', only train, val"):
        _ = split(coloured(20)).test


def test_the_newest_images_are_held_out():
    when = np.random.default_rng(0).permutation(30)
    made = split(coloured(30), test=0.1, times=when)
    assert sorted(when[made.indices["test"]]) == [27, 28, 29]
    assert sorted(when[made.indices["val"]]) == list(range(21, 27))
    assert made.how == "in order of time by given values"


@pytest.mark.parametrize("test", [0, 0.1])
@pytest.mark.parametrize("groups", [None, [i // 3 for i in range(60)]])
def test_folds_validate_every_image_once(test, groups):
    made = folds(coloured(60), 4, test=test, groups=groups)
    held = np.concatenate([fold.indices["val"] for fold in made] + ([made[0].indices["test"]] if test else []))
    assert sorted(held.tolist()) == list(range(60))
    for fold in made:
        assert covered(fold) == list(range(60))
        assert groups is None or "No leakage" in str(fold.report())
        assert not test or (fold.indices["test"] == made[0].indices["test"]).all()
        assert not test or len(fold.indices["test"]) == 6
    assert {len(fold.indices["val"]) for fold in made} <= set(range(12, 18))


def test_folds_in_time_never_train_on_the_future():
    when = np.random.default_rng(0).permutation(50)
    made = folds(coloured(50), 4, times=when)
    held = [sorted(when[fold.indices["val"]].tolist()) for fold in made]
    assert held == [list(range(10 * i, 10 * i + 10)) for i in (1, 2, 3, 4)]
    for fold, moments in zip(made, held, strict=True):
        assert sorted(when[fold.indices["train"]].tolist()) == list(range(moments[0]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda data: split(data, val=1.0), "shares between 0 and 1"),
        (lambda data: split(data, val=0.6, test=0.4), "leave some for training"),
        (lambda data: split(data, groups=["one"] * 6), "1 group cannot fill 2 parts"),
        (lambda data: split(data, groups=["a", "b"]), "2 groups for 6 images"),
        (lambda data: folds(data, 1), "folds is 1, which is too few"),
        (lambda data: folds(data, 2, test=1.0), "test 1 must be a share"),
        (lambda data: folds(data, 7), "6 images cannot fill 7 parts"),
        (lambda data: split(data).write("here"), "is drawn and has no files"),
    ],
)
def test_mistakes_are_named(call, words):
    with pytest.raises(UserError, match=words):
        call(coloured(6))


def test_written_lists_load_again_from_anywhere_and_after_a_move(tmp_path, monkeypatch):
    home = tmp_path / "Präparate 1"
    labels = {f"früh {i}.png": DOG if i % 3 == 0 else CAT for i in range(9)} | {"leer.png": None}
    file = write_set(home / "Bilder ü", labels, "path: .\ntrain: images\nval: images\nnames: [Kätzchen, dog]\n")
    before = fingerprint(home / "Bilder ü")
    made = split(file, val=0.3)
    written = made.write(home / "neu" / "split a")
    assert fingerprint(home / "Bilder ü") == before, "images and labels stay as they were"
    assert sorted(path.name for path in written.parent.iterdir()) == ["data.yaml", "train.txt", "val.txt"]
    shutil.move(home, tmp_path / "moved")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    moved = tmp_path / "moved" / "neu" / "split a" / "data.yaml"
    for place in (moved, moved.parent, os.path.relpath(moved)):
        for name, part in load_splits(place).items():
            ours = made.part(name)
            assert [path.name for path in map(part.path, range(len(part)))] == [key.split("/")[-1] for key in ours.keys]
            assert [t.boxes.tolist() for t in map(part.target, range(len(part)))] == [
                t.boxes.tolist() for t in map(ours.target, range(len(ours)))
            ]
            assert all(label_path(part.path(i)).is_file() for i in range(len(part)) if len(part.target(i)))
    with pytest.warns(UserWarning, match="1 × kept as background"):
        both = load_dataset(moved, "train"), load_dataset(moved, "val")
    assert both[0].names == {0: "Kätzchen", 1: "dog"} and [len(part) for part in both] == [7, 3]


def test_links_are_listed_as_they_are_because_labels_lie_beside_them(tmp_path):
    file = photographs(tmp_path / "set")
    (tmp_path / "store").mkdir()
    for image in (tmp_path / "set" / "images").iterdir():
        image.rename(tmp_path / "store" / image.name)
        try:
            image.symlink_to(tmp_path / "store" / image.name)
        except OSError:
            pytest.skip("this system allows no links")
    assert len(load_dataset(split(file).write(tmp_path / "out"), "val")) == 6


def test_a_folder_that_holds_something_is_refused(tmp_path):
    file, out = photographs(tmp_path / "set"), tmp_path / "out"
    out.mkdir()
    split(file).write(out)  # empty: fine
    before = fingerprint(out)
    for write in (lambda: split(file).write(out), lambda: write_folds(folds(file, 2), out)):
        with pytest.raises(UserError, match="not empty"):
            write()
    with pytest.raises(UserError, match="name a new folder"):
        split(file).write(file)
    assert fingerprint(out) == before


def test_lists_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def full_disk(*arguments):
        raise OSError("no space left on device")

    file = photographs(tmp_path / "set")
    monkeypatch.setattr("yolo_ft.data.splits.split.write_data_yaml", full_disk)
    for write in (lambda: split(file).write(tmp_path / "out"), lambda: write_folds(folds(file, 2), tmp_path / "out")):
        with pytest.raises(OSError, match="no space"):
            write()
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_labels_that_a_list_would_not_find_are_refused(tmp_path):
    dataset = load_dataset(photographs(tmp_path / "set"))
    made = split(dataset)
    label = tmp_path / "set" / "labels" / "clip0_00.txt"
    label.write_text(CAT, encoding="utf-8")
    with pytest.raises(UserError, match=r"clip0_00\.png: its objects are not those of .*clip0_00\.txt"):
        made.write(tmp_path / "out")
    label.unlink()
    with pytest.raises(UserError, match="YOLO format"):
        write_folds([made], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_existing_test_split_stays_and_images_listed_twice_count_once(tmp_path, capsys):
    file = photographs(tmp_path)
    names = sorted(path.name for path in (tmp_path / "images").iterdir())
    (tmp_path / "test.txt").write_text("".join(f"./images/{name}\n" for name in names[:7]), encoding="utf-8")
    content = {"train": "images", "val": "images", "test": "test.txt", "names": ["cat", "dog"]}
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    made = split(file)
    assert made.test.keys == [f"images/{name}" for name in names[:7]] and covered(made) == list(range(30))
    assert len(made.indices["val"]) == 5 and made.how.endswith("test as it was")
    report = split(file, groups="names").report()
    assert report.leaks.index.tolist() == ["clip1"], "it is in the old test split and in a new one"
    assert "LEAKAGE: 1 groups (names)" in str(report), "a split remembers what its groups are"
    assert "groups='names' (--group names), and share the test images out anew" in str(made.report("names"))
    for number, more in enumerate(([], ["--leaks", "names"], ["--leaks", "none"])):
        out = str(tmp_path.with_name(f"out{number}"))
        command = ["data", "split", str(file), "--out", out, "--group", "names", *more]
        assert main(command) == 0, "what the user asked for is looked at, whatever else is"
        printed = capsys.readouterr().out
        assert printed.count("LEAKAGE: 1 groups (names) are in several splits") == 1
        assert ("(near-duplicates)" in printed) == (not more)
    assert [len(fold.test) for fold in folds(file, 3)] == [7, 7, 7]
    assert len(split(file, test=0.1).test) == 3 and "as it was" not in split(file, test=0.1).how
    file.write_text(yaml.safe_dump({**content, "test": "images"}), encoding="utf-8")
    with pytest.raises(UserError, match="Every image of .* is in its test split"):
        split(file, groups="names")


def test_unusable_images_are_told_and_left_out(tmp_path):
    file = photographs(tmp_path)
    (tmp_path / "images" / "clip0_00.png").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"1 images cannot be used and are in no split: see `yolo-ft data check`"):
        assert covered(split(file)) == list(range(29))


@pytest.mark.parametrize("settings", [[], ["--leaks", "none"], ["--group", "near-duplicates"], ["--folds", "2"]])
@pytest.mark.filterwarnings("always")
def test_what_cannot_be_decoded_is_told_and_in_no_list(tmp_path, capsys, settings):
    file, out = photographs(tmp_path / "set"), tmp_path / "out"
    undecodable(tmp_path / "set/images/clip0_00.png")
    assert load_splits(file)["train"].health.issues == [], "the scan does not see it"
    assert main(["data", "split", str(file), "--out", str(out), *settings]) == 0
    assert "warning: 1 images cannot be used and are in no split" in capsys.readouterr().err
    lists = [path.read_text(encoding="utf-8").split() for path in sorted(out.rglob("*.txt"))]
    assert sum(map(len, lists)) == 29 * (2 if "--folds" in settings else 1)
    assert not any("clip0_00" in line for each in lists for line in each)


def test_nothing_that_can_be_decoded_is_told(tmp_path):
    file = write_set(tmp_path, {"a.png": CAT})
    undecodable(tmp_path / "images/a.png")
    with pytest.raises(UserError, match="None of 1 images can be decoded: see `yolo-ft data check`"):
        split(file, groups="names")


def test_tiles_that_are_torn_apart_are_told_and_names_or_their_table_keep_them_together(tmp_path, capsys):
    spec = "train: images\nnames: [cat]\n"
    tile(
        write_set(tmp_path / "set", {f"field{n}.png": CAT for n in range(6)}, spec, size=(64, 160)),
        tmp_path / "tiles",
        64,
    )
    command = ["data", "split", str(tmp_path / "tiles"), "--out"]
    assert main([*command, str(tmp_path / "torn")]) == 0
    assert "Keep them together: groups='names' (--group names)." in capsys.readouterr().out
    assert check(tmp_path / "torn").of(SAME_GROUP)
    table = ["--group", "image", "--table", str(tmp_path / "tiles" / "tiles.csv")]
    for name, mend in (("named", ["--group", "names"]), ("looked-up", table)):
        assert main([*command, str(tmp_path / name), *mend]) == 0
        assert "LEAKAGE" not in capsys.readouterr().out and not check(tmp_path / name).of(SAME_GROUP)


def test_command_line(tmp_path, capsys):
    file = photographs(tmp_path / "set")
    (tmp_path / "info.csv").write_text(
        "file;day\n" + "".join(f"clip{v}_{f:02d};2026-01-{10 * f + v + 1:02d}\n" for v in range(6) for f in range(3)),
        encoding="utf-8",
    )
    assert main(["data", "split", str(file), "--out", str(tmp_path / "a"), "--group", "names", "--leaks", "none"]) == 0
    printed = capsys.readouterr().out
    assert "train images" in printed and "No leakage: no group (names) is in two splits." in printed
    assert printed.rstrip().endswith("data.yaml") and (tmp_path / "a" / "data.yaml").is_file()
    out = ["--out", str(tmp_path / "b")]
    assert main(["data", "split", str(file), *out, "--folds", "3", "--group", r"clip\d", "--leaks", "names"]) == 0
    assert capsys.readouterr().out.count("No leakage: no group (names)") == 3
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["fold0", "fold1", "fold2"]
    assert len(load_dataset(tmp_path / "b" / "fold2", "val")) == 10
    for wrong, sentence in (
        (["--folds", "3", "--val", "0.2"], "leave --val out"),
        (["--time", "day", "--table", str(tmp_path / "info.csv")], "12 of 30 images have no time by 'day'"),
        (["--leaks", "place"], "no group by 'place'"),
        (["--table", "info.csv"], "Nothing asks for a column of info.csv: name one with --group, --time or --leaks"),
        (["--table", "info.csv", "--group", "names"], "Nothing asks for a column of info.csv"),
    ):
        assert main(["data", "split", str(file), "--out", str(tmp_path / "c"), *wrong]) == 2
        assert sentence in capsys.readouterr().err and not (tmp_path / "c").exists()
