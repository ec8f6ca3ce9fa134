"""The way back into YOLOv5: our weights through its own classes and loader. Needs `pip install yolov5`."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from official_format import rewrite, write_official
from training_set import tiny_set, train  # noqa: F401  a fixture

from yolo_ft.api import YOLO, fit_head
from yolo_ft.core.errors import UserError
from yolo_ft.finetune.checkpoints import load_checkpoint, model_from_checkpoint, save_checkpoint
from yolo_ft.models import Detector

SCRIPT = Path(__file__).with_name("back_to_yolov5.py")
# what YOLOv5 itself makes of a file: its own loader, which joins BatchNorms and convolutions, and its own decoding
THEIRS = """
import sys
import torch
from yolov5.models.experimental import attempt_load
model = attempt_load(sys.argv[1], device="cpu")
torch.save([model(torch.load(sys.argv[2]))[0], dict(model.names)], sys.argv[3])
"""


def fine_tuned(data, folder) -> Path:
    """The best weights of a run of ours: 80 classes have become 2."""
    _, run = train(data, folder, model=YOLO(), epochs=1)
    return run.weights("best")


def other_anchors(_, folder) -> Path:
    """Anchors that are not the usual ones, 3 classes, 16-bit numbers."""
    model = fit_head(YOLO().model, {0: "a", 1: "b", 2: "c"})
    model.head.anchors *= 1.25
    return save_checkpoint(folder / "ours.pt", model, half=True)


def same_in_both(path: Path, folder: Path, run) -> Detector:
    """Takes `path` over with the script and compares what both networks find; returns ours."""
    ours, images = model_from_checkpoint(load_checkpoint(path)), folder / "images.pt"
    torch.save(torch.rand(2, 3, 96, 160, generator=torch.Generator().manual_seed(0)), images)
    assert str(ours.names) in run(str(SCRIPT), path, folder / "theirs.pt")
    run("-c", THEIRS, folder / "theirs.pt", images, folder / "found.pt")
    found, names = torch.load(folder / "found.pt")
    with torch.inference_mode():
        expected = ours.decode(ours(torch.load(images)))
    assert names == ours.names and found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    return ours


@pytest.mark.skipif(importlib.util.find_spec("yolov5") is None, reason="needs pip install yolov5")
@pytest.mark.parametrize("origin", [fine_tuned, other_anchors])
def test_fine_tuned_weights_find_the_same_in_yolov5(origin, tiny_set, tmp_path):  # noqa: F811
    environment = {**os.environ, "YOLOV5_CONFIG_DIR": str(tmp_path), "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}

    def run(*arguments) -> str:
        command = [sys.executable, *map(str, arguments)]
        answer = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300)
        assert answer.returncode == 0, answer.stderr[-500:]
        return answer.stdout

    ours = same_in_both(origin(tiny_set, tmp_path), tmp_path, run)
    again = load_checkpoint(tmp_path / "theirs.pt")  # what YOLOv5 wrote is read here as well
    assert again.names == ours.names
    for key, tensor in ours.state_dict().items():
        assert torch.equal(again.state_dict[key], tensor), key


def packaged(data: bytes) -> bytes:
    """A clone's pickle as `pip install yolov5` writes it: its modules are `yolov5.models...`."""
    return data.replace(b"cmodels.", b"cyolov5.models.")


def test_what_the_package_writes_is_read_as_what_a_clone_writes(tmp_path):
    model = fit_head(YOLO().model, {0: "a", 1: "b"})
    again = load_checkpoint(rewrite(write_official(tmp_path / "x.pt", model), packaged))
    assert again.names == model.names and set(again.state_dict) == set(model.state_dict())
    write_official(tmp_path / "x.pt", model)
    rewrite(tmp_path / "x.pt", lambda data: packaged(data.replace(b"models.yolo\nDetect\n", b"models.yolo\nSegment\n")))
    with pytest.raises(UserError, match="segmentation"):
        load_checkpoint(tmp_path / "x.pt")
