"""The drawn `cells` set: blood smears with red cells, white cells and platelets, no file and no network needed."""

from __future__ import annotations

import numpy as np

from yolo_ft.core.targets import Target
from yolo_ft.data.drawn.camera import photograph
from yolo_ft.data.drawn.canvas import VISIBLE, Canvas, Dice, check_size
from yolo_ft.data.drawn.domains import USUAL, CellsDomain
from yolo_ft.data.drawn.field import Field, Habits, platelets, red_cells, red_habits, specks, white_places
from yolo_ft.data.drawn.smear import Stain, draw_stain, draw_white_cell

CELLS_NAMES = {0: "RBC", 1: "WBC", 2: "Platelets"}
CELLS_SPLITS = {"train": range(0, 200), "val": range(1000, 1080), "test": range(2000, 2060)}
CELLS_SHA256 = {  # of all images, boxes and labels; the recorded studies were made with these bytes
    "train": "e4b72369596f9bbca6052ef1e6d5e9cb7afd6ca09c87e7bb0a0abbfb00b49770",
    "val": "05898aba3068ebda37b0b1e952ce907d904d666c8fb4e1afc41d7f4db28b43c3",
    "test": "0bbb43c3c7cc46b19e9af8c9ca556e5a6fae45014b29480cd48bf9ff3643f766",
}


def draw_cells(
    index: int, seed: int = 0, height: int = 240, width: int = 320, domain: CellsDomain = USUAL
) -> tuple[np.ndarray, Target]:
    """Draw blood smear number `index`: image (height, width, 3) uint8 RGB, and its Target (xyxy pixels).

    The same arguments give the same bytes on every machine. A pixel always covers the same piece of the smear (but for
    the domain's magnification): a larger image shows more cells, not larger ones. Another `domain` shows the same
    cells, made and photographed otherwise. Labels: 0 RBC, 1 WBC, 2 Platelets. A box is the extent of the drawn mask
    clipped to the image; objects of which less than half can be seen (outside the image or below other cells) have
    none, nor have faded cells, dye grains, dirt and bubbles. An image may be without objects.
    Raises UserError for sides under 32 pixels. Lesson 00 uses it, lesson 09 explains it, lesson 12 shifts the domain.
    """
    check_size(height, width)
    canvas = Canvas(height, width, domain.magnification)
    layout, colour, camera, more, thin = (Dice(seed, index, purpose) for purpose in range(5))
    stain = draw_stain(colour, domain.stain)
    field = Field((0, 0, width, height))
    white = white_places(layout, field)
    habits = red_habits(layout)
    red = red_cells(canvas, layout, stain, habits, field, white, show=lambda: thin.chance(domain.density))
    if domain.density > 1:
        red_cells(canvas, more, stain, habits, field, white + red, domain.density - 1)
    if domain.magnification < 1:
        _surroundings(canvas, more, stain, field, habits, domain.density)
    for outline in white:
        draw_white_cell(canvas, layout, stain, outline)
    platelets(canvas, layout, stain, field)
    specks(canvas, layout, stain, field, red)
    return photograph(canvas, camera, domain), canvas.target(VISIBLE)


def _surroundings(canvas: Canvas, dice: Dice, stain: Stain, field: Field, habits: Habits, density: float) -> None:
    """Draw what a lower magnification shows around the usual field."""
    x, y = (side * (1 / canvas.zoom - 1) / 2 for side in (canvas.width, canvas.height))
    around = Field((-x, -y, canvas.width + x, canvas.height + y), field)
    white = white_places(dice, around)
    red = red_cells(canvas, dice, stain, habits, around, white, density)
    for outline in white:
        draw_white_cell(canvas, dice, stain, outline)
    platelets(canvas, dice, stain, around)
    specks(canvas, dice, stain, around, red)
