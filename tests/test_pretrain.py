"""The command that makes the packaged checkpoints: its stages, the photographs it takes, and that the card tells."""

import hashlib
import re
from dataclasses import replace

import pandas as pd
import pytest
import yaml
from benchmarks import pretrain
from picture_sets import write_set

from yolo_ft import DEFAULT_WEIGHTS, cli
from yolo_ft.core.errors import UserError
from yolo_ft.data.dataset import load_dataset
from yolo_ft.finetune.checkpoints import load_checkpoint


def test_photographs_are_listed_once_each():
    listed = pd.read_csv(pretrain.PHOTOGRAPHS, dtype={"id": str})
    assert listed["id"].is_unique and listed["id"].str.fullmatch(r"\d{12}").all()
    assert listed["split"].value_counts().to_dict() == {"train": 2446, "val": 611}


@pytest.mark.parametrize("model", pretrain.STAGES)
def test_every_stage_is_a_command_that_begins_where_the_one_before_ended(model):
    parser = cli.build_parser()
    weights = []
    for stage in range(len(pretrain.STAGES[model])):
        options = vars(parser.parse_args(pretrain.command(stage, model, "d.yaml", "p")[1:]))
        assert (options["data"], options["project"], options["name"]) == ("d.yaml", "p", f"{model}-stage{stage + 1}")
        weights.append(options["weights"])
    assert weights == [f"{model}.yaml", *(f"p/{model}-stage{n}/weights/last.pt" for n in range(1, len(weights)))]


def test_only_the_listed_photographs_are_chosen_wherever_they_lie(tmp_path, monkeypatch):
    file = write_set(tmp_path / "coco", {f"{i}.png": "0 0.5 0.5 0.2 0.5\n" for i in range(4)})
    listed = tmp_path / "photographs.csv"
    monkeypatch.setattr(pretrain, "PHOTOGRAPHS", listed)
    listed.write_text("split,id\ntrain,2\ntrain,0\nval,3\n", encoding="utf-8")
    chosen = pretrain.choose(file, tmp_path / "chosen")
    assert [path.stem for path in map(load_dataset(chosen, "train").path, range(2))] == ["2", "0"]
    assert [load_dataset(chosen, "val").path(0).stem, len(load_dataset(chosen, "val"))] == ["3", 1]
    listed.write_text("split,id\ntrain,2\nval,7\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"lacks 1 of the photographs, such as 7\.jpg"):
        pretrain.choose(file, tmp_path / "chosen")


def test_the_whole_chain_ends_in_a_checkpoint_and_a_card(tmp_path, monkeypatch):
    file = write_set(tmp_path / "coco", {f"{i}.png": "0 0.5 0.5 0.4 0.5\n" for i in range(3)})
    listed = tmp_path / "photographs.csv"
    listed.write_text("split,id\ntrain,0\ntrain,1\nval,2\n", encoding="utf-8")
    monkeypatch.setattr(pretrain, "PHOTOGRAPHS", listed)
    short = [replace(stage, imgsz=64, epochs=1, close_mosaic=0) for stage in pretrain.STAGES["yolov5n"][:2]]
    monkeypatch.setitem(pretrain.STAGES, "yolov5n", short)
    chosen = pretrain.choose(file, tmp_path / "chosen")
    runs = pretrain.train("yolov5n", chosen, tmp_path / "runs")
    assert [run.config["weights"] for run in runs] == ["yolov5n.yaml", str(runs[0].weights("last"))]
    pretrain.package("yolov5n", runs, chosen, tmp_path / "out")
    made = tmp_path / "out" / "yolov5n.pt"
    facts = load_checkpoint(made).metadata
    assert facts["training_images"] == 2 and facts["epochs"] == 2
    text = (tmp_path / "out" / "yolov5n.md").read_text(encoding="utf-8")
    assert hashlib.sha256(made.read_bytes()).hexdigest() in text
    assert text.count("yolo-ft train") == 2 and str(tmp_path) not in text
    again = pretrain.train("yolov5n", chosen, tmp_path / "runs")
    assert [run.path for run in again] == [run.path for run in runs]  # finished stages are opened, not made again


@pytest.mark.parametrize("file", sorted(DEFAULT_WEIGHTS.parent.glob("*.pt")), ids=lambda file: file.stem)
def test_a_packaged_checkpoint_is_the_one_of_its_card(file):
    text = file.with_suffix(".md").read_text(encoding="utf-8")
    assert hashlib.sha256(file.read_bytes()).hexdigest() in text
    checkpoint = load_checkpoint(file)
    assert checkpoint.num_classes == 80 and f"{checkpoint.metadata['training_images']:,} photographs" in text
    assert file.stat().st_size < (4.5e6 if checkpoint.family == "yolov5" else 6e6)
    assert re.search(r"mAP50 0\.\d{3}, mAP50-95 0\.\d{3}", text)
    stages = pretrain.STAGES[file.stem]
    place = "runs/pretrain"
    for stage in range(len(stages)):
        assert " ".join(pretrain.command(stage, file.stem, f"{place}/chosen/data.yaml", place)) + "\n" in text
    assert text.count("yolo-ft train") == len(stages)
    assert checkpoint.metadata["epochs"] == sum(stage.epochs for stage in stages)
    assert yaml.safe_load(re.search(r"^- \*\*Licence\*\*: (.*)$", text, re.M)[1]).startswith("MIT")
