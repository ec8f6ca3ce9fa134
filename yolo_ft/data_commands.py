"""What each action of `yolo-ft data` does. Imports stay inside the functions: an action pays only for what it uses."""

from __future__ import annotations


def check(data: str) -> int:
    """Print what is wrong with every split of a data set; exit code 1 when something is."""
    from yolo_ft.data.dataset import load_splits

    reports = [dataset.health for dataset in load_splits(data).values()]
    print(*reports, sep="\n")
    return int(any(report.issues for report in reports))


def show_catalog() -> int:
    """Print the sets that can be downloaded by name, and which of them are here."""
    from yolo_ft.data.catalog import sets_folder, table
    from yolo_ft.data.public_sets import SETS

    print(f"{'name':18}{'here':6}{'images':>7}{'classes':>9}{'MB':>7}  licence")
    for row in table().itertuples(index=False):
        print(f"{row.name:18}{row.here:6}{row.images:7,}{row.classes:9}{row.MB:7,}  {row.licence}")
    print()
    for entry in SETS.values():
        print(f"{entry.name:18}{entry.about}\n{'':18}{entry.pages[0]}")
    print(f"\n`yolo-ft data get NAME` puts a set into {sets_folder()}; data='cells' needs no download.")
    return 0


def get(name: str, to: str | None) -> int:
    """Download a set of the catalogue, unless it is there already, and print its folder."""
    from yolo_ft.data import catalog

    folder = catalog.get(name, to)
    print(f"{folder}\nUse it with: --data {name if to is None else folder}")
    return 0
