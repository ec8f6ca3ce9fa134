"""The exercises of lesson 13: YOLO26 beside YOLOv5."""

from __future__ import annotations

from yolo_ft.report.answers import Exercise

ROWS = (
    Exercise(
        "13.1",
        1,
        2,
        "Which number n makes `model.freeze(n)` freeze the whole backbone of YOLO26, and nothing else?",
        11,
        "Its backbone is layers 0–10: one layer, the attention, more than that of YOLOv5.",
        (
            (10, "That is YOLOv5's number: here it leaves layer 10, the attention, outside."),
            (23, "That freezes the neck too: everything but the head."),
        ),
        (
            "Compare where the stage changes from backbone to neck in both lists of section 1.",
            "The last layer of the backbone is layer 10, and a number n means the layers 0 to n − 1.",
            "YOLOv5's backbone ends with layer 9, and its number is 10.",
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
        ),
        (
            "Find the cell's centre first, in cells: x from the column, y from the row.",
            "The centre is (5.5, 3.5). Left and top are subtracted, right and bottom added.",
            "x1 = (5.5 − 2) · 16.",
        ),
        tolerance=1e-6,
    ),
)
