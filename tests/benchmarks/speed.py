"""Measure the speed of yolo_ft beside its peers on this machine's processor, in one session, and print ratios.

    python tests/benchmarks/speed.py --data path/to/bccd --peers path/to/other/python --out runs/speed
    python tests/benchmarks/speed.py --data path/to/bccd --peers path/to/other/python --out runs/speed26 --model yolo26n

Without `--peers` only ours is measured, unless this Python has yolov5 or ultralytics. Every value lands in
`speed.json` of the session's folder. README.md says what each part measures and what is not comparable.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]  # runs from a clone, installed or not

from benchmarks.peers import MODELS  # noqa: E402
from benchmarks.place import count  # noqa: E402
from benchmarks.session import Session, Settings  # noqa: E402
from benchmarks.tables import Sample, compare, depth, details, markdown, rate, ratio, who  # noqa: E402

from yolo_ft import UserError  # noqa: E402

# our model -> how many layers are frozen: none, the backbone, all but the head
DEPTHS = {"yolov5n": (0, 10, 24), "yolo26n": (0, 11, 23)}
RIVALS = {"yolov5n": tuple(MODELS), "yolo26n": ("ultralytics",)}  # YOLOv5 has the one model only
TRIES = (8, 10, 12, 16, 20, 30)  # our epochs to try until the peer's accuracy is reached
LAST = 5  # validations of a run that count as those of a trained network
TRAINER = {  # imports what a training needs, and nothing more happens
    "ours": "import yolo_ft.api",
    "yolov5": "from yolov5 import train",
    "ultralytics": "from ultralytics.models.yolo.detect import DetectionTrainer",
}
HELP = {
    "ours": ["-m", "yolo_ft", "--help"],
    "yolov5": ["-m", "yolov5.train", "--help"],
    "ultralytics": ["-c", "from ultralytics.cfg import entrypoint; entrypoint('help')"],  # what `yolo help` does
}
FIRST_BATCH = """
import sys, time
from yolo_ft import YOLO
def listener(event, info):
    if event == "batch":
        print(time.time())
        raise SystemExit
settings = {"epochs": 1, "close_mosaic": 0, "device": "cpu", "project": sys.argv[2]}
YOLO(sys.argv[3]).train(sys.argv[1], listeners=[listener], **settings)
"""


def matrix(session: Session, options: argparse.Namespace, depths: Sequence[int] | None = None) -> list[dict]:
    """The trainings that several parts read: every trainer at every depth, in turns, validated after every epoch."""
    records = []
    for repeat in range(options.repeat):
        for layers in depths or DEPTHS[options.model]:
            settings = Settings(options.epochs, layers, model=options.model)
            records.append(session.run("ours", settings, repeat))
            if layers and options.views:
                records.append(session.run("ours", replace(settings, views=options.views), repeat))
            records += [session.run(peer, settings, repeat) for peer in session.peers]
    return records


def loop(session: Session, options: argparse.Namespace) -> list[Sample]:
    """Training images per second, filling the cache included."""
    return [
        (depth(run), who(run), {"images/s": rate(run), "without epoch 1": rate(run, 1), "with": details(run)})
        for run in matrix(session, options)
    ]


def process(session: Session, options: argparse.Namespace) -> list[Sample]:
    """Seconds from the start of the command to its exit, equal epochs, a validation after each."""
    return [(depth(run), who(run), {"seconds": run["seconds"]}) for run in matrix(session, options)]


def validation(session: Session, options: argparse.Namespace) -> list[Sample]:
    """Images per second of a validation, from scratch and of what part `target` trained, where that was measured."""
    passes = {"after epoch 1, reading images": slice(0, 1), "after epoch 2": slice(1, 2)}
    passes |= {f"all of {options.epochs} epochs": slice(options.epochs)}
    wanted = [(name, run, part) for run in matrix(session, options, (0,)) for name, part in passes.items()]
    wanted += [("trained", run, slice(-LAST, None)) for run in session.trained]
    samples = []
    for name, run, part in wanted:
        seconds = run["val_seconds"][part]
        samples.append((name, who(run), {"images/s": ratio(run["val_images"] * len(seconds), sum(seconds))}))
    return samples


def target(session: Session, options: argparse.Namespace) -> list[Sample]:
    """Seconds of whole processes, from scratch, to the mAP50 that YOLOv5 ends with; ours is tried ever longer."""
    if "yolov5" not in session.peers:
        return []
    peer = session.run("yolov5", Settings(options.target_epochs))
    runs = [peer]
    for epochs in TRIES:
        runs.append(session.run("ours", Settings(epochs, recipe=True)))
        if runs[-1]["map50"] >= peer["map50"]:
            break
    session.trained = [runs[-1], peer]
    samples = []
    for run in runs:
        ours = run["trainer"] == "ours"
        name = f"ours, {run['epochs']} epochs" if ours else run["trainer"]
        reached = ("reached" if run["map50"] >= peer["map50"] else "missed") if ours else "is the target"
        values = {"seconds": run["seconds"], "training seconds": sum(run["epoch_seconds"]), "epochs": run["epochs"]}
        samples.append(("from scratch", name, {**values, "mAP50": run["map50"], "target": reached}))
    return samples


def memory(session: Session, options: argparse.Namespace) -> list[Sample]:
    """Peak memory of all processes together, beside a process that only imports the trainer."""
    samples = []
    for trainer in session.trainers:
        samples.append(
            ("import only", trainer, _megabytes(session.call(trainer, ["-c", TRAINER[trainer]], memory=True)))
        )
    for layers in DEPTHS[options.model]:
        settings = Settings(
            options.views + 1, layers, model=options.model
        )  # the peak is reached by then, and the cache is filled
        runs = [session.run(trainer, settings, memory=True) for trainer in session.trainers]
        if layers and options.views:
            runs.append(session.run("ours", replace(settings, views=options.views), memory=True))
        samples += [(depth(run), who(run), _megabytes(run)) for run in runs]
    return samples


def _megabytes(run: dict) -> dict:
    stored = run.get("prefix_cache")
    return {
        "anonymous (MB)": run["anonymous_mb"],
        "RSS − shared (MB)": run["summed_mb"],
        "RSS (MB)": run["resident_mb"],
        "processes": run["processes"],
        "prefix cache on disk (MB)": stored["bytes"] / 1e6 if stored else None,
    }


def startup(session: Session, options: argparse.Namespace) -> list[Sample]:
    """Seconds of an import, of the help, and from the start of a process until its first batch is trained."""
    samples = []
    for repeat in range(options.repeat):
        for trainer in session.trainers:
            package = "yolo_ft" if trainer == "ours" else trainer
            seconds = {"import": session.call(trainer, ["-c", f"import {package}"])["seconds"]}
            seconds["help"] = session.call(trainer, HELP[trainer])["seconds"]
            seconds["first batch"] = _first_batch(session, trainer, options.model, repeat)
            samples += [(name, trainer, {"seconds": value}) for name, value in seconds.items()]
    return samples


def _first_batch(session: Session, trainer: str, model: str, repeat: int) -> float:
    """Ours stops there; a peer trains the epoch to its end, because it has no such exit."""
    if trainer == "ours":
        place = [str(session.data(trainer)), str(session.folder / "trainings" / "first-batch")]
        run = session.call(trainer, ["-c", FIRST_BATCH, *place, f"{model}.yaml"])
        return float(session.log.read_text(encoding="utf-8").split()[-1]) - run["started"]
    run = session.run(trainer, Settings(1, model=model), repeat)
    return run["first_batch"] - run["started"]


def scaling(session: Session, options: argparse.Namespace) -> list[Sample]:
    """How ours grows with images, image size, batch and model: the second of two epochs."""
    base, total = Settings(2, model=options.model), count(session.data("ours"), "train")
    wanted = {f"{images} images": replace(base, images=images) for images in (50, 100) if images < total}
    wanted |= {f"{total} images": base}
    wanted |= {f"{size} px": replace(base, imgsz=size) for size in (320, 480, 640)}
    wanted |= {f"batch {size}": replace(base, batch=size) for size in (8, 16, 32)}
    models = [options.model.removesuffix("n") + size for size in "nsm"]
    wanted |= {model: replace(base, model=model) for model in models}
    samples = []
    for name, settings in wanted.items():
        run = session.run("ours", settings)
        samples.append((name, "ours", {"seconds per epoch": run["epoch_seconds"][-1], "images/s": rate(run, 1)}))
    return samples


Part = Callable[[Session, argparse.Namespace], list[Sample]]
PARTS: dict[str, Part] = {
    part.__name__: part for part in (loop, process, target, validation, memory, startup, scaling)
}  # validation comes after target, whose trained networks it reads


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a data.yaml, or the folder that holds one")
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON", help="an interpreter that has the peers")
    parser.add_argument("--out", type=Path, default=Path("runs/speed"))
    parser.add_argument("--model", choices=list(DEPTHS), default="yolov5n", help="ours; yolo26n beside its like alone")
    parser.add_argument("--only", default=",".join(PARTS), metavar="PART,…", help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=10, help="of every training that is compared")
    parser.add_argument("--target-epochs", type=int, default=40, help="of the training whose accuracy is the target")
    parser.add_argument("--views", type=int, default=2, help="augmentations that the prefix cache keeps; 0: no cache")
    parser.add_argument("--repeat", type=int, default=3, help="tables show medians")
    options = parser.parse_args(arguments)
    options.only = options.only.split(",")
    if unknown := sorted(set(options.only) - set(PARTS)):
        parser.error(f"there is no part {unknown[0]}: choose from {', '.join(PARTS)}")
    if options.views >= options.epochs:
        parser.error("--views must be fewer than --epochs, or nothing is read from the cache")
    if shutil.which(options.peers) is None:
        parser.error(f"--peers {options.peers} is no Python that can be started")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; prints Markdown. The exit code is 0 when every part was measured."""
    options = parse(arguments)
    try:
        session = Session(options.data, options.out, options.peers, RIVALS[options.model])
        session.data("ours")
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(f"- {name}: {value}" for name, value in session.about.items() if value))
    failed = False
    for name in (name for name in PARTS if name in options.only):
        print(f"\n## {name}\n\n{PARTS[name].__doc__}\n", flush=True)
        try:
            session.tables[name] = compare(PARTS[name](session, options))
            session.save()
            print(markdown(session.tables[name]) if session.tables[name] else "Needs yolov5.", flush=True)
        except UserError as error:  # the other parts are measured all the same
            print(f"Failed: {error}", flush=True)
            failed = True
        except KeyboardInterrupt:
            print(f"Stopped. What was measured is in {session.folder / 'speed.json'}", file=sys.stderr)
            return 130
    print(f"\nAll values: {session.folder / 'speed.json'}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
