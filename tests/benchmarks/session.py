"""One session of the benchmark: trainings of ours and of the peers in processes of their own, one after the other.

`Session.run` starts one and reads what it left; everything is kept in `speed.json` as it comes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from benchmarks.peers import ENVIRONMENT, MODELS, RESULT
from benchmarks.place import count, place_data
from benchmarks.watch import timed, watched

from yolo_ft.core.targets import Detections
from yolo_ft.data.dataset import load_dataset
from yolo_ft.data.files import write_json_atomic
from yolo_ft.finetune.evaluation import evaluate_detections
from yolo_ft.finetune.machine import environment, usable_cores
from yolo_ft.finetune.runs import Run, new_run_folder

ROOT = Path(__file__).resolve().parents[2]
PEER_SCRIPT = Path(__file__).with_name("peers.py")
INSTALLED = """
import json, platform
from importlib.metadata import distributions
versions = {each.metadata["Name"]: each.version for each in distributions()}
print(json.dumps({"python": platform.python_version(), **versions}))
"""
TOLD = ("python", "torch", "numpy", "opencv-python", *MODELS)  # versions worth printing of the peers' environment


@dataclass(frozen=True)
class Settings:
    """One training, whoever does it; `views` is ours alone. `images` None means all.

    Mosaic lasts as long as in YOLOv5, to the end; `recipe` is our own, which stops it some epochs earlier.
    """

    epochs: int
    freeze: int = 0
    views: int = 0
    imgsz: int = 320
    batch: int = 16
    model: str = "yolov5n"
    images: int | None = None
    recipe: bool = False


class Session:
    """Where data and runs lie, who takes part, and what was measured so far.

    `python` is an interpreter that may have the peers, `peers` are those wanted that it has. A folder is never used
    twice: where `out` exists, the session is `out-2`.
    """

    def __init__(self, data: Path, out: Path, python: str, wanted: Sequence[str] = tuple(MODELS)) -> None:
        self.source, self.python = data, python
        listed = subprocess.run([python, "-c", INSTALLED], capture_output=True, text=True, check=True).stdout
        versions = {name: version for name, version in json.loads(listed).items() if name in TOLD}
        self.peers = [peer for peer in wanted if peer in versions]
        self.folder = new_run_folder(out.parent, out.name)
        self.log = self.folder / "log"
        (self.folder / "settings").mkdir()  # the peers' own, in place of those in the home folder
        self.about = environment()
        self.about |= {"threads": usable_cores(), "load": os.getloadavg() if hasattr(os, "getloadavg") else None}
        self.about |= {"peers": versions if self.peers else None}
        self.records: list[dict] = []
        self.trained: list[dict] = []  # the records whose networks are good ones
        self.done: dict[tuple, dict] = {}
        self.tables: dict[str, list[dict]] = {}

    @property
    def trainers(self) -> list[str]:
        """Ours, then the peers."""
        return ["ours", *self.peers]

    def data(self, trainer: str, images: int | None = None) -> Path:
        """The trainer's own copy of the data."""
        folder = self.folder / "data" / f"{trainer}-{images or 'all'}"
        return folder / "data.yaml" if folder.is_dir() else place_data(self.source, folder, images)

    def variables(self, trainer: str) -> dict[str, str]:
        """Environment variables for a process of `trainer`: all get the same threads."""
        settings = str(self.folder.resolve() / "settings")
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(usable_cores()))
        if trainer != "ours":
            return {**threads, **ENVIRONMENT, "YOLO_CONFIG_DIR": settings, "YOLOV5_CONFIG_DIR": settings}
        paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        return {**threads, "PYTHONPATH": paths, "YOLO_FT_CACHE": str(self.folder.resolve() / "cache")}

    def python_of(self, trainer: str) -> str:
        """The interpreter that has `trainer`."""
        return sys.executable if trainer == "ours" else self.python

    def run(self, trainer: str, settings: Settings, repeat: int = 0, memory: bool = False) -> dict:
        """Train once and return its record; what this session has measured already is not measured again.

        With `memory` the record says what the processes needed, but its seconds are not to be used.
        """
        wanted = (trainer, settings, repeat, memory)
        if wanted not in self.done:
            print(f"{len(self.records) + 1}. {trainer}, {_changed(settings)}", file=sys.stderr, flush=True)
            shutil.rmtree(self.folder / "cache" / "prefix", ignore_errors=True)  # every run fills its own
            folder, data = self.folder / "trainings" / f"{len(self.records):03d}", self.data(trainer, settings.images)
            folder.mkdir(parents=True)
            command, measure = self._command(trainer, settings, data, folder), watched if memory else timed
            record = {"trainer": trainer, "repeat": repeat, **asdict(settings), "precision": "fp32"}
            record |= measure(command, folder / "log", self.variables(trainer))
            record |= {"images": count(data, "train"), "val_images": count(data, "val")}
            self.done[wanted] = record | (read_ours if trainer == "ours" else read_peer)(folder, data)
            self.records.append(self.done[wanted])
            self.save()
        return self.done[wanted]

    def call(self, trainer: str, arguments: list[str], memory: bool = False) -> dict:
        """Run the Python that has `trainer` with `arguments`; its seconds, or its memory. It prints to `self.log`."""
        measure = watched if memory else timed
        return measure([self.python_of(trainer), *arguments], self.log, self.variables(trainer))

    def save(self) -> None:
        """Write `speed.json`: versions, every run's values, and the tables' rows, which hold medians."""
        content = {"about": self.about, "tables": self.tables, "runs": self.records}
        write_json_atomic(self.folder / "speed.json", content)

    def _command(self, trainer: str, settings: Settings, data: Path, folder: Path) -> list[str]:
        given = {"data": data, "epochs": settings.epochs, "imgsz": settings.imgsz, "batch": settings.batch}
        if trainer == "ours":
            start = [sys.executable, "-m", "yolo_ft", "train"]
            given |= {"weights": f"{settings.model}.yaml", "device": "cpu", "views": settings.views}
            given |= {"project": folder, "name": "run"} | ({} if settings.recipe else {"set": "close_mosaic=0"})
        else:
            start = [self.python, str(PEER_SCRIPT), trainer]
            given |= {"folder": folder}
        given |= {"freeze": settings.freeze} if settings.freeze else {}
        return [*start, *(text for name, value in given.items() for text in (f"--{name}", str(value)))]


def read_ours(folder: Path, _data: Path) -> dict:
    """What a run folder of ours tells."""
    run = Run(folder / "run")
    history, summary = run.history, run.summary
    return {
        "epoch_seconds": history["seconds"].tolist(),
        "val_seconds": history["val_seconds"].tolist(),
        "map50": summary["best"]["map50"],
        **{name: summary[name] for name in ("threads", "prefix_cache")},
        "precision": summary["precision_mode"],
    }


def read_peer(folder: Path, data: Path) -> dict:
    """What `peers.py` wrote; where it gives detections, they are scored by our evaluator."""
    told = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    detections = told.pop("detections")
    return {**told, "map50": None if detections is None else score(detections, data)}


def score(detections: dict[str, list[list[float]]], data: Path) -> float:
    """Our mAP50 of boxes by image name: rows of x1, y1, x2, y2 (pixels of the original image), score, class."""
    dataset = load_dataset(data, "val")
    rows = [np.array(detections.get(Path(key).name, []), np.float32).reshape(-1, 6) for key in dataset.keys]
    found = [Detections(each[:, :4], each[:, 4], each[:, 5]) for each in rows]
    return evaluate_detections([dataset.target(i) for i in range(len(dataset))], found, dataset.names).map50


def _changed(settings: Settings) -> str:
    """What a progress line says: the settings that are not the usual ones."""
    usual = asdict(Settings(0))
    return ", ".join(f"{name} {value}" for name, value in asdict(settings).items() if value != usual[name])
