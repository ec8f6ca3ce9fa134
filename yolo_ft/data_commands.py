"""What each action of `yolo-ft data` does. Imports stay inside the functions: an action pays only for what it uses."""

from __future__ import annotations


def check(data: str) -> int:
    """Print what is wrong with every split of a data set; exit code 1 when something is."""
    from yolo_ft.data.dataset import load_splits

    reports = [dataset.health for dataset in load_splits(data).values()]
    print(*reports, sep="\n")
    return int(any(report.issues for report in reports))


def convert(data: str, to: str, out: str, images: str | None, origin: int) -> None:
    """Write a data set in another format into a new folder, and print what the format cannot hold."""
    from yolo_ft.data.convert import convert as convert_data

    print(convert_data(data, out, to, images, origin))


def tile(data: str, out: str, size: int, overlap: float, min_visible: float, images: str | None, origin: int) -> None:
    """Cut the images of a data set into tiles with their boxes, as a YOLO folder, and print what became of them."""
    from yolo_ft.data.tiling import tile as tile_data

    print(tile_data(data, out, size, overlap, min_visible, images, origin))
