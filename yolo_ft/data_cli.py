"""`yolo-ft data`: the command line of the data workshop. This file only reads it; `data_commands` does the work."""

from __future__ import annotations

import argparse

from yolo_ft import data_commands

# what every command takes as its data
DATA = (
    "a data.yaml, a COCO .json, a folder (YOLO, Pascal VOC, COCO; exports of CVAT, Label Studio, Roboflow), or a known "
    "set such as cells"
)
# what every command takes as its model
WEIGHTS = "a checkpoint, packaged-yolo26n, or official weights such as yolo26n.pt"
# what an action takes that asks for groups of images
TABLE = "what is known about the images, whose names are its first column"
# what an action takes that keeps the layout of a YOLO folder
YOLO_DATA = "a data.yaml, its folder, or a name such as coco8; other formats: yolo-ft data convert first"


def add_data(commands_parser: argparse._SubParsersAction) -> None:
    """Add `data` and its actions to the commands of `yolo-ft`."""
    parser = commands_parser.add_parser("data", help="know, check, split and fetch a data set")
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    for add in (_add_catalog, _add_check, _add_fix, _add_stats, _add_split, _add_convert, _add_tile):
        add(actions)


def _add_source(parser: argparse.ArgumentParser) -> None:
    """The data set that an action reads, in any format."""
    parser.add_argument("data", help=DATA)
    parser.add_argument("--images", metavar="DIR", help="where the images lie, if not with the annotations")
    parser.add_argument(
        "--origin",
        type=int,
        choices=(0, 1),
        default=1,
        help="number of the first pixel in VOC files: 1 as in its devkit, 0 in some tools' (default: 1)",
    )


def _add_check(actions: argparse._SubParsersAction) -> None:
    check = actions.add_parser(
        "check",
        help="what is wrong with a data set, worst first; changes nothing",
        description="Exit code 1 when something costs accuracy for certain (level error), else 0.",
    )
    check.set_defaults(command=data_commands.check)
    _add_source(check)
    check.add_argument("--imgsz", "--img", type=int, default=640, help="training size, for tiny boxes (default: 640)")
    check.add_argument("--out", metavar="DIR", help="also write report.md, report.json and pictures to this new folder")
    check.add_argument("--weights", help=f"{WEIGHTS}: also list what it detects for certain where no label is")
    check.add_argument(
        "--group",
        dest="groups",
        metavar="WHAT",
        help="also look for these in two splits: a column of --table, or a regular expression such as 'patient\\d+'",
    )
    check.add_argument("--table", metavar="CSV", help=TABLE)


def _add_fix(actions: argparse._SubParsersAction) -> None:
    fix = actions.add_parser("fix", help="write a repaired copy of a data set, with a log; the source is only read")
    fix.set_defaults(command=data_commands.fix)
    fix.add_argument("data", help=YOLO_DATA)
    fix.add_argument("--out", required=True, metavar="DIR", help="a new folder for the copy")


def _add_catalog(actions: argparse._SubParsersAction) -> None:
    listing = actions.add_parser("list", help="public data sets by name: size, licence, and which are here")
    listing.set_defaults(command=data_commands.show_catalog)
    get = actions.add_parser("get", help="download a public data set, checked and unpacked")
    get.set_defaults(command=data_commands.get)
    get.add_argument("name", help="a name that `yolo-ft data list` shows, such as coco8")
    get.add_argument("--to", metavar="DIR", help="the set lands in DIR/NAME (default: the cache folder)")


def _add_stats(actions: argparse._SubParsersAction) -> None:
    stats = actions.add_parser("stats", help="counts, sizes, positions and colours, and the gap to the source (COCO)")
    stats.set_defaults(command=data_commands.stats)
    _add_source(stats)
    stats.add_argument("--imgsz", "--img", type=int, default=640, help="training size, for object sizes (default: 640)")
    stats.add_argument("--out", metavar="DIR", help="also write statistics.json and the figures into this new folder")


def _add_convert(actions: argparse._SubParsersAction) -> None:
    convert = actions.add_parser("convert", help="write a data set as YOLO, Pascal VOC or COCO; the source stays")
    convert.set_defaults(command=data_commands.convert)
    _add_source(convert)
    convert.add_argument("--to", required=True, choices=("yolo", "voc", "coco"), help="the format to write")
    convert.add_argument("--out", required=True, metavar="DIR", help="a new folder; images are copied into it")


def _add_tile(actions: argparse._SubParsersAction) -> None:
    tile = actions.add_parser(
        "tile",
        help="cut large images into tiles with their boxes",
        description="Tiles of one image stay in its split. A box is cut at the tile's edge and kept where enough of it "
        "is visible. Predict with the same tiles: yolo-ft predict --tile SIZE.",
    )
    tile.set_defaults(command=data_commands.tile)
    _add_source(tile)
    tile.add_argument("--size", type=int, default=640, metavar="PX", help="side of a tile (default: 640)")
    tile.add_argument(
        "--overlap",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="share of a tile that its neighbour sees too, at least; larger than the objects is best (default: 0.2)",
    )
    tile.add_argument(
        "--min-visible",
        type=float,
        default=0.25,
        metavar="SHARE",
        help="share of a box's area that must lie in a tile for the box to be kept there (default: 0.25)",
    )
    tile.add_argument("--out", required=True, metavar="DIR", help="a new folder, in YOLO format")


def _add_split(actions: argparse._SubParsersAction) -> None:
    split = actions.add_parser(
        "split",
        help="new training, validation and test lists",
        description="Share all images out anew, written as lists into a new folder; no image is moved. Every split "
        "gets its share of every class. A test split that exists stays as it is, unless --test is given.",
    )
    split.set_defaults(command=data_commands.split)
    split.add_argument("data", help=YOLO_DATA)
    split.add_argument("--out", required=True, metavar="DIR", help="a new folder for the lists and their data.yaml")
    split.add_argument("--val", type=float, metavar="SHARE", help="default: 0.2 below 1,000 images, else 0.1")
    split.add_argument("--test", type=float, default=0.0, metavar="SHARE", help="default: 0")
    split.add_argument("--folds", type=int, metavar="K", help="K splits for cross-validation, in DIR/fold0, …")
    split.add_argument(
        "--group",
        dest="groups",
        metavar="WHAT",
        help="keep together: near-duplicates, names (frames of a video, tiles of an image), a column of --table, or a "
        "regular expression",
    )
    split.add_argument(
        "--time",
        dest="times",
        metavar="WHAT",
        help="validate on the newest: exif, a column of --table, or a regular expression such as '(\\d{8})'",
    )
    split.add_argument("--table", metavar="CSV", help=TABLE)
    split.add_argument("--random", dest="stratify", action="store_false", help="do not even the classes out")
    split.add_argument("--seed", type=int, default=0)
    split.add_argument(
        "--leaks",
        metavar="WHAT",
        help="look for these in two splits (as --group), or none (default: near-duplicates and names)",
    )
