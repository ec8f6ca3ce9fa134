"""The exercises of lesson 13: YOLO26 beside YOLOv5."""

from __future__ import annotations

from yolo_ft.report.answers import Exercise

ROWS = (
    Exercise(
        "13.1",
        1,
        2,
        "Which number n makes `model.freeze(n)` freeze the backbone of YOLO26 and its neck up to and with the layer "
        "`N3 out`?",
        17,
        "`N3 out` is layer 16, and a number n means the layers 0 to n − 1.",
        (
            (16, "A number n means the layers 0 to n − 1: this leaves `N3 out` itself outside."),
            (18, "That is YOLOv5's number: its neck has two layers more up to there, and its backbone one less."),
            (11, "That is the backbone alone."),
            (23, "That freezes the whole neck: everything but the head."),
        ),
        (
            "Find `N3 out` in the right list of section 1.",
            "What does `freeze(10)` mean: with layer 10, or without it?",
            "The backbone ends with layer 10 and its number is 11: count on from there.",
        ),
    ),
    Exercise(
        "13.2",
        2,
        4,
        "An image of 640 × 640 pixels: how many boxes does one head of YOLO26 propose before anything is sorted out?",
        8400,
        "One per cell: 80 · 80 + 40 · 40 + 20 · 20.",
        (
            (25_200, "That is YOLOv5's count: three anchors per cell. Here a cell proposes one box."),
            (16_800, "That counts both heads; only one of them is asked."),
            (6400, "That is the finest level alone; there are three."),
            (2100, "That is the count at 320 pixels; with twice the side there are four times as many cells."),
        ),
        (
            "How many cells has each level?",
            "A cell is 8, 16 or 32 pixels wide: 80, 40 or 20 cells side by side.",
            "At 320 pixels it is 40 · 40 + 20 · 20 + 10 · 10 = 2100.",
        ),
    ),
    Exercise(
        "13.3",
        3,
        6,
        "At stride 16, the cell in row 3 and column 5 (both counted from 0) answers left 2, top 1.5, right 1, bottom "
        "0.5. What is its box in pixels? Answer [x1, y1, x2, y2].",
        [56, 32, 104, 64],
        "From the centre (5.5, 3.5) to 3.5, 2, 6.5 and 4 cells of 16 pixels.",
        (
            ([48, 24, 96, 56], "That starts at the cell's corner; the distances are counted from its centre."),
            ([24, 64, 72, 96], "Row and column are swapped: x counts columns, y counts rows."),
            ([3.5, 2, 6.5, 4], "Those are cells; a cell of this level is 16 pixels wide."),
            ([80, 48, 48, 32], "That is centre and size; asked for are the corners."),
            ([56, 32, 48, 32], "That is a corner and the size; asked for are two corners."),
            ([104, 68, 120, 76], "That reads the four numbers as x, y, width and height; they are distances."),
            ([86, 54.5, 89, 56.5], "The distances are in cells, of 16 pixels each."),
        ),
        (
            "Find the cell's centre first, in cells: x from the column, y from the row.",
            "The centre is (5.5, 3.5). Left and top are subtracted, right and bottom added.",
            "x1 = (5.5 − 2) · 16.",
        ),
        tolerance=1e-6,
    ),
)
