"""Make the recorded studies of lessons 05 and 13: arms by seeds on real images, every run a `yolo-ft train`.

    python tests/benchmarks/freeze_study.py --data path/to/bccd      # about 45 minutes on 2 cores; repeat to go on
    python tests/benchmarks/freeze_study.py --table                  # the table of what is recorded, as Markdown
    python tests/benchmarks/freeze_study.py --data path/to/bccd --arms freeze10 views1 views2 views4 views8 \
        --seeds 0 1 2 --work runs/views_bccd --out yolo_ft/report/recorded/views_bccd
    python tests/benchmarks/freeze_study.py --data path/to/bccd --epochs N \
        --arms yolo26n-none yolo26n-freeze11 yolo26n-freeze23 yolo26n-auto yolo26n-musgd \
        --work runs/yolo26_bccd --out yolo_ft/report/recorded/yolo26_bccd

Finished runs are skipped and interrupted ones resumed. `--data cells` needs no images.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # runs from a clone, installed or not

from yolo_ft import YOLO, UserError, compare, load_checkpoint  # noqa: E402
from yolo_ft.api import PACKAGED, packaged_weights  # noqa: E402
from yolo_ft.data.catalog.fetch import file_digest as sha256  # noqa: E402
from yolo_ft.finetune.checkpoints import save_checkpoint  # noqa: E402
from yolo_ft.finetune.machine import usable_cores  # noqa: E402
from yolo_ft.finetune.runs import CONFIG, ENVIRONMENT, RESULTS, SUMMARY, Run  # noqa: E402
from yolo_ft.report.comparison import HIGH, LOW, Comparison  # noqa: E402
from yolo_ft.report.recorded import ABOUT  # noqa: E402

RECORDED = ROOT / "yolo_ft" / "report" / "recorded" / "freeze_bccd"
YOLO26 = ("--weights", "packaged-yolo26n")
# What an arm adds to the command; without --weights it begins with the packaged checkpoint. The random prefix has
# frozen weights but live BatchNorm statistics: with those of an untrained network its output vanishes within ten
# layers, and the control would fail for want of a signal, not for want of learned features. It differs from prefix-only
# in nothing but the first ten layers.
ARMS = {
    "none": [],
    "freeze10": ["--freeze", "10", "--views", "0"],
    "freeze24": ["--freeze", "24", "--views", "0"],
    "scratch": ["--weights", "yolov5n.yaml"],
    "random-prefix": ["--weights", "yolov5n.yaml", "--freeze", "10", "--freeze-bn", "running"],
    "prefix-only": ["--weights", "begin/{seed}/prefix-only.pt", "--freeze", "10", "--freeze-bn", "running"],
    **{f"views{k}": ["--freeze", "10", "--views", str(k)] for k in (1, 2, 4, 8)},  # what reused augmentation costs
    "official-none": ["--weights", "yolov5n.pt"],
    "official-freeze10": ["--weights", "yolov5n.pt", "--freeze", "10", "--views", "0"],
    "official-freeze24": ["--weights", "yolov5n.pt", "--freeze", "24", "--views", "0"],
    # as none, freeze10 and freeze24: nothing, the backbone, all but the head
    "yolo26n-none": [*YOLO26],
    "yolo26n-freeze11": [*YOLO26, "--freeze", "11", "--views", "0"],
    "yolo26n-freeze23": [*YOLO26, "--freeze", "23", "--views", "0"],
    # Ultralytics' optimisers with the rates and the decay that belong to them, in our schedule
    "yolo26n-auto": [*YOLO26, "--set", "optimizer=auto", "--set", "weight_decay=0.0005"],
    "yolo26n-musgd": [*YOLO26, "--set", "optimizer=MuSGD", "--set", "lr0=0.01", "--set", "weight_decay=0.0005"],
}
# options that a repeat needs to know where they are others
USUAL = {"arms": list(ARMS)[:6], "seeds": [0, 1, 2, 3, 4], "epochs": 25}
COMMON = {"imgsz": 320, "batch": 16, "val_every": 5}
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with a data.yaml, or cells")
    parser.add_argument("--epochs", type=int, default=USUAL["epochs"])
    parser.add_argument("--seeds", type=int, nargs="+", default=USUAL["seeds"])
    parser.add_argument(
        "--arms", nargs="+", choices=list(ARMS), default=USUAL["arms"], metavar="ARM", help=str(list(ARMS))
    )
    parser.add_argument("--jobs", type=int, default=1, help="runs at once; 1 gives the cleanest seconds")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "freeze_study", help="runs with their weights")
    parser.add_argument("--out", type=Path, default=RECORDED, help="what is recorded: text files only")
    parser.add_argument("--table", action="store_true", help="only print the table of what --out holds")
    return parser.parse_args(arguments)


def link_data(data: str, work: Path) -> str:
    """A name for the data inside `work`, so that no recorded file holds the place where it really lies."""
    if data == "cells":
        return data
    source = Path(data).expanduser().resolve()
    if not (source / "data.yaml").is_file():
        raise UserError(f"{source} holds no data.yaml: give the folder that does.")
    link = work / source.name
    if link.is_symlink():
        link.unlink()
    link.symlink_to(source, target_is_directory=True)
    return source.name


def command(arm: str, seed: int, data: str, epochs: int) -> list[str]:
    """The `yolo-ft train` of one run, as a shell in the work folder would have it."""
    common = [text for name, value in COMMON.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    budget = ["--data", data, "--epochs", str(epochs), *common, "--seed", str(seed)]
    own = [text.format(seed=seed) for text in ARMS[arm]]
    return ["train", *budget, "--project", "runs", "--name", f"{arm}-seed{seed}", *own]


def write_prefix_only(path: Path, seed: int, layers: int = 10) -> None:
    """A checkpoint of random weights, those of YOLO("yolov5n.yaml", seed=seed), with the packaged ones in `layers`."""
    network, packaged = (YOLO(begin, seed=seed).model for begin in ("yolov5n.yaml", None))
    network.model[:layers].load_state_dict(packaged.model[:layers].state_dict())
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, network)


def next_step(folder: Path, arm: str, seed: int, data: str, epochs: int) -> list[str] | None:
    """What is left to do for the run in `folder`: its command, a resume, or None when it is finished."""
    wanted = command(arm, seed, data, epochs)
    if not folder.is_dir():
        return wanted
    if not (folder / "weights" / "last.pt").is_file():  # stopped before its first epoch ended
        shutil.rmtree(folder)
        return wanted
    found = Run(folder).config
    settings = {**COMMON, "epochs": epochs, "data": data, "freeze_bn": "running" if "running" in wanted else "fixed"}
    if any(found[name] != value for name, value in settings.items()):
        raise UserError(f"{folder} was made with other settings: remove it, or choose another --work folder.")
    return None if (folder / SUMMARY).is_file() else ["train", "--resume", str(Path("runs", folder.name))]


def train(work: Path, step: list[str], name: str, threads: int) -> bool:
    """Run one `yolo-ft` command in a process of its own; True when it succeeded. What it prints lands in NAME.log."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, **dict.fromkeys(THREADS, str(threads)), "PYTHONPATH": os.pathsep.join(paths)}
    with (work / f"{name}.log").open("ab") as log:
        done = subprocess.run(
            [sys.executable, "-m", "yolo_ft", *step],
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    print(f"{name}: {'done' if done.returncode == 0 else f'FAILED, see {work / name}.log'}", flush=True)
    return done.returncode == 0


def make(options: argparse.Namespace) -> bool:
    """Train what is missing, seed by seed so that an interrupted study can be compared; True when all is there."""
    work = options.work.resolve()
    (work / "runs").mkdir(parents=True, exist_ok=True)
    data = link_data(options.data, work)
    waiting = []
    for seed in options.seeds:
        for arm in options.arms:
            name = f"{arm}-seed{seed}"
            step = next_step(work / "runs" / name, arm, seed, data, options.epochs)
            if step is not None and arm == "prefix-only":
                write_prefix_only(work / "begin" / str(seed) / "prefix-only.pt", seed)
            if step is not None:
                waiting.append((step, name))
    print(f"{len(waiting)} of {len(options.seeds) * len(options.arms)} runs to train in {work}", flush=True)
    threads = max(1, usable_cores() // options.jobs)
    with ThreadPoolExecutor(options.jobs) as pool:
        try:
            return all(list(pool.map(lambda job: train(work, *job, threads), waiting)))
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise SystemExit("Stopped: the same command goes on from here.") from None


def export(work: Path, out: Path, about: dict) -> int:
    """Copy the text files of every finished run from `work` to `out`, beside `about`; returns how many runs.

    Where `out` holds a study, its runs stay, and so does what is told of them: later arms add their command.
    Raises UserError when that study began with other weights.
    """
    private = [str(Path.home()), str(work.resolve()), str(ROOT)]
    finished = sorted(path.parent for path in (work / "runs").glob(f"*/{SUMMARY}"))
    if not finished:
        raise UserError(f"There is no finished run in {work / 'runs'}.")
    about = joined(about, out)
    for folder in finished:
        (out / folder.name).mkdir(parents=True, exist_ok=True)
        for name in (CONFIG, ENVIRONMENT, RESULTS, SUMMARY):
            text = (folder / name).read_text(encoding="utf-8")
            if told := [path for path in private if len(path) > 1 and path in text]:
                raise UserError(f"{folder / name} names a place of this machine ({told[0]}): it is not recorded.")
            (out / folder.name / name).write_text(text, encoding="utf-8", newline="\n")
    (out / ABOUT).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
    return len(finished)


def joined(about: dict, out: Path) -> dict:
    """`about` together with what the study in `out` already tells."""
    if not (out / ABOUT).is_file():
        return about
    earlier = json.loads((out / ABOUT).read_text(encoding="utf-8"))
    if any(earlier[key] != about[key] for key in earlier.keys() & about.keys() if key.endswith("sha256")):
        raise UserError(f"{out} began with other packaged weights: remove it, or choose another --out folder.")
    commands = dict.fromkeys([*earlier["command"].split("; "), about["command"]])
    return {**earlier, **about, "command": "; ".join(commands)}


def origin(options: argparse.Namespace) -> dict:
    """What the study was made with, apart from what every run says of itself."""
    command = ["python tests/benchmarks/freeze_study.py", "--data", f"path/to/{Path(options.data).resolve().name}"]
    for name, usual in USUAL.items():
        given = getattr(options, name)
        words = given if isinstance(given, list) else [given]
        command += [f"--{name.replace('_', '-')}", *map(str, words)] if given != usual else []
    about = {"command": " ".join(command)}
    sources = {ARMS[arm][1] if ARMS[arm][:1] == ["--weights"] else "packaged" for arm in options.arms}
    for source in sorted(sources & set(PACKAGED)):
        path, key = packaged_weights(source), source.replace("packaged", "weights").replace("-", "_")
        about |= {key: load_checkpoint(path).metadata, f"{key}_sha256": sha256(path)}
    return about


def table(comparison: Comparison) -> str:
    """One Markdown row per arm; differences are paired by seed against the arm without a freeze."""
    paired = comparison.paired()
    epochs = comparison.table.groupby("arm", sort=False)["epochs"].first()
    head = ("arm", "epochs", "mAP50", "mAP50-95", "of each seed", "training (s)", "images/s", "peak memory (MB)")
    rows = [(*head, f"mAP50-95 − {comparison.baseline}"), ["---"] * (len(head) + 1)]
    for arm, row in comparison.arms.iterrows():
        each = " ".join(f"{value:.3f}" for value in row["map50_95_each"])
        cells = [arm, f"{epochs[arm]}", f"{row['map50']:.3f}", f"{row['map50_95']:.3f}", each]
        cells += [f"{row[name]:.0f}" for name in ("train_seconds", "images_per_s", "peak_memory_mb")]
        rows.append([*cells, difference(paired.loc[arm].to_dict()) if arm in paired.index else ""])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def difference(row: dict[str, float]) -> str:
    """A paired difference: mean and 95 % interval from five seeds on, every seed below that."""
    if row.get("mean", float("nan")) == row.get("mean"):
        return f"{row['mean']:+.3f} ({row[LOW]:+.3f} to {row[HIGH]:+.3f})"
    return " ".join(f"{value:+.3f}" for name, value in row.items() if name.startswith("seed ") and value == value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; the exit code is 0 when everything asked for is recorded."""
    options = parse(arguments)
    try:
        complete = True
        if not options.table:
            if options.data is None:
                raise UserError("Give --data, a folder that holds a data.yaml (or cells), or --table.")
            about = origin(options)
            complete = make(options)
            count = export(options.work, options.out, about)
            print(f"{count} runs recorded in {options.out}", file=sys.stderr)
        print(table(compare(options.out)))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
