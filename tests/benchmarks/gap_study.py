"""Record how far data sets lie from the source of the packaged weights: numbers only, no image.

    python tests/benchmarks/gap_study.py --data path/to/bccd path/to/mask path/to/deeppcb     # a minute, no training

One row per data set and distribution, `yolo_ft/report/recorded/gap/rows.csv`: its distance from the source, the noise
below which chance explains it, and the medians. Lesson 06 (claim D1) sets beside it what freezing costs on these sets,
as `grid.py transfer` measured it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # runs from a clone, installed or not

from yolo_ft import UserError  # noqa: E402
from yolo_ft.data.files import write_json_atomic, write_text_atomic  # noqa: E402
from yolo_ft.data.statistics.distributions import LOOK  # noqa: E402
from yolo_ft.data.statistics.domain_gap import compare_with_source  # noqa: E402
from yolo_ft.data.statistics.source import packaged_source  # noqa: E402
from yolo_ft.data.statistics.stats import statistics  # noqa: E402
from yolo_ft.report.recorded import ABOUT, ROWS  # noqa: E402

OUT = ROOT / "yolo_ft" / "report" / "recorded" / "gap"
COMMAND = "python tests/benchmarks/gap_study.py --data path/to/DATA ..."


def measure(data: str) -> pd.DataFrame:
    """The gap between a data set, all its splits together, and the packaged source, one row per distribution."""
    measured = statistics(data)
    gap = compare_with_source(measured)
    table = gap.distances.drop(columns="beyond_noise").reset_index()
    table.insert(0, "data", measured.name)
    table.insert(1, "images", len(measured.images))
    table.insert(2, "of", ["look" if name in LOOK else "layout" for name in table["distribution"]])
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write; the exit code is 0 when everything is recorded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", required=True, help="data.yaml files or their folders")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the study (default: inside the package)")
    options = parser.parse_args(arguments)
    try:
        rows = pd.concat([measure(data) for data in options.data], ignore_index=True)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    write_text_atomic(options.out / ROWS, rows.round(5).to_csv(index=False, lineterminator="\n"))
    write_json_atomic(options.out / ABOUT, {"command": COMMAND, "source": packaged_source().profile.name})
    print(rows.to_string(index=False, float_format="{:.3f}".format))
    return 0


if __name__ == "__main__":
    sys.exit(main())
