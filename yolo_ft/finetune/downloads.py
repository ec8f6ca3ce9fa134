"""Official weights by name: downloaded once from the projects' releases, checked, and kept."""

from __future__ import annotations

from pathlib import Path

from yolo_ft.data.catalog.fetch import cache_folder, fetch
from yolo_ft.data.catalog.remote import Remote
from yolo_ft.finetune.archives import LARGEST_FILE

RELEASES = {  # family -> where its files are
    "yolov5": "https://github.com/ultralytics/yolov5/releases/download/v7.0",
    "yolo26": "https://github.com/ultralytics/assets/releases/download/v8.4.0",
}
# SHA-256 as the project publishes them: https://huggingface.co/Ultralytics/YOLOv5/commit/553ca28641b8c2129596b0ecc50fc0902f7bd7ac
# None: no publisher's hash was found, so the first download's hash is recorded beside the file.
OFFICIAL: dict[str, str | None] = {
    "yolov5n": "4f180cf23ba0717ada0badd6c685026d73d48f184d00fc159c2641284b2ac0a3",
    "yolov5s": "8b3b748c1e592ddd8868022e8732fde20025197328490623cc16c6f24d0782ee",
    "yolov5m": "61d933360ba5a7733a36764996c800287d973889d875227f5beedd2473a97a56",
    "yolov5l": "2f603b7354c25454d1270663a14d8ddc1eea98e5eebc1d84ce0c6e3150fa155f",
    "yolov5x": None,
    **{f"yolo26{size}": None for size in "nsmlx"},
}


def official_name(text: str) -> str | None:
    """`yolov5n` for "yolov5n" or "yolov5n.pt"; None for everything else, paths with folders included."""
    name = text.removesuffix(".pt")
    return name if name in OFFICIAL else None


def fetch_weights(name: str, release: str | None = None, timeout: float = 30.0) -> Path:
    """The local file of the official weights `name` ("yolov5n" ... "yolo26x"), downloaded if it is not there yet.

    Every use compares the SHA-256 with the published one, or with the one recorded at the first use. `release` is
    another address to load from, `timeout` in seconds without an answer. Raises `UserError` with the manual step when
    there is no network, and never returns other weights. Lesson 01.
    """
    release = release or next(address for family, address in RELEASES.items() if name.startswith(family))
    target, copy = cache_folder() / f"{name}.pt", ", or pass the path of your copy"
    return fetch(Remote(f"{release}/{name}.pt", target, ".pt file", OFFICIAL[name], LARGEST_FILE, copy), timeout)
