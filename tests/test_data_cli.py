"""`yolo-ft data`: what all actions have in common. What each of them does is tested with its room."""

from __future__ import annotations

import json
import shutil

import pytest
from picture_sets import write_set

from yolo_ft.cli import build_parser, main
from yolo_ft.data.statistics.stats import statistics
from yolo_ft.data_cli import DATA

ROWS = "0 0.5 0.5 0.4 0.4\n1 0.3 0.6 0.2 0.4\n"


@pytest.fixture
def images_elsewhere(tmp_path):
    """(a folder of labels, the folder of their images)."""
    write_set(tmp_path / "set", {f"{n}.png": ROWS for n in range(3)}, "train: images\nnames: [cat, dog]\n")
    shutil.move(tmp_path / "set" / "images", tmp_path / "photographs")
    return tmp_path / "set", tmp_path / "photographs"


@pytest.mark.parametrize("action", ["check", "stats"])
def test_images_may_lie_elsewhere(images_elsewhere, action, tmp_path, capsys):
    labels, images = map(str, images_elsewhere)
    assert main(["data", action, labels]) == 2
    assert "if the images lie elsewhere" in capsys.readouterr().err
    assert main(["data", action, labels, "--images", images, "--out", str(tmp_path / "out")]) == 0
    (report,) = (tmp_path / "out").glob("*.json")
    train = json.loads(report.read_text(encoding="utf-8"))["splits"]["train"]
    assert (train["images"], train["objects"]) == (3, 6)


@pytest.mark.filterwarnings("always")
def test_statistics_go_on_without_an_empty_split(tmp_path, capsys):
    file = write_set(tmp_path / "set", {"val/a.png": ROWS}, "train: images/t\nval: images/val\nnames: [cat, dog]\n")
    (tmp_path / "set/images/t").mkdir()
    assert main(["data", "stats", str(file)]) == 0
    told = capsys.readouterr()
    assert [line for line in told.err.splitlines() if "train" in line] == [
        "warning: Empty and left out, as no image of theirs can be used: train."
    ]
    assert "\nval      1" in told.out


def test_the_first_pixel_of_voc_files_may_be_0(images_elsewhere, tmp_path, capsys):
    labels, images = map(str, images_elsewhere)
    voc = tmp_path / "voc"
    assert main(["data", "convert", labels, "--images", images, "--to", "voc", "--out", str(voc)]) == 0
    aspects = [statistics(voc, origin=origin).classes.loc["train", "cat"]["aspect_median"] for origin in (0, 1)]
    assert aspects == pytest.approx([39 / 23, 40 / 24])  # xmin and ymin are one higher where 1 is not taken off
    assert main(["data", "check", str(voc), "--origin", "0"]) == 0 and "row" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "action", [["check"], ["stats"], ["split"], ["convert", "--to", "coco"], ["tile"], ["fix"]], ids=lambda a: a[0]
)
def test_a_place_that_cannot_be_had_is_told_before_any_image_is_read(action, tmp_path, capsys, monkeypatch):
    def read(path):
        raise AssertionError(f"{path} was read")

    data = write_set(tmp_path / "set", {"a.png": ROWS})
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine", encoding="utf-8")
    for module in ("formats.records", "checks.repair"):
        monkeypatch.setattr(f"yolo_ft.data.{module}.check_image", read)
    command = ["data", action[0], str(data), *action[1:], "--out"]
    assert main([*command, str(tmp_path / "taken")]) == 2
    assert "taken is not empty: name a new folder" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "set" / "inside")]) == 2
    assert "which stays as it is: name a folder elsewhere" in capsys.readouterr().err
    assert not (tmp_path / "set" / "inside").exists()


@pytest.mark.parametrize("command", ["train", "val", "data check", "data stats", "data convert", "data tile"])
def test_data_means_the_same_to_every_command(command, capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args([*command.split(), "--help"])
    assert " ".join(DATA.split()) in " ".join(capsys.readouterr().out.split()).replace("- ", "-")
