"""Record the statistics of the photographs that the packaged checkpoint saw: numbers only, no image.

    python tests/benchmarks/source_statistics.py --data path/to/coco/data.yaml

The data is the YOLO folder that `pretrain.py` trained on; its training split is measured. The result is
`yolo_ft/data/statistics/source.json`, which `compare_with_source` compares with. Lesson 06.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yolo_ft.data.files import write_json_atomic
from yolo_ft.data.statistics.source import FILE, Source
from yolo_ft.data.statistics.stats import statistics

NAME = "COCO val2017 (packaged source)"
COMMAND = "python tests/benchmarks/source_statistics.py --data path/to/coco/data.yaml"


def rounded(value: Any) -> Any:
    """`value` with six digits behind the point, so that another machine writes the same file."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(float(value), 6) if isinstance(value, float) else value


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="data.yaml of the photographs, or its folder")
    parser.add_argument("--name", default=NAME, help="how the source is called in reports")
    parser.add_argument("--out", type=Path, default=FILE, help="default: the file in the package")
    options = parser.parse_args(arguments)
    source = Source.of(statistics(options.data).select("train"))
    content = {"command": COMMAND, **source.to_dict()}
    content["profile"]["name"] = options.name
    write_json_atomic(options.out, rounded(content))
    print(f"{source.profile.images} images and {source.profile.objects} objects in {options.out}")


if __name__ == "__main__":
    main()
