"""The command line: what each flag becomes, and how mistakes are told. The model itself is a fake."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from yolo_ft import cli
from yolo_ft.api import PACKAGED
from yolo_ft.cli import build_parser, main
from yolo_ft.core.errors import UserError
from yolo_ft.core.targets import Detections


class FakeYOLO:
    """Stands in for api.YOLO and remembers what it was asked."""

    calls: list[tuple] = []
    names = {0: "RBC", 1: "WBC"}

    def __init__(self, weights=None, seed=0):
        self.calls.append(("load", weights, seed))

    def train(self, **settings):
        self.calls.append(("train", settings))
        return "Run('runs/train')"

    def val(self, data, **settings):
        self.calls.append(("val", data, settings))
        table = pd.DataFrame({"ap50": [0.5, 0.25]}, index=["RBC", "WBC"])
        return SimpleNamespace(
            per_class=table, map50=0.375, map50_95=0.2, precision=0.5, recall=0.75, confidence=0.1, curves={}
        )

    def predict(self, image, **settings):
        self.calls.append(("predict", image.shape, settings))
        boxes = np.array([[1, 2, 11, 22]], np.float32)
        return [Detections(boxes, np.array([0.5], np.float32), np.array([1]))]

    def layers(self, imgsz):
        return pd.DataFrame({"index": [0], "module": ["Conv"], "imgsz": [imgsz]})

    def parameter_table(self):
        return pd.DataFrame({"name": ["model.0.conv.weight"], "trainable": [True]})

    def freeze(self, spec, imgsz):
        self.calls.append(("freeze", spec, imgsz))
        return "frozen: a lot"


@pytest.fixture
def calls(monkeypatch):
    """The calls that reach the fake model."""
    monkeypatch.setattr("yolo_ft.api.YOLO", FakeYOLO)
    monkeypatch.setattr(FakeYOLO, "calls", [])
    return FakeYOLO.calls


def test_train_passes_on_only_what_was_given(calls, capsys):
    assert main(["train"]) == 0
    assert calls == [("load", None, 0), ("train", {})]
    assert capsys.readouterr().out == "Run('runs/train')\n"


def test_suppression_can_be_left_out(calls, capsys):
    main(["val", "--data", "d.yaml", "--no-nms", "--device", "cpu"])
    main(["val", "--data", "d.yaml"])
    assert [call for call in calls if call[0] == "val"] == [
        ("val", "d.yaml", {"nms": False, "device": "cpu"}),
        ("val", "d.yaml", {}),
    ]


def test_train_flags(calls):
    command = "train --weights yolov5n.yaml --data d.yaml --freeze 10 --freeze-bn running --epochs 3 --batch-size 8"
    command += " --img 640 --seed 4 --optimizer SGD --lr0 0.02 --patience 5 --val-every 2 --hyp hyp.finetune"
    command += " --set mixup=0.1 --set cos_lr=false --set epochs=7 --device cpu --precision fp32 --workers 0 --cache"
    command += " --project runs/a --name b"
    main(command.split())
    assert calls[0] == ("load", "yolov5n.yaml", 4)
    assert calls[1][1] == {
        **{"data": "d.yaml", "freeze": "10", "freeze_bn": "running", "epochs": 7, "batch": 8, "imgsz": 640, "seed": 4},
        **{"optimizer": "SGD", "lr0": 0.02, "patience": 5, "val_every": 2, "hyp": "hyp.finetune", "mixup": 0.1},
        **{"cos_lr": False, "device": "cpu", "precision": "fp32", "workers": 0, "cache": "ram"},
        **{"project": "runs/a", "name": "b"},
    }


@pytest.mark.parametrize(
    ("flags", "spec"),
    [
        ("--freeze 10", "10"),
        ("--freeze 0 1 2", ["0", "1", "2"]),
        ("--freeze backbone", "backbone"),
        ("--freeze 0-9,13", "0-9,13"),
        ("--freeze model.23.cv2 *.bn.*", ["model.23.cv2", "*.bn.*"]),
        ("--phases 5:backbone,20:none@0.1", "5:backbone,20:none@0.1"),
    ],
)
def test_freeze_forms(calls, flags, spec):
    main(["train", *flags.split()])
    assert calls[1][1] == {"freeze": spec}


def test_freeze_as_people_know_it(calls):
    """`--freeze 10` is layers 0-9 and `--freeze 0 1 2` is exactly these: what the flag becomes, read by the freezer."""
    from yolo_ft.finetune.selectors import select
    from yolo_ft.models import build_model

    model = build_model("yolov5n", 1)
    main(["train", "--freeze", "10"])
    main(["train", "--freeze", "0", "1", "13"])
    specs = [settings["freeze"] for name, settings in (call for call in calls if call[0] == "train")]
    assert [sorted(select(model, spec).layers) for spec in specs] == [list(range(10)), [0, 1, 13]]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train --freeze 10 --phases 5:10,5:none", "either --freeze"),
        ("train --set mixup", "--set mixup is not of the form NAME=VALUE"),
        ("train --set mixpu=1", "There is no setting 'mixpu': did you mean 'mixup'?"),
        ("train --resume runs/a --epochs 5", "leave --epochs out"),
        ("train --inexact", "only means something with --resume"),
        ("train --resume nowhere", "There is no run folder nowhere"),
        ("predict nowhere.jpg", "There is no file or folder nowhere.jpg"),
        ("compare nowhere", "There is no run in nowhere"),
        ("notebooks run --dir nowhere", "There are no lessons in nowhere"),
        ("notebooks check --dir nowhere", "There are no lessons in nowhere"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(calls, capsys, command, message):
    assert main(command.split()) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.startswith("yolo-ft: ") and captured.err.count("\n") == 1
    assert captured.out == "" and calls == []


def test_unknown_flags_are_exit_code_2(capsys):
    with pytest.raises(SystemExit) as error:
        main(["train", "--epoch-count", "3"])
    assert error.value.code == 2
    assert "unrecognized arguments: --epoch-count" in capsys.readouterr().err


def test_a_settings_mistake_reaches_the_user(capsys, monkeypatch):
    def fail(*_, **__):
        raise UserError("epochs=0 is out of range: give a number from 1.")

    monkeypatch.setattr(FakeYOLO, "train", fail)
    monkeypatch.setattr("yolo_ft.api.YOLO", FakeYOLO)
    assert main(["train", "--epochs", "0"]) == 2
    assert capsys.readouterr().err == "yolo-ft: epochs=0 is out of range: give a number from 1.\n"


def test_other_errors_keep_their_traceback(monkeypatch):
    monkeypatch.setattr(FakeYOLO, "train", lambda *_, **__: 1 / 0)
    monkeypatch.setattr("yolo_ft.api.YOLO", FakeYOLO)
    with pytest.raises(ZeroDivisionError):  # a mistake of ours must not look like one of the user's
        main(["train"])


@pytest.mark.filterwarnings("always")
def test_interruption_and_warnings(monkeypatch, capsys):
    def interrupted(**_):
        import warnings

        warnings.warn("freezing random weights", stacklevel=1)
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.commands, "val", interrupted)
    assert main(["val", "--data", "cells"]) == 130
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "warning: freezing random weights",
        "yolo-ft: stopped by the keyboard. Lessons, downloads, and runs whose first epoch has ended (--resume) can be "
        "continued.",
    ]


def test_resume(monkeypatch, capsys):
    monkeypatch.setattr("yolo_ft.api.resume", lambda path, inexact: (None, f"{path} {inexact}"))
    assert main(["train", "--resume", "runs/a"]) == 0
    assert main(["train", "--resume", "runs/a", "--inexact"]) == 0
    assert capsys.readouterr().out == "runs/a False\nruns/a True\n"


def test_val(calls, capsys):
    assert main("val --weights w.pt --data cells --split test --batch 4".split()) == 0
    assert calls == [("load", "w.pt", 0), ("val", "cells", {"split": "test", "batch": 4})]
    assert "mAP50 0.375, mAP50-95 0.200, P 0.500, R 0.750 (P, R at score 0.100)" in capsys.readouterr().out


def test_inspect(calls, capsys):
    assert main("inspect --freeze 10 --imgsz 320".split()) == 0
    assert calls == [("load", None, 0), ("freeze", "10", 320)]
    out = capsys.readouterr().out
    assert "Conv" in out and out.endswith("\nfrozen: a lot\n")
    assert main("inspect --parameters".split()) == 0
    assert "model.0.conv.weight" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["inspect", "train", "val", "predict", "data check"])
def test_every_command_names_the_same_weights(command, capsys):
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    told = " ".join(capsys.readouterr().out.split()).replace("- ", "-")
    assert "a checkpoint, packaged-yolo26n, or official weights such as yolo26n.pt" in told
    assert ("yolov5n.yaml: random weights" in told) == (command in ("inspect", "train"))
    assert ("default: the packaged YOLOv5n" in told) == (command != "data check")
    assert set(PACKAGED) == {"packaged", "packaged-yolo26n"}, "the names that the help tells"


@pytest.mark.filterwarnings("always")
def test_predict_draws_every_readable_image(calls, capsys, tmp_path):
    folder = tmp_path / "images ü"
    (folder / "more").mkdir(parents=True)
    for name in ("a.png", "more/a.jpg"):
        Image.new("RGB", (40, 30), "white").save(folder / name)
    (folder / "broken.png").write_bytes(b"not an image")
    (folder / "notes.txt").write_text("no image", encoding="utf-8")
    command = ["predict", str(folder), "--conf", "0.3", "--project", str(tmp_path / "runs")]
    assert main(command) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "image,class,score,x1,y1,x2,y2",
        f"{folder / 'a.png'},WBC,0.500,1.0,2.0,11.0,22.0",
        f"{folder / 'more' / 'a.jpg'},WBC,0.500,1.0,2.0,11.0,22.0",
    ]
    assert calls[1:] == [("predict", (30, 40, 3), {"conf": 0.3})] * 2
    assert captured.err.startswith("warning: ") and "broken.png" in captured.err.splitlines()[0]
    drawn = sorted(path.name for path in (tmp_path / "runs" / "predict").iterdir())
    assert drawn == ["0001_a.png", "0002_a.png"]
    assert (tmp_path / "runs" / "predict" / drawn[0]).read_bytes().startswith(b"\x89PNG")


@pytest.mark.filterwarnings("always")
def test_predict_with_nothing_readable(calls, capsys, tmp_path):
    assert main(["predict", str(tmp_path)]) == 2
    assert "There is no image in" in capsys.readouterr().err
    (tmp_path / "broken.png").write_bytes(b"not an image")
    assert main(["predict", str(tmp_path), "--project", str(tmp_path / "runs")]) == 2
    assert "None of the files could be read" in capsys.readouterr().err


def test_every_command_is_documented(capsys):
    for command in ("inspect", "train", "val", "predict", "compare", "notebooks run", "notebooks refresh"):
        with pytest.raises(SystemExit) as stop:
            build_parser().parse_args([*command.split(), "--help"])
        assert stop.value.code == 0
        assert "usage: yolo-ft " + command in capsys.readouterr().out


def test_help_and_version_import_nothing_heavy():
    code = "import sys; from yolo_ft.cli import build_parser; build_parser(); print(sorted(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("'torch'", "'numpy'", "'pandas'", "'matplotlib'", "'papermill'"):
        assert heavy not in modules
    result = subprocess.run([sys.executable, "-m", "yolo_ft", "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("yolo-ft 0.")


def test_exit_code_of_the_process():
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-m", "yolo_ft", "notebooks", "run", "--dir", "nowhere"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 2 and "Traceback" not in result.stderr


def test_what_the_output_cannot_hold_is_replaced():
    """As where Windows sends the output into a file, whose encoding then is not UTF-8."""
    code = "from yolo_ft import cli; cli.commands.compare = lambda **_: print('≤ ü'); print(cli.main(['compare', 'a']))"
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": "cp1252"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment)
    assert result.stdout.decode("cp1252").split() == ["?", "ü", "0"]


def test_an_output_that_is_no_file_is_fine(monkeypatch):
    """As in notebooks, whose standard output is a thing of their own."""

    class Screen:
        text = ""

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    monkeypatch.setattr(sys, "stdout", Screen())
    monkeypatch.setattr(cli.commands, "compare", lambda **_: print("≤"))
    assert main(["compare", "a"]) == 0 and sys.stdout.text == "≤\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows tells a closed pipe in ways of its own")
@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_who_has_gone_is_no_mistake(lines):
    """As with `| head`: one line is still in the buffer when the command ends, many do not fit into it."""
    code = f"import sys; from yolo_ft import cli; cli.commands.compare = lambda **_: print('line\\n' * {lines})"
    code += "; sys.stdin.readline(); sys.exit(cli.main(['compare', 'a']))"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe) as process:
        process.stdout.close()
        process.stdin.write(b"go\n")
        process.stdin.flush()
        told = process.stderr.read()
    assert (process.returncode, told) == (141, b"")
