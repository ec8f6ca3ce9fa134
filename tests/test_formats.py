"""data.yaml, lists and label files as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from picture_sets import write_set

from yolo_ft.core.errors import UserError
from yolo_ft.data.dataset import load_splits
from yolo_ft.data.formats.scan import open_source
from yolo_ft.data.formats.yolo import read_spec, split_images


def spec_of(tmp_path: Path, text: str | bytes):
    path = tmp_path / "data.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return read_spec(path)


@pytest.mark.parametrize(
    "names", ["[Zelle, 'Blut plättchen']", "{0: Zelle, 1: Blut plättchen}", "{'1': Blut plättchen, '0': Zelle}"]
)
def test_names_as_list_or_dict_with_bom_and_crlf(tmp_path, names):
    spec = spec_of(tmp_path, b"\xef\xbb\xbf" + f"train: a\r\nnc: '2'\r\nnames: {names}\r\n".encode())
    assert spec.names == {0: "Zelle", 1: "Blut plättchen"} and list(spec.names) == [0, 1]
    assert spec.splits == {"train": ["a"]} and spec.root == tmp_path and spec.name == tmp_path.name


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must hold 'train:'"),
        ("- a\n- b\n", "must hold 'train:'"),
        ("train: [a\nnames: x", "not valid YAML in line 2"),
        ("train: a\n", "no class names"),
        ("train: a\nnames: cat\n", "no class names"),
        ("train: a\nnames: []\n", "no class names"),
        ("train: a\nnames: [yes, no]\n", "in quotes"),
        ("train: a\nnames: {0: cat, 2: dog}\n", "0 to 1 without a gap"),
        ("train: a\nnames: {cat: 0}\n", "class numbers"),
        ("train: a\nnc: 3\nnames: [cat, dog]\n", "nc is 3, but 'names:' lists 2"),
        ("train: a\nnames: [cat]\ndate: 2026-13-45\n", "a value that YAML cannot read .*: put it in quotes"),
        ("train: a\nnames: " + "[" * 50_000, "brackets are nested too deep"),
        (
            "train: a\nnames:\n  0: a\n  '0': b\n  1: c\n",
            "in line 4: the key '0' occurs twice; keep one",
        ),
        ("train: a\nnames: [x]\ntrain: b\n", "in line 3: the key 'train' occurs twice; keep one"),
        ("train: a\nnames:\n\t0: cat\n", "in line 3: .*; indent with spaces instead of tabs"),
        ("names: [cat]\n", "names no images"),
        ("train: a\nnames: [caf\xe9]\n".encode("latin-1"), "not UTF-8"),
    ],
)
def test_mistakes_in_data_yaml_are_told_with_the_mend(tmp_path, text, sentence):
    with pytest.raises(UserError, match=sentence):
        spec_of(tmp_path, text)


def test_yaml_cannot_make_objects(tmp_path):
    with pytest.raises(UserError, match="not valid YAML"):
        spec_of(tmp_path, "train: !!python/object/apply:os.getcwd []\nnames: [a]\n")


def test_a_missing_split_names_those_that_exist(tmp_path):
    spec = spec_of(tmp_path, "train: a\ntest: b\nnames: [cat]\n")
    with pytest.raises(UserError, match=r"no 'val:' entry \(it has train, test\)"):
        split_images(spec, "val")


def names_of(images: list[Path], root: Path) -> list[str]:
    return [image.relative_to(root).as_posix() for image in images]


def test_folders_are_searched_to_the_bottom_and_sorted(tmp_path):
    file = write_set(tmp_path, {"b/z.png": "", "a.JPG": "", "b/a.png": ""})
    (tmp_path / "images" / "notes.txt").write_text("not an image", encoding="utf-8")
    (tmp_path / "images" / "phone.HEIC").write_bytes(b"x")
    images, issues = split_images(read_spec(file), "train")
    assert names_of(images, tmp_path) == ["images/a.JPG", "images/b/a.png", "images/b/z.png"]
    assert [(issue.file, issue.action) for issue in issues] == [("images/phone.HEIC", "passed over")]


def test_lists_with_dots_blank_lines_bom_and_windows_slashes(tmp_path):
    file = write_set(tmp_path, {"a b.png": "", "ü.png": "", "c.png": ""}, "train: lists/train.txt\nnames: [x]\n")
    (tmp_path / "lists").mkdir()
    text = f"./../images/a b.png\r\n\r\nimages\\ü.png\r\n{tmp_path / 'images' / 'c.png'}\r\n./gone.png\r\n"
    (tmp_path / "lists" / "train.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    images, issues = split_images(read_spec(file), "train")
    assert [image.resolve().name for image in images] == ["a b.png", "ü.png", "c.png", "gone.png"]
    assert [image.is_file() for image in images] == [True, True, True, False] and not issues


def test_several_entries_and_the_same_image_twice(tmp_path):
    yaml_text = "train: [images/a, images/b, list.txt]\nnames: [x]\n"
    file = write_set(tmp_path, {"a/1.png": "", "b/1.png": ""}, yaml_text)
    (tmp_path / "list.txt").write_text("./images/b/1.png\n", encoding="utf-8")
    images, issues = split_images(read_spec(file), "train")
    assert names_of(images, tmp_path) == ["images/a/1.png", "images/b/1.png"]
    assert [(issue.file, issue.reason) for issue in issues] == [("images/b/1.png", "the same image is listed twice")]


@pytest.mark.parametrize(
    "yaml_text",
    [
        "train: ../images\nnames: [x]\n",
        "path: ../somewhere\ntrain: ../../images\nnames: [x]\n",
        "path: ../.\ntrain: images\nnames: [x]\n",
        "path: /nowhere/at/all\ntrain: images\nnames: [x]\n",
        "train: .\\images\nnames: [x]\n",
    ],
)
def test_paths_of_other_machines_fall_back_to_the_files_own_folder(tmp_path, yaml_text):
    file = write_set(tmp_path / "set", {"1.png": ""}, yaml_text)
    images, _ = split_images(read_spec(file), "train")
    assert names_of([image.resolve() for image in images], tmp_path.resolve()) == ["set/images/1.png"]


def test_path_seen_from_the_yaml_file_comes_first(tmp_path, monkeypatch):
    file = write_set(tmp_path / "a", {"1.png": ""}, "path: inner\ntrain: images\nnames: [x]\n")
    write_set(tmp_path / "a" / "inner", {"right.png": ""})
    write_set(tmp_path / "inner", {"wrong.png": ""})
    monkeypatch.chdir(tmp_path)
    images, _ = split_images(read_spec(file), "train")
    assert [image.name for image in images] == ["right.png"]


def test_a_split_that_points_nowhere_or_to_nothing(tmp_path):
    file = write_set(tmp_path, {"1.png": ""}, "train: imgs\nval: labels\nnames: [x]\ndownload: rm -rf /\n")
    with pytest.raises(UserError, match="'train: imgs' does not exist.*never run"):
        split_images(read_spec(file), "train")
    assert split_images(read_spec(file), "val") == ([], [])


def test_a_file_is_one_image_however_its_path_is_spelled(tmp_path, monkeypatch):
    write_set(tmp_path / "set", {"1.png": "", "2.png": ""}, "train: [a.txt, images]\nval: b.txt\nnames: [x]\n")
    (tmp_path / "set" / "a.txt").write_text("images/1.png\nimages/../images/1.png\n./images//2.png\n", encoding="utf-8")
    (tmp_path / "set" / "b.txt").write_text(f"{tmp_path / 'set' / 'images' / '1.png'}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    splits = load_splits("set")
    assert {name: dataset.keys for name, dataset in splits.items()} == {
        "train": ["images/1.png", "images/2.png"],
        "val": ["images/1.png"],
    }
    assert splits["train"].path(0) == splits["val"].path(0) == tmp_path / "set" / "images" / "1.png"
    twice = [issue for issue in splits["train"].health.issues if issue.reason == "the same image is listed twice"]
    assert [issue.file for issue in twice] == ["images/1.png", "images/1.png", "images/2.png"]


def test_a_step_up_from_a_link_leads_where_the_system_says(tmp_path):
    write_set(tmp_path / "disk", {"1.png": "0 0.5 0.5 0.2 0.2\n", "b/2.png": ""})
    file = write_set(tmp_path / "set", {"1.png": ""}, "train: list.txt\nnames: [x]\n")
    (tmp_path / "set" / "list.txt").write_text("images/more/../1.png\nimages/1.png\n", encoding="utf-8")
    try:
        (tmp_path / "set" / "images" / "more").symlink_to(tmp_path / "disk" / "images" / "b", target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    images, issues = split_images(read_spec(file), "train")
    assert [image.resolve() for image in images] == [
        (tmp_path / folder / "images" / "1.png").resolve() for folder in ("disk", "set")
    ]
    assert not issues


ELSEWHERE = "C:\\data\\images\\train\\1.png\n/content/data/images/train/2.png\n"  # as other computers list images


def test_lists_of_another_computer_are_found_below_the_root(tmp_path):
    rows = {"train/1.png": "0 0.5 0.5 0.2 0.2\n", "train/2.png": "0 0.5 0.5 0.2 0.4\n"}
    file = write_set(tmp_path, rows, "train: train.txt\nnames: [x]\n")
    (tmp_path / "train.txt").write_text(ELSEWHERE + "/content/data/images/train/gone.png\n", encoding="utf-8")
    dataset = load_splits(file)["train"]
    assert dataset.keys == ["images/train/1.png", "images/train/2.png"]
    assert [len(dataset.target(i)) for i in range(2)] == [1, 1]
    assert [issue.reason for issue in dataset.health.issues] == ["the file does not exist"]


def test_lists_of_another_computer_find_labels_beside_images_that_lie_elsewhere(tmp_path):
    rows = {"train/1.png": "0 0.5 0.5 0.2 0.2\n", "train/2.png": "0 0.5 0.5 0.2 0.4\n"}
    write_set(tmp_path / "pictures", rows)
    (tmp_path / "set").mkdir()
    file = write_set(tmp_path / "set", {}, "train: train.txt\nnames: [x]\n")
    (tmp_path / "set" / "train.txt").write_text(ELSEWHERE, encoding="utf-8")
    dataset = load_splits(file, images=tmp_path / "pictures" / "images")["train"]
    assert dataset.keys == ["train/1.png", "train/2.png"] and not dataset.health.issues
    assert [len(dataset.target(i)) for i in range(2)] == [1, 1]


def test_names_that_are_too_long_for_the_system_are_no_failure(tmp_path):
    file = write_set(tmp_path, {"1.png": ""}, f"path: {'p' * 300}\ntrain: {'t' * 300}\nval: list.txt\nnames: [x]\n")
    (tmp_path / "list.txt").write_text(f"images/1.png\nimages/{'i' * 300}.png\n", encoding="utf-8")
    with pytest.raises(UserError, match="'train: t+' does not exist"):
        split_images(read_spec(file), "train")
    assert read_spec(file).hint.endswith("a.txt.")
    dataset = load_splits(write_set(tmp_path, {}, "val: list.txt\nnames: [x]\n"))["val"]
    assert dataset.keys == ["images/1.png"] and "image dropped" in dataset.health.summary()


def test_a_folder_called_like_the_file(tmp_path):
    (tmp_path / "data.yaml").mkdir()
    with pytest.raises(UserError, match="data.yaml cannot be read"):
        read_spec(tmp_path / "data.yaml")
    write_set(tmp_path / "set", {"1.png": ""}).rename(tmp_path / "set" / "birds.yaml")
    (tmp_path / "set" / "data.yaml").mkdir()
    assert open_source(tmp_path / "set").path.name == "birds.yaml"


def test_images_and_labels_that_links_lead_to(tmp_path):
    write_set(tmp_path / "disk", {"b/2.png": "0 0.5 0.5 0.2 0.2\n"})
    file = write_set(tmp_path / "set", {"1.jfif": "", "3.ppm": ""})
    for kind in ("images", "labels"):
        try:
            (tmp_path / "set" / kind / "more").symlink_to(tmp_path / "disk" / kind / "b", target_is_directory=True)
        except OSError:
            pytest.skip("this system makes no links")
    dataset = load_splits(file)["train"]
    assert dataset.keys == ["images/1.jfif", "images/3.ppm", "images/more/2.png"]
    assert [len(dataset.target(i)) for i in range(3)] == [0, 0, 1]
    assert tmp_path / "set" / "images" / "more" in read_spec(file).folders
