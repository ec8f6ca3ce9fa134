"""Drawn sets by name: what is known, what is refused, and that other processors draw the same bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from yolo_ft.core.errors import UserError
from yolo_ft.core.targets import Target
from yolo_ft.data.dataset import load_dataset, load_splits
from yolo_ft.data.drawn.cells import draw_cells
from yolo_ft.data.drawn.defects import draw_defects
from yolo_ft.data.drawn.domains import CELLS_DOMAINS, parse_domain
from yolo_ft.data.drawn.sets import DrawnSet, drawn_set, fingerprint

SLOW_PROCESSOR = """
import sys
from yolo_ft.data.drawn.defects import draw_defects
from yolo_ft.data.drawn.domains import parse_domain
from yolo_ft.data.drawn.sets import fingerprint
from yolo_ft.data.drawn.cells import draw_cells
pictures = [draw_defects(i) for i in range(6)] + [draw_cells(i, domain=parse_domain("field-lab")) for i in range(3)]
print(fingerprint(*zip(*pictures)))
"""
SHA256 = {  # of images 0, 3 and 11 with seed 7, 97 x 211 pixels
    "": "18d781ef66726b29563acecab6f130d3d68b7c6a37a345144ce194576791f64f",
    "blue-stain": "2618a838da3a10dcb58e7dda12f2e52b5bb1c95380ec790629ae01f5089524ff",
    "field-lab": "d638a1adbcc3ca15f3b59f7ba8c7c5fd61b4c4e131db0a3c56b546918ba254a6",
    "thick-smear": "2a7584d55d4bda89dc3688138f5beb880a7f030c8dbdc13f322ca3030d6509e0",
    "low-power": "f6f39e4ab825b98a52b345283b3022302b0ddc495497b16e33365329ac2df590",
    "magnification=1.6,density=0.3": "ac93ca7948a94c51ea99e6310fa6d6962c69afceb082b35025a2dc7cf9e12d95",
    "magnification=0.6,density=2.5,focus=0": "501b355c073f8912485ace1fc295ce97d4cd7a3d794ed69588cc7b835146deac",
}
VECTORS = "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR X86_V3 X86_V4 ASIMDDP SVE"


@pytest.mark.parametrize("name", ["", "cell", "cells/", "./cells", "a/cells", "coco8", "data.yaml", "defects2"])
def test_other_names_are_no_drawn_sets(name):
    assert drawn_set(name) is None


def test_a_set_is_one_object_however_it_is_written():
    assert drawn_set("cells") is drawn_set("cells.yaml") is drawn_set(Path("cells")) is drawn_set("cells:stain=0")
    assert drawn_set("cells:") is drawn_set("cells") is not drawn_set("cells:field-lab")
    assert drawn_set("cells:field-lab") is drawn_set("cells: camera=.9, stain=-0.5 ,focus=0.5")
    assert drawn_set("cells:field-lab").name == "cells:field-lab"
    assert drawn_set("cells:focus=0.50").name == "cells:focus=0.5"
    assert drawn_set("defects") is drawn_set("defects.yaml")


def test_defects_have_no_domains():
    with pytest.raises(UserError, match="'defects' has no domains: leave out ':field-lab'"):
        drawn_set("defects:field-lab")


def test_a_folder_of_the_same_name_is_mentioned(tmp_path, monkeypatch):
    (tmp_path / "defects").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match="pass its full path"):
        assert drawn_set("defects").name == "defects"
    assert drawn_set("./defects") is None and drawn_set("cells").name == "cells"


def test_an_unknown_split_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match="'dev'; use one of train, val, test"):
        drawn_set("cells").content("dev")


def test_other_bytes_are_told_and_unknown_ones_are_not():
    given = {"names": {0: "RBC"}, "splits": {"val": range(2)}, "draw": draw_cells}
    images, targets = DrawnSet("own", sha256={}, **given).content("val")
    assert DrawnSet("own", sha256={"val": fingerprint(images, targets)}, **given).content("val")[0][1].shape[2] == 3
    with pytest.warns(UserWarning, match="other bytes than the committed ones for own/val"):
        DrawnSet("own", sha256={"val": "0"}, **given).content("val")


def test_the_fingerprint_sees_pixels_boxes_and_labels():
    image, target = np.zeros((2, 2, 3), np.uint8), Target([[0, 0, 2, 1]], [1])
    expected = hashlib.sha256(bytes(12) + np.array([0, 0, 2, 1], "<f4").tobytes() + np.array([1], "<i8").tobytes())
    assert fingerprint([image], [target]) == expected.hexdigest()
    others = [
        fingerprint([image + np.uint8(1)], [target]),
        fingerprint([image], [Target([[0, 0, 1, 2]], [1])]),
        fingerprint([image], [Target([[0, 0, 2, 1]], [2])]),
    ]
    assert len({expected.hexdigest(), *others}) == 4


@pytest.mark.parametrize("name", CELLS_DOMAINS)
def test_named_domains_load_everywhere_and_have_the_committed_bytes(name):
    dataset = load_dataset(f"cells:{name}", "test")  # warns about other bytes
    assert set(drawn_set(f"cells:{name}").sha256) == {"train", "val", "test"}
    assert dataset.name == f"cells:{name}" and dataset.names == {0: "RBC", 1: "WBC", 2: "Platelets"}
    assert dataset.keys[3] == f"cells-{name}/test/00003" and len(dataset) == 60
    assert (dataset.image(4) == draw_cells(2004, domain=CELLS_DOMAINS[name])[0]).all()


@pytest.mark.parametrize("text", SHA256)
def test_domains_and_controls_have_the_committed_bytes_at_any_size(text):
    pictures = [draw_cells(i, seed=7, height=97, width=211, domain=parse_domain(text)) for i in (0, 3, 11)]
    assert fingerprint(*zip(*pictures, strict=True)) == SHA256[text]


@pytest.mark.parametrize("name", ["cells:low-power", "defects"])
def test_threads_draw_the_same_bytes(name):
    draw = drawn_set(name).draw
    with ThreadPoolExecutor(3) as pool:
        at_once = list(pool.map(draw, range(9)))
    assert fingerprint(*zip(*at_once, strict=True)) == fingerprint(*zip(*map(draw, range(9)), strict=True))


def test_defects_load_everywhere_and_have_the_committed_bytes():
    splits = load_splits("defects")
    assert [len(dataset) for dataset in splits.values()] == [240, 120, 120]
    assert splits["val"] is load_dataset("defects", "val") and splits["val"].names[2] == "crack"
    image, target = draw_defects(1007)
    assert (splits["val"].image(7) == image).all() and (splits["val"].target(7).boxes == target.boxes).all()
    assert not splits["train"].health.issues and splits["train"].health.objects > 500


def test_other_processors_and_threads_draw_the_same_bytes(repository):
    """NumPy without its vector instructions, as on an older machine, and with another number of threads."""
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": VECTORS, "OMP_NUM_THREADS": "3"}
    command = [sys.executable, "-W", "ignore", "-c", SLOW_PROCESSOR]
    done = subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=True)
    domain = CELLS_DOMAINS["field-lab"]
    pictures = [draw_defects(i) for i in range(6)] + [draw_cells(i, domain=domain) for i in range(3)]
    assert done.stdout.strip() == fingerprint(*zip(*pictures, strict=True))
