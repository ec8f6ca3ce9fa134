"""What each action of `yolo-ft data` does. Imports stay inside the functions: an action pays only for what it uses."""

from __future__ import annotations


def check(data: str, imgsz: int, out: str | None, weights: str | None) -> int:
    """Print what is wrong with a data set, worst first; with `out`, also write the report with pictures there.

    Exit code 1 when a finding costs accuracy for certain (level error).
    """
    from yolo_ft.data.checks import check as check_data

    model = None
    if weights is not None:
        from yolo_ft.api import YOLO

        model = YOLO(weights)
    report = check_data(data, imgsz, model)
    if out is not None:
        from yolo_ft.report.health_pictures import write_check

        files = write_check(report, out)
    print(report)
    if out is not None:
        print("", *files, sep="\n")
    return int(report.errors > 0)


def fix(data: str, out: str) -> None:
    """Write a repaired copy of a data set, and print what was changed and what is left for a person."""
    from yolo_ft.data.repair import fix as fix_data

    print(fix_data(data, out))
