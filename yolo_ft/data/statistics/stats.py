"""Statistics of a data set: what it holds, how large, where, together with what, and in which colours. Lesson 06."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from yolo_ft.core.boxes import xyxy_to_cxcywh
from yolo_ft.core.cores import reading_threads
from yolo_ft.core.errors import UserError
from yolo_ft.data.augmentation.diversity import MEANS, Diversity, effective_number, mean_colours, sample
from yolo_ft.data.dataset import Dataset, load_splits
from yolo_ft.data.images import ImageError, read_image
from yolo_ft.data.progress import progress

SMALL, LARGE = 32**2, 96**2  # pixels: COCO's limits (cocodataset.org/#detection-eval)
SIZES = ("small", "medium", "large")
GRID = 8  # cells of the map of positions along each side
SIDE = 128  # pixels of the long side at which colour is measured, so that large and small images compare
LEVELS = 4  # of each of red, green and blue, in the histogram of colours
CHANNELS = ("red", "green", "blue")
COLOUR = (*CHANNELS, *(f"{channel}_std" for channel in CHANNELS), "brightness", "saturation", "contrast")
ALL = "all"


@dataclass(frozen=True, eq=False)
class Statistics:
    """The numbers of a data set; every table is derived from two, one row per image and one row per object.

    `images`: split, key, height, width (pixels), objects, classes (different ones in it), and on a scale of 0..1 the
    mean and standard deviation of each channel, brightness (mean of Rec. 601 luma), saturation (mean of HSV's S) and
    contrast (standard deviation of the luma). An image that could not be decoded has NaN there.
    `objects`: image (row of `images`), label, cx, cy (centre as shares of the image), width, height and area in
    pixels of the original, area_at_imgsz in pixels after the letterbox to `imgsz`, size (square root of the area as a
    share of the image's long side: what a letterbox keeps) and aspect (width / height).
    `colours`: (images, 64) shares of the pixels with each of 4 x 4 x 4 colours.
    `thumbnails`: (images, 192) uint8, the mean colours of 8 x 8 parts of each image, zeros where it cannot be decoded.
    An image that two splits list counts in each.
    """

    name: str
    names: dict[int, str]
    imgsz: int
    images: pd.DataFrame
    objects: pd.DataFrame
    colours: np.ndarray
    thumbnails: np.ndarray

    def select(self, split: str) -> Statistics:
        """The statistics of one split alone. Raises UserError when there is none of that name."""
        if split not in set(self.images["split"]):
            raise UserError(f"There is no split '{split}': choose one of {', '.join(self.images['split'].unique())}.")
        rows = np.flatnonzero(self.images["split"] == split)
        place = np.full(len(self.images), -1)
        place[rows] = np.arange(len(rows))
        objects = self.objects.assign(image=place[self.objects["image"]])
        objects = objects[objects["image"] >= 0].reset_index(drop=True)
        images = self.images.iloc[rows].reset_index(drop=True)
        looks = {"colours": self.colours[rows], "thumbnails": self.thumbnails[rows]}
        return replace(self, images=images, objects=objects, **looks)

    def _per_split(self) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
        """{split, and "all": (its images, its objects)}."""
        splits = self.images["split"].to_numpy()
        owner = splits[self.objects["image"].to_numpy()]
        parts = {name: (self.images[splits == name], self.objects[owner == name]) for name in dict.fromkeys(splits)}
        return {**parts, ALL: (self.images, self.objects)}

    @cached_property
    def splits(self) -> pd.DataFrame:
        """One row per split and one for all: images, background (without an object), objects, their number per image,
        different classes per image, and the shares of small, medium and large objects (`size_shares`)."""
        rows = {}
        for split, (images, objects) in self._per_split().items():
            count = images["objects"]
            rows[split] = {
                "images": len(images),
                "background": int((count == 0).sum()),
                "objects": len(objects),
                "per_image": count.mean(),
                "per_image_median": count.median(),
                "per_image_max": count.max(),
                "classes_per_image": images["classes"].mean(),
                **size_shares(objects),
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("split")

    @cached_property
    def classes(self) -> pd.DataFrame:
        """One row per split and class, those without an object too: images that show it, objects, their share,
        objects per image that shows it, median size and aspect, shares of small, medium and large."""
        rows = {}
        for split, (_, objects) in self._per_split().items():
            groups = dict(list(objects.groupby("label")))
            for label, name in self.names.items():
                own = groups.get(label, objects.iloc[:0])
                shown = own["image"].nunique()
                rows[split, name] = {
                    "images": shown,
                    "objects": len(own),
                    "share": len(own) / max(1, len(objects)),
                    "per_image": len(own) / max(1, shown),
                    "size_median": own["size"].median(),
                    "aspect_median": own["aspect"].median(),
                    **size_shares(own),
                }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["split", "class"])

    @cached_property
    def image_sizes(self) -> pd.DataFrame:
        """One row per image size, the most frequent first: width, height (pixels), images, share."""
        counts = self.images.groupby(["width", "height"]).size().rename("images").reset_index()
        counts["share"] = counts["images"] / max(1, len(self.images))
        return counts.sort_values(["images", "width", "height"], ascending=False, ignore_index=True)

    @cached_property
    def positions(self) -> np.ndarray:
        """(8, 8) int: how many centres lie in each cell of the image; rows from the top, columns from the left."""
        cells = cell_of(self.objects)
        return np.bincount(cells, minlength=GRID**2).reshape(GRID, GRID)

    @cached_property
    def cooccurrence(self) -> pd.DataFrame:
        """Class by class: how many images show both; on the diagonal, how many show it at all."""
        shown = np.zeros((len(self.images), len(self.names)), np.float32)
        shown[self.objects["image"], self.objects["label"]] = 1  # float: a matrix product of integers is slow
        names = list(self.names.values())
        return pd.DataFrame((shown.T @ shown).astype(np.int64), index=names, columns=names)

    @cached_property
    def colour(self) -> pd.DataFrame:
        """One row per split and one for all, every image with the same weight: mean and standard deviation of each
        channel over all pixels, and the means of brightness, saturation and contrast (0..1)."""
        rows = {}
        for split, (images, _) in self._per_split().items():
            means = images[list(COLOUR)].mean()
            for channel in CHANNELS:  # the spread over all pixels is that inside images and that between them
                squares = (images[channel] ** 2 + images[f"{channel}_std"] ** 2).mean()
                means[f"{channel}_std"] = np.sqrt(max(0.0, squares - means[channel] ** 2))
            rows[split] = means
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("split")

    @cached_property
    def diversity(self) -> Diversity:
        """How many clearly different images the set is worth, as `yolo_ft.data.augmentation.diversity` measures it."""
        decoded = self.thumbnails[self.images["brightness"].notna()]
        picked = sample(len(decoded))
        return Diversity(len(self.images), len(picked), effective_number(decoded[picked] / 255))

    def to_dict(self) -> dict[str, Any]:
        """Every table as plain lists and dicts, for JSON; values that do not exist are NaN."""
        classes = {split: self.classes.loc[split].to_dict("index") for split in self.splits.index}
        return {
            "name": self.name,
            "imgsz": self.imgsz,
            "names": dict(self.names),
            "splits": self.splits.to_dict("index"),
            "classes": classes,
            "colour": self.colour.to_dict("index"),
            "image_sizes": self.image_sizes.to_dict("records"),
            "positions": self.positions.tolist(),
            "cooccurrence": self.cooccurrence.to_numpy().tolist(),
        }

    def __str__(self) -> str:
        names = ["images", "background", "objects", "per_image", "per_image_max", "classes_per_image"]
        counts = self.splits[names].to_string(float_format="{:.1f}".format)
        sizes = (100 * self.splits[list(_size_names())]).to_string(float_format="{:.0f}".format)
        classes = self.classes.loc[ALL].sort_values("objects", ascending=False, kind="stable")
        shown = classes[["objects", "images", "per_image", "size_median", "aspect_median"]].head(20)
        more = f"\n... and {len(classes) - 20} more classes" if len(classes) > 20 else ""
        return (
            f"{self.name}\n{counts}\n\nobjects by size in %, in the original and at imgsz {self.imgsz}\n{sizes}\n\n"
            f"{shown.to_string(float_format='{:.2f}'.format)}{more}\n\n"
            f"{self.colour[['brightness', 'saturation', 'contrast']].to_string(float_format='{:.2f}'.format)}"
        )


def statistics(
    data: str | Path | Dataset, imgsz: int = 640, images: str | Path | None = None, origin: int = 1
) -> Statistics:
    """Measure every split of a data set, each image read once; sizes are also given for training at `imgsz`.

    `data`, `images`, `origin`: as for `load_dataset`. Boxes are those that training would see. A split without images
    is left out, and an image that cannot be decoded keeps its boxes and gets no colour, each with a warning. Lesson 06.
    """
    if imgsz < 1:
        raise UserError(f"imgsz is {imgsz}: give the side of the training images in pixels, for example 640.")
    every = load_splits(data, images, origin)
    splits = {split: dataset for split, dataset in every.items() if len(dataset)} or every
    if empty := [split for split in every if split not in splits]:
        warnings.warn(f"Empty and left out, as no image of theirs can be used: {', '.join(empty)}.", stacklevel=2)
    tables, objects, shown, first = [], [], [], 0
    for split, dataset in splits.items():
        with ThreadPoolExecutor(reading_threads()) as pool:
            looks = pool.map(partial(_look, dataset), range(len(dataset)))
            looks = list(progress(looks, len(dataset), f"measuring {split}"))
        tables.append(_images(dataset, split, np.array([look[0] for look in looks]).reshape(-1, len(COLOUR))))
        objects.append(_objects(dataset, imgsz, first))
        shown += looks
        first += len(dataset)
    whole = pd.concat(tables, ignore_index=True)
    if unread := int(whole["brightness"].isna().sum()):
        key = whole["key"][whole["brightness"].isna()].iloc[0]
        warnings.warn(f"{unread} images cannot be decoded and have no colour here, first {key}.", stacklevel=2)
    dataset = next(iter(splits.values()))
    found = pd.concat(objects, ignore_index=True)
    colours = np.array([look[1] for look in shown]).reshape(-1, LEVELS**3)
    thumbnails = np.array([look[2] for look in shown], np.uint8).reshape(-1, MEANS)
    return Statistics(dataset.name, dataset.names, imgsz, whole, found, colours, thumbnails)


def size_shares(objects: pd.DataFrame) -> dict[str, float]:
    """Shares of small (area < 32²), medium and large (≥ 96² pixels) objects, in the original and at imgsz.

    The areas are those of boxes; COCO's own split uses the smaller areas of masks. NaN without objects.
    """
    shares = []
    for column in ("area", "area_at_imgsz"):
        kind = np.digitize(objects[column], (SMALL, LARGE))
        shares += [(kind == k).mean() if len(objects) else np.nan for k in range(3)]
    return dict(zip(_size_names(), map(float, shares), strict=True))


def cell_of(objects: pd.DataFrame) -> np.ndarray:
    """(objects,) the cell, 0..63 row by row, of the 8 x 8 map that holds each centre."""
    column, row = (np.clip((objects[c].to_numpy() * GRID).astype(np.int64), 0, GRID - 1) for c in ("cx", "cy"))
    return row * GRID + column


def _size_names() -> tuple[str, ...]:
    return (*SIZES, *(f"{size}_at_imgsz" for size in SIZES))


def _images(dataset: Dataset, split: str, colour: np.ndarray) -> pd.DataFrame:
    indices = range(len(dataset))
    height, width = np.array([dataset.size(i) for i in indices], np.int64).reshape(-1, 2).T
    labels = [dataset.target(i).labels for i in indices]
    facts = {"split": [split] * len(dataset), "key": dataset.keys, "height": height, "width": width}
    counts = {"objects": [len(each) for each in labels], "classes": [len(np.unique(each)) for each in labels]}
    table = pd.DataFrame({**facts, **counts}).astype({name: np.int64 for name in counts})
    return table.assign(**dict(zip(COLOUR, colour.T, strict=True)))


def _objects(dataset: Dataset, imgsz: int, first: int) -> pd.DataFrame:
    """One row per object; `first` is the row of the table of images with which this split begins."""
    targets = [dataset.target(i) for i in range(len(dataset))]
    image = np.repeat(np.arange(len(targets)), [len(target) for target in targets])
    boxes = np.concatenate([np.zeros((0, 4)), *(target.boxes for target in targets)]).astype(np.float64)
    labels = np.concatenate([np.zeros(0, np.int64), *(target.labels for target in targets)])
    size = np.array([dataset.size(i) for i in range(len(targets))], np.float64).reshape(-1, 2)[image]  # (n, 2) h, w
    cx, cy, width, height = xyxy_to_cxcywh(boxes).T
    area, side = width * height, size.max(1)
    columns = {"image": first + image, "label": labels, "cx": cx / size[:, 1], "cy": cy / size[:, 0]}
    columns |= {"width": width, "height": height, "area": area, "area_at_imgsz": area * (imgsz / side) ** 2}
    return pd.DataFrame({**columns, "size": np.sqrt(area) / side, "aspect": width / np.maximum(height, 1e-6)})


def _look(dataset: Dataset, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(9,) the columns COLOUR, (64,) the histogram of colours and (192,) the thumbnail of one image."""
    path = dataset.path(index)
    try:
        pixels = dataset.image(index) if path is None else read_image(path, at_least=SIDE)
    except ImageError:
        return np.full(len(COLOUR), np.nan), np.zeros(LEVELS**3), np.zeros(MEANS, np.uint8)
    image = Image.fromarray(pixels)
    parts = mean_colours(image)
    image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    planes = (image, image.convert("L"), image.convert("HSV").getchannel("S"))
    counts = np.concatenate([plane.histogram() for plane in planes]).reshape(5, 256)  # red, green, blue, luma, S
    values = np.arange(256)
    means = counts @ values / (image.width * image.height)
    spreads = np.sqrt(np.maximum(counts @ values**2 / (image.width * image.height) - means**2, 0))
    red, green, blue = (np.asarray(image).reshape(-1, 3) // (256 // LEVELS)).T
    bins = np.bincount((red * LEVELS + green) * LEVELS + blue, minlength=LEVELS**3)  # at most 63: fits 8 bits
    return np.array([*means[:3], *spreads[:3], means[3], means[4], spreads[3]]) / 255, bins / bins.sum(), parts
