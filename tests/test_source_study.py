"""The study of pretrainings: what every source sees, and that a repeat makes only what is missing."""

import numpy as np
import pandas as pd
import pytest
import torch
from benchmarks import grid, pretrain, source_study
from benchmarks.source_study import Source, chosen
from picture_sets import write_set

from yolo_ft import UserError
from yolo_ft.api import YOLO, fit_head
from yolo_ft.data.dataset import load_dataset
from yolo_ft.finetune.checkpoints import save_checkpoint
from yolo_ft.report.recorded import ROWS

NAMES = "train: images\nval: images\nnames: [x, y, z]\n"
LABELS = {
    "a.png": "0 0.5 0.5 0.4 0.5\n1 0.2 0.2 0.1 0.3\n",
    "b.png": "1 0.5 0.5 0.4 0.5\n1 0.2 0.2 0.1 0.3\n",
    "c.png": "2 0.5 0.5 0.4 0.5\n1 0.2 0.2 0.1 0.3\n",
    "d.png": "2 0.5 0.5 0.4 0.5\n",
}


def photographs(tmp_path):
    return load_dataset(write_set(tmp_path / "photographs", LABELS, NAMES), "train")


def test_a_source_sees_its_share_and_the_whole_by_default(tmp_path):
    whole = photographs(tmp_path)
    assert chosen(whole, Source()).keys == whole.keys
    half = chosen(whole, Source(share=0.5))
    assert len(half) == 2 and set(half.keys) <= set(whole.keys) and half.names == whole.names


def test_frequent_classes_are_counted_anew_and_images_without_them_stay(tmp_path):
    two = chosen(photographs(tmp_path), Source(classes=2))  # of x 1, y 4 and z 2 objects
    assert two.names == {0: "y", 1: "z"} and len(two) == 4
    assert sorted(two.target(0).labels) == [0] and two.class_counts().sum(0).tolist() == [4, 2]
    assert two.path(3).name == "d.png" and two.size(3) == photographs(tmp_path / "again").size(3)


def test_drawn_images_bring_classes_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(source_study, "MOST", 3)
    mixed = chosen(photographs(tmp_path), Source(beside=("cells", "defects")))
    cells, defects = (load_dataset(name, "train") for name in ("cells", "defects"))
    assert list(mixed.names.values()) == ["x", "y", "z", *cells.names.values(), *defects.names.values()]
    assert len(mixed) == 10 and mixed.path(3).name == "d.png" and mixed.path(4) is None
    np.testing.assert_array_equal(mixed.image(5), cells.image(1))
    np.testing.assert_array_equal(mixed.target(8).labels, defects.target(1).labels + 3 + len(cells.names))
    assert len(set(mixed.keys)) == 10


def test_other_sets_bring_their_training_images_and_classes(tmp_path):
    file = write_set(tmp_path / "boards", {"hole.png": LABELS["a.png"]}, "train: images\nval: images\nnames: [p, q]\n")
    mixed = chosen(photographs(tmp_path), Source(beside=("boards",)), [tmp_path / "elsewhere", file.parent])
    assert list(mixed.names.values()) == ["x", "y", "z", "p", "q"] and mixed.path(4).name == "hole.png"
    assert mixed.target(4).labels.tolist() == [3, 4] and len(mixed) == 5
    with pytest.raises(UserError, match="sees boards too: give its folder with --others"):
        chosen(photographs(tmp_path / "again"), Source(beside=("boards",)))


def test_the_same_source_under_other_names_keeps_its_weights(tmp_path):
    model = fit_head(YOLO("yolov5n.yaml").model, {0: "RBC", 1: "WBC"})
    weights = save_checkpoint(tmp_path / "a.pt", model)
    other = YOLO(source_study.under_other_names(weights, tmp_path / "b.pt")).model
    assert other.names == {0: "source RBC", 1: "source WBC"}
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in other.state_dict().items())


def test_a_repeat_makes_only_what_is_missing(tmp_path, monkeypatch, capsys):
    file = write_set(tmp_path / "photographs", LABELS, NAMES)
    listed = tmp_path / "photographs.csv"
    listed.write_text("split,id\ntrain,a\ntrain,b\nval,c\n", encoding="utf-8")
    monkeypatch.setattr(pretrain, "PHOTOGRAPHS", listed)
    monkeypatch.setattr(grid, "STUDIES", dict(grid.STUDIES))
    monkeypatch.setattr(grid, "COMMON", {"imgsz": 64, "batch": 2, "views": 0})
    short = {"imgsz": 64, "epochs": 1, "batch": 2, "close_mosaic": 0}
    monkeypatch.setattr(source_study, "PRETRAINING", short)
    monkeypatch.setattr(source_study, "EPOCHS", 1)
    options = ["--photographs", str(file), "--data", str(file.parent), "--work", str(tmp_path / "work")]
    options += ["--out", str(tmp_path / "out"), "--sources", "as packaged"]
    assert source_study.main([*options, "--seeds", "0"]) == 0
    first = pd.read_csv(tmp_path / "out" / ROWS)
    wanted = [["photographs", "as packaged", arm, 0] for arm in ("none", "freeze10")]
    assert first[source_study.KEY].to_numpy().tolist() == wanted
    monkeypatch.setattr(source_study, "fit", None)  # the source is there
    assert source_study.main([*options, "--seeds", "0", "1"]) == 0
    both = pd.read_csv(tmp_path / "out" / ROWS)
    pd.testing.assert_frame_equal(both[:2], first)
    assert len(both) == 4
    assert capsys.readouterr().out.splitlines()[-1].startswith("| photographs | as packaged | 2 | 0.")


def test_a_mistake_is_a_sentence(capsys):
    assert source_study.main([]) == 2 and "Give --photographs and --data" in capsys.readouterr().err
