"""A frozen prefix costs nothing twice: its outputs are computed once per image and augmentation view, then reused.

With `views=K` the epochs cycle through K augmentations of every image, each a pure function of (seed, view, image),
so layers 0..k-1 of a frozen network see the same pixels again and their outputs can be kept. Only what the layers
above read of them is stored: for `freeze=10` layers 4, 6 and 9. Lesson 02 has the arithmetic, Lesson 05 the seconds.

A view is a folder of memory-mapped files, named by the hash of everything that its content depends on: a stale one
cannot be found. A folder appears only when it is complete, so what a killed process left behind is never read, and
two processes that fill the same view end with one of two equal folders.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from yolo_ft.core.errors import UserError
from yolo_ft.data.catalog.fetch import cache_folder
from yolo_ft.data.loader import TrainLoader
from yolo_ft.finetune.prefix import Prefix, prepared

BUDGET = 4 * 2**30  # bytes of all views on this machine; those not used for longest go first
UNFINISHED, HOUR = ".unfinished-", 3600  # seconds
# the settings that decide what an augmented image looks like
AUGMENTATION = (
    *("imgsz", "seed", "mosaic", "mixup", "copy_paste", "degrees", "translate", "scale", "shear", "perspective"),
    *("hsv_h", "hsv_s", "hsv_v", "flipud", "fliplr"),
)


@dataclass
class View:
    """One augmentation of a data set, by its indices: `maps` {layer: (n, h, w, c)}, `targets` one (t, 6) per image."""

    maps: dict[int, torch.Tensor]
    targets: list[torch.Tensor]

    def batch(self, indices: Sequence[int]) -> tuple[dict[int, torch.Tensor], torch.Tensor]:
        """({layer: (b, c, h, w)}, targets (t, 6)) of these images; column 0 is the image's place among them."""
        rows = torch.tensor(indices)
        outputs = {layer: maps.index_select(0, rows).permute(0, 3, 1, 2) for layer, maps in self.maps.items()}
        targets = [self.targets[index].clone() for index in indices]
        for place, own in enumerate(targets):
            own[:, 0] = place
        return outputs, torch.cat(targets)


class PrefixCache:
    """The views of one training set behind one prefix.

    In `counts`, "hits" and "misses" are images that were read and computed, "bytes" what was stored.
    """

    def __init__(self, prefix: Prefix, loader: TrainLoader, counts: dict[str, int]):
        self.prefix, self.loader, self.counts = prefix, loader, counts
        self.about = [prefix.digest(), loader.dataset.digest, {k: getattr(loader.config, k) for k in AUGMENTATION}]
        self.root = cache_folder() / "prefix"

    def view(self, number: int, mosaic: bool) -> View:
        """View `number`, read where it exists, else computed and stored. `UserError` when the disk is full."""
        name = hashlib.sha256(json.dumps([self.about, number, mosaic]).encode()).hexdigest()[:32]
        folder = self.root / name
        view = self._open(folder)
        self.counts["hits" if view else "misses"] += len(self.loader.dataset)
        for _ in range(3):  # another process may make room between the two
            if view is not None:
                return view
            self._drop(folder)  # it may be there and not be whole: somebody removed files
            self._fill(folder, number, mosaic)
            view = self._open(folder)
        raise UserError(f"{folder} cannot be read back: remove it, or use views=0.")

    def _fill(self, folder: Path, number: int, mosaic: bool) -> None:
        """Compute a view into an unfinished folder and move it into place."""
        self.root.mkdir(parents=True, exist_ok=True)
        self._sweep()
        count, start, maps, targets = len(self.loader.dataset), 0, {}, []
        with tempfile.TemporaryDirectory(dir=self.root, prefix=UNFINISHED) as unfinished:
            for outputs, found, size in prepared(
                self.loader, self.loader.groups(), number, mosaic, self.prefix.compute, self.prefix
            ):
                for layer, x in outputs.items():
                    if layer not in maps:
                        shape = (count, x.shape[2], x.shape[3], x.shape[1])
                        maps[layer] = self._new_map(Path(unfinished) / f"{layer}.map", shape, x.dtype)
                    maps[layer][start : start + size] = x.permute(0, 2, 3, 1).cpu()
                targets += [found[found[:, 0] == i] for i in range(size)]
                start += size
            shapes = {layer: (tuple(x.shape), str(x.dtype).removeprefix("torch.")) for layer, x in maps.items()}
            torch.save({"maps": shapes, "targets": targets}, Path(unfinished) / "view.pt")
            self.counts["bytes"] += sum(x.nbytes for x in maps.values())
            maps.clear()  # Windows does not move files that are mapped
            try:
                os.replace(unfinished, folder)
                Path(unfinished).mkdir()  # what the context manager expects to remove
            except OSError:
                if not folder.is_dir():  # else another process was faster, with the same bytes
                    raise

    def _new_map(self, path: Path, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        size = torch.Size(shape).numel() * dtype.itemsize
        self._make_room(size)
        if shutil.disk_usage(self.root).free < size:
            raise UserError(f"{self.root} has no room for {size / 2**20:.0f} MiB of cached outputs: use views=0.")
        return torch.from_file(str(path), shared=True, size=torch.Size(shape).numel(), dtype=dtype).view(shape)

    def _make_room(self, size: int) -> None:
        """Drop the views used longest ago until `size` more bytes fit into the budget."""
        views = sorted((f for f in self.root.iterdir() if not f.name.startswith(".")), key=lambda f: f.stat().st_mtime)
        used = {view: sum(file.stat().st_size for file in view.iterdir()) for view in views}
        while views and sum(used[view] for view in views) + size > BUDGET:
            self._drop(views.pop(0))

    def _drop(self, view: Path) -> None:
        """Remove a view, whole from the first moment: another process finds all of it or nothing."""
        dropped = self.root / f"{UNFINISHED}{view.name}-{os.getpid()}"
        try:
            os.replace(view, dropped)
        except OSError:
            return  # gone already, or in use (Windows)
        shutil.rmtree(dropped, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove what killed processes left unfinished: nothing in it was written for an hour."""
        for folder in self.root.glob(f"{UNFINISHED}*"):
            try:
                written = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
            except OSError:
                continue  # another process has just finished or removed it
            if time.time() - written > HOUR:
                shutil.rmtree(folder, ignore_errors=True)

    @staticmethod
    def _open(folder: Path) -> View | None:
        """The view in `folder`, None where there is none."""
        try:
            os.utime(folder)  # used now: `_make_room` drops the others first
            content = torch.load(folder / "view.pt", weights_only=True)
            maps = {
                layer: torch.from_file(
                    str(folder / f"{layer}.map"),
                    shared=False,  # shared=True would make a missing file, full of zeros
                    size=torch.Size(shape).numel(),
                    dtype=getattr(torch, dtype),
                ).view(shape)
                for layer, (shape, dtype) in content["maps"].items()
            }
        except (OSError, RuntimeError):  # torch says RuntimeError when a file to map has gone
            return None
        return View(maps, content["targets"])
