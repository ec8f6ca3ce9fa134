"""The exercises of lesson 09: boxes that follow pixels, boxes that grow, objects that are pasted."""

from __future__ import annotations

from yolo_ft.report.answers import Exercise

ROWS = (
    Exercise(
        "09.1",
        1,
        3,
        "An image is 320 pixels wide. A box reaches from x = 40 to x = 100. The image is flipped left to right. From "
        "where to where does the box reach now? Answer with a list of two numbers.",
        [220, 280],
        "x becomes 320 − x, and the edge that was right is left now.",
        (
            ([280, 220], "The numbers are right, but the left edge has the smaller x: the edges change places."),
            ([40, 100], "That is where it was: the pixels moved and the box did not."),
            ([219, 279], "Boxes count in edges, not in pixel numbers: x becomes 320 − x, not 319 − x."),
        ),
        (
            "Which point of the image stays where it is? How far is each edge from it?",
            "A point at x goes to 320 − x. Do this to both edges.",
            "320 − 40 = 280 and 320 − 100 = 220. Which of them is the left edge?",
        ),
    ),
    Exercise(
        "09.2",
        2,
        5,
        "A round cell has a box of 20 × 20 pixels. The image is turned by 22°, and the box is made from its four "
        "turned corners. How many times the area of the tight box around the turned cell does it cover?",
        1.695,
        "Each side grows by cos 22° + sin 22° = 1.302, and the cell is as round as before.",
        (
            (1.302, "That is by how much its side grows; the area grows by the square of it."),
            (1.0, "That would be a tight box. The corners of the old one were outside of the cell and turned with it."),
            (2.0, "That is the factor at 45°."),
        ),
        (
            "Does a disc look different after a turn? Does a square?",
            "The side of the new box is 20 · cos 22° + 20 · sin 22°.",
            "That is 26.0 pixels; the cell is still 20 pixels wide.",
        ),
        tolerance=0.01,
    ),
    Exercise(
        "09.3",
        3,
        6,
        "A set holds 100 objects of class A, 25 of class B and 20 of class C. 100 objects are pasted, each class with "
        "a probability inversely proportional to its count. How many objects of class B are expected then, in all?",
        65,
        "1/100 : 1/25 : 1/20 is 10 % : 40 % : 50 %, so 40 are added to 25.",
        (
            (40, "So many are pasted; 25 were there already."),
            (58.3, "That pastes all classes equally often. The rarer a class, the more often it is chosen."),
            (42.2, "That pastes in proportion to the counts, which leaves the imbalance as it was."),
        ),
        (
            "Write down 1 over each count and add the three numbers.",
            "The sum is 0.01 + 0.04 + 0.05 = 0.1. Which share of it is class B's?",
            "0.04 / 0.1 of 100 pasted objects, and those that were there before.",
        ),
        tolerance=0.5,
    ),
)
