"""`yolo-ft`: the functions of the lessons from a shell. This file only reads the command line.

Nothing heavy is imported before a command runs, so `yolo-ft --help` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence

from yolo_ft import __version__, commands, data_cli
from yolo_ft.core.errors import UserError
from yolo_ft.core.heap import share_heap

# what --weights takes: something trained, or where that makes sense an architecture
DEFAULT = "(default: the packaged YOLOv5n)"
TRAINED = f"{data_cli.WEIGHTS} {DEFAULT}"
ANY = f"{data_cli.WEIGHTS}, or yolov5n.yaml: random weights {DEFAULT}"
SUPPRESS = argparse.SUPPRESS  # a flag that was not given is absent, so that hyp files and defaults keep their say


def _add_inspect(commands_parser: argparse._SubParsersAction) -> None:
    parser = commands_parser.add_parser("inspect", help="layers and parameters of a model, and what a freeze would do")
    parser.set_defaults(command=commands.inspect)
    parser.add_argument("--weights", help=ANY)
    parser.add_argument("--imgsz", "--img", type=int, default=640, help="image size for the counts (default: 640)")
    parser.add_argument("--parameters", action="store_true", help="one row per parameter instead of one per layer")
    parser.add_argument("--freeze", nargs="+", metavar="SPEC", help="report what freezing this would save")


def _add_train(commands_parser: argparse._SubParsersAction) -> None:
    parser = commands_parser.add_parser(
        "train",
        help="fine-tune a model, or resume a run",
        description="Fine-tune a model. Flags override the --hyp file, which overrides the defaults. "
        "The run lands in PROJECT/NAME.",
    )
    parser.set_defaults(command=commands.train)
    what = parser.add_argument_group("what")
    what.add_argument("--weights", help=ANY)
    what.add_argument("--data", default=SUPPRESS, help=data_cli.DATA)
    what.add_argument(
        "--freeze", nargs="+", metavar="SPEC", help="10 = layers 0-9; 0 1 2 = exactly these; backbone; patterns"
    )
    what.add_argument("--phases", metavar="TEXT", help="progressive unfreezing, e.g. '5:backbone,20:none'")
    what.add_argument(
        "--freeze-bn", choices=("fixed", "running"), default=SUPPRESS, help="statistics of frozen BatchNorm"
    )
    how = parser.add_argument_group("how")
    how.add_argument("--epochs", type=int, default=SUPPRESS)
    how.add_argument("--batch", "--batch-size", type=int, default=SUPPRESS)
    how.add_argument("--imgsz", "--img", "--img-size", type=int, default=SUPPRESS)
    how.add_argument("--seed", type=int, default=SUPPRESS)
    how.add_argument("--optimizer", choices=("AdamW", "SGD", "MuSGD", "auto"), default=SUPPRESS)
    how.add_argument("--lr0", type=float, default=SUPPRESS, help="learning rate after warm-up")
    how.add_argument("--patience", type=int, default=SUPPRESS, help="stop after so many epochs without a better mAP")
    how.add_argument("--val-every", type=int, default=SUPPRESS, metavar="N", help="validate every N epochs")
    how.add_argument(
        "--views",
        type=int,
        default=SUPPRESS,
        metavar="K",
        help="augmentations per image behind a frozen prefix, cached (default: automatic; 0: fresh ones, no cache)",
    )
    how.add_argument(
        "--hyp",
        default=SUPPRESS,
        metavar="FILE",
        help="YOLOv5 hyper-parameter file, the name of a packaged one, or a preset of the augmentation alone: none, "
        "light, default, strong",
    )
    how.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any hyper-parameter, e.g. mixup=0.1"
    )
    where = parser.add_argument_group("where")
    where.add_argument("--device", default=SUPPRESS, help="cpu, cuda, cuda:1, mps")
    where.add_argument("--precision", choices=("auto", "fp32", "bf16", "fp16"), default=SUPPRESS)
    where.add_argument(
        "--workers",
        type=int,
        default=SUPPRESS,
        help="threads that prepare images ahead for a GPU; a CPU uses its cores",
    )
    where.add_argument("--cache", nargs="?", const="ram", default=SUPPRESS, help="keep resized images in memory")
    where.add_argument("--project", default=SUPPRESS, metavar="DIR")
    where.add_argument("--name", default=SUPPRESS)
    where.add_argument("--resume", metavar="RUN", help="finish this run folder, bit for bit as if it had not stopped")
    where.add_argument("--inexact", action="store_true", help="resume even where the bits may differ")


def _add_val(commands_parser: argparse._SubParsersAction) -> None:
    parser = commands_parser.add_parser("val", help="mAP, precision and recall of a model on a data set")
    parser.set_defaults(command=commands.val)
    parser.add_argument("--weights", help=TRAINED)
    parser.add_argument("--data", required=True, help=data_cli.DATA)
    parser.add_argument("--split", default=SUPPRESS, help="train, val or test")
    parser.add_argument("--imgsz", "--img", "--img-size", type=int, default=SUPPRESS)
    parser.add_argument("--batch", "--batch-size", type=int, default=SUPPRESS)
    _add_how(parser)


def _add_how(parser: argparse.ArgumentParser) -> None:
    """How a network is asked, the same for `val` and `predict`."""
    parser.add_argument("--device", default=SUPPRESS, help="cpu, cuda, mps or a GPU's number (default: the best)")
    help = "end to end: YOLO26's answers without suppression"
    parser.add_argument("--no-nms", dest="nms", action="store_false", default=SUPPRESS, help=help)


def _add_predict(commands_parser: argparse._SubParsersAction) -> None:
    parser = commands_parser.add_parser(
        "predict",
        help="detect objects in images, and draw them",
        description="Detect objects in images, and draw them into PROJECT/NAME. To label by hand from there: with "
        "--save-labels, run 'yolo-ft data convert PROJECT/NAME --images SOURCE --to coco --out NEW' and upload "
        "NEW/annotations/instances_train.json to CVAT (format COCO 1.0) on a task with the same images; for Label "
        "Studio put the images into PROJECT/NAME/images and run 'label-studio-converter import yolo -i PROJECT/NAME'.",
    )
    parser.set_defaults(command=commands.predict)
    parser.add_argument("source", nargs="+", help="image files, or folders of images")
    parser.add_argument("--weights", help=TRAINED)
    parser.add_argument("--conf", type=float, default=SUPPRESS, help="smallest score shown")
    parser.add_argument("--iou", type=float, default=SUPPRESS, help="overlap above which the weaker box is dropped")
    parser.add_argument("--imgsz", "--img", "--img-size", type=int, default=SUPPRESS)
    _add_how(parser)
    parser.add_argument(
        "--tile", type=int, default=SUPPRESS, metavar="PX", help="look at large images in tiles of PX x PX pixels"
    )
    parser.add_argument(
        "--overlap", type=float, default=SUPPRESS, metavar="SHARE", help="of a tile's side, with --tile (default: 0.2)"
    )
    parser.add_argument(
        "--save-labels",
        action="store_true",
        help="also write labels/*.txt (YOLO, 5 columns, scores of at least --conf, default 0.25) and classes.txt",
    )
    parser.add_argument("--project", default="runs", metavar="DIR")
    parser.add_argument("--name", default="predict", help="images land in PROJECT/NAME")


def _add_compare(commands_parser: argparse._SubParsersAction) -> None:
    parser = commands_parser.add_parser("compare", help="accuracy, time and memory of finished runs, paired by seed")
    parser.set_defaults(command=commands.compare)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folders, or folders that contain them")
    parser.add_argument("--out", metavar="DIR", help="also write the table (CSV) and the figure (PNG) there")


def _add_notebooks(commands_parser: argparse._SubParsersAction) -> None:
    parser = commands_parser.add_parser("notebooks", help="run, refresh or check the lessons")
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    run = actions.add_parser(
        "run",
        help="run lessons without a browser, also as a grid of experiments",
        description="One process and one folder per combination. A finished combination is not run again; a failed one "
        "only with --retry-failed, or after its notebook changed. A parameter goes to each chosen lesson that has it.",
    )
    run.set_defaults(command=commands.notebooks_run)
    run.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), dest="parameters")
    run.add_argument("--grid", action="append", default=[], metavar="NAME=A,B,…", help="every combination of all grids")
    run.add_argument("--jobs", type=int, default=1, metavar="N", help="combinations at once; each gets cores/N threads")
    run.add_argument("--timeout", type=float, metavar="S", help="seconds after which one combination counts as failed")
    run.add_argument("--retry-failed", action="store_true", help="run combinations again that failed before")
    run.add_argument("--out", default="runs/notebooks", metavar="DIR", help="default: runs/notebooks")
    refresh = actions.add_parser("refresh", help="authors: run lessons in place and store clean outputs")
    refresh.set_defaults(command=commands.notebooks_refresh)
    check = actions.add_parser("check", help="run lessons and compare every output with the stored one (strict nbval)")
    check.set_defaults(command=commands.notebooks_check)
    check.add_argument("--jobs", type=int, default=1, metavar="N", help="lessons at once")
    for action in (run, refresh, check):
        action.add_argument("numbers", nargs="*", metavar="NN", help="lesson numbers or files (default: all)")
        action.add_argument("--dir", default="notebooks", help="folder of the lessons (default: notebooks)")


def build_parser() -> argparse.ArgumentParser:
    """The parser of `yolo-ft`; every sub-command stores the function to call as `command`."""
    parser = argparse.ArgumentParser(
        prog="yolo-ft", description="Fine-tune YOLO detectors with frozen layers, and compare what it bought and cost."
    )
    parser.add_argument("--version", action="version", version=f"yolo-ft {__version__}")
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (_add_inspect, _add_train, _add_val, _add_predict, _add_compare, data_cli.add_data, _add_notebooks):
        add(subparsers)
    return parser


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {message}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns the exit code: 0 done, 1 something failed, 2 a mistake in the input, 130 interrupted, 141 nobody reads on.
    """
    if hasattr(sys.stdout, "reconfigure"):  # notebooks put something else in its place
        sys.stdout.reconfigure(errors="replace")  # a file on Windows cannot hold every letter
    options = vars(build_parser().parse_args(arguments))
    command = options.pop("command")
    share_heap()  # before torch makes its threads
    with warnings.catch_warnings():
        warnings.showwarning = _warn
        try:
            code = command(**options) or 0
            print(end="", flush=True)
            return code
        except BrokenPipeError:  # such as `| head`; on exit Python writes what is left, which must go somewhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        except UserError as error:
            print(f"yolo-ft: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print(
                "yolo-ft: stopped by the keyboard. Lessons, downloads, and runs whose first epoch has ended (--resume) "
                "can be continued.",
                file=sys.stderr,
            )
            return 130
