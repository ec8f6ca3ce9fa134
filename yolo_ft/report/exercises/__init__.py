"""The exercises as data: right answer, named misconceptions, three hints each; a file for lessons that belong together.

`lessons.check` and `lessons.hint` speak from these rows; the notebooks print each question word for word (tested).
"""

from __future__ import annotations

from yolo_ft.report.exercises import augmentation, basics, yolo26, your_data

EXERCISES = {row.id: row for row in (*basics.ROWS, *your_data.ROWS, *augmentation.ROWS, *yolo26.ROWS)}
