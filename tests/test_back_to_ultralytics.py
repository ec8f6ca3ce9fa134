"""The way back: our weights through Ultralytics' own loader and writer, and read again. Needs their package."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from yolo_ft.finetune.checkpoints import load_checkpoint, save_checkpoint
from yolo_ft.models import build_model
from yolo_ft.models.yolo26 import YOLO26

SCRIPT = Path(__file__).with_name("back_to_ultralytics.py")


@pytest.mark.skipif(importlib.util.find_spec("ultralytics") is None, reason="needs pip install ultralytics")
@pytest.mark.parametrize("names", [["bright", "dark"], [f"class{i}" for i in range(80)]], ids=len)
def test_fine_tuned_weights_go_back_into_ultralytics(tmp_path, names):
    torch.manual_seed(0)
    model = YOLO26("n", dict(enumerate(names)), class_width=80)
    path = save_checkpoint(tmp_path / "ours.pt", model, metadata={"imgsz": 224})
    environment = {**os.environ, "YOLO_CONFIG_DIR": str(tmp_path), "YOLO_OFFLINE": "True"}
    command = [sys.executable, str(SCRIPT), str(path), str(tmp_path / "theirs.pt")]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300)
    assert answer.returncode == 0, answer.stderr[-500:]
    again = load_checkpoint(tmp_path / "theirs.pt")
    assert again.names == dict(enumerate(names)) and again.metadata["imgsz"] == 224
    for key, tensor in model.state_dict().items():
        expected = tensor.half().float() if tensor.is_floating_point() else tensor
        assert torch.equal(again.state_dict[key], expected), key


def test_the_widths_of_n_and_of_all_others():
    """Only n has class branches whose width depends on the classes, so only there the way back asks for 80."""
    widths = {}
    for size in "nsmlx":
        with torch.device("meta"):
            widths[size] = {build_model(f"yolo26{size}", nc).head.class_width for nc in (1, 80)}
    assert widths == {"n": {64, 80}, "s": {128}, "m": {256}, "l": {256}, "x": {384}}
