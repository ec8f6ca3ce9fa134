"""Geometry against hand-computed numbers and the published fixtures; the empty case first."""

import numpy as np
import pytest
import torch
from helpers import hash_uniform, load_fixture
from torchvision.ops import batched_nms

from yolo_ft.core.boxes import Letterbox, box_iou, cxcywh_to_xyxy, letterbox, nms, paired_ciou, xyxy_to_cxcywh

MISC = load_fixture("yolov5_misc")


@pytest.mark.parametrize(
    ("centre", "corner"),
    [
        ([], []),
        ([[5, 6, 4, 2]], [[3, 5, 7, 7]]),
        ([[0, 0, 1, 3], [10, 20, 6, 8]], [[-0.5, -1.5, 0.5, 1.5], [7, 16, 13, 24]]),
    ],
)
@pytest.mark.parametrize("kind", [np.float32, torch.float32])
def test_formats(centre, corner, kind):
    make = (
        (lambda v: torch.tensor(v).float().reshape(-1, 4))
        if kind is torch.float32
        else (lambda v: np.array(v, kind).reshape(-1, 4))
    )
    assert cxcywh_to_xyxy(make(centre)).tolist() == make(corner).tolist()
    assert xyxy_to_cxcywh(make(corner)).tolist() == make(centre).tolist()


def test_iou_of_nothing_and_of_overlapping_boxes():
    assert box_iou(torch.zeros(0, 4), torch.zeros(3, 4)).shape == (0, 3)
    a = torch.tensor([[0.0, 0, 4, 2], [10, 10, 11, 14]])
    b = torch.tensor([[2.0, 0, 6, 2], [0, 0, 4, 2]])
    # overlap 2x2 = 4, union 8 + 8 - 4 = 12
    assert box_iou(a, b).flatten().tolist() == pytest.approx([4 / 12, 1, 0, 0], abs=1e-6)


def test_ciou_equals_the_fixture():
    scale, shift = np.array([40, 40, 20, 20]), np.array([0, 0, 2, 2])
    first, second = (hash_uniform(np.arange(80), k).reshape(20, 4) * scale + shift for k in (6001, 6002))
    second[:10] = 0.9 * first[:10] + 0.1 * second[:10]
    first, second = torch.from_numpy(first).float(), torch.from_numpy(second).float()
    assert paired_ciou(first, second).tolist() == pytest.approx(MISC["ciou_xywh"]["values"], abs=1e-5)
    assert paired_ciou(first, second, complete=False).tolist() == pytest.approx(MISC["ciou_xywh"]["plain"], abs=1e-5)


@pytest.mark.parametrize("case", MISC["letterbox"], ids=lambda c: f"{c['h']}x{c['w']}")
def test_letterbox_equals_the_fixture(case):
    shape = case["new_shape"] if isinstance(case["new_shape"], int) else tuple(case["new_shape"])
    box = letterbox(case["h"], case["w"], shape, case["auto"], case["scaleup"])
    assert [box.out_height, box.out_width] == case["out_shape"][:2]
    assert (box.top, box.left) == (case["top"], case["left"])
    assert box.gain == pytest.approx(case["ratio"][0])
    height, width = box.resized
    assert box.out_height - height - box.top == case["bottom"] and box.out_width - width - box.left == case["right"]


def test_letterbox_maps_boxes_there_and_back():
    box = letterbox(100, 57, 320)
    assert box == Letterbox(100, 57, 3.2, 0, 69, 320, 320)
    corners = np.array([[0, 0, 57, 100], [10, 20, 30, 25]], np.float32)
    assert box.to_network(corners)[0] == pytest.approx([69, 0, 69 + 182.4, 320])
    assert box.to_image(box.to_network(corners)) == pytest.approx(corners, abs=1e-4)
    assert box.to_image(np.array([[0, -9, 400, 400]], np.float32)).tolist() == [[0, 0, 57, 100]]


@pytest.mark.parametrize("case", MISC["nms"]["cases"].values(), ids=MISC["nms"]["cases"])
def test_nms_equals_the_fixture(case):
    a = torch.from_numpy(hash_uniform(np.arange(1080), 3001).reshape(120, 9)).float()
    prediction = torch.cat([20 + 88 * a[:, :2], 10 + 50 * a[:, 2:4], a[:, 4:]], 1)[None]
    args = case["args"]
    kept = nms(
        prediction,
        args.get("conf_thres", 0.25),
        args.get("iou_thres", 0.45),
        args.get("multi_label", False),
        args.get("max_det", 300),
        args.get("agnostic", False),
    )[0]
    assert len(kept) == case["n"]
    rows = torch.tensor(case["rows"])
    assert torch.allclose(kept[: len(rows)], rows, atol=1e-3)
    assert kept.double().sum().item() == pytest.approx(case["sum"], rel=1e-5)


@pytest.mark.parametrize("spread", [40.0, 400.0])  # crowded, so that all are needed, and loose
@pytest.mark.parametrize("agnostic", [False, True])
def test_nms_looks_at_the_best_first_and_finds_the_same(spread, agnostic):
    generator = torch.Generator().manual_seed(3)
    decoded = torch.rand(1, 1500, 8, generator=generator)
    decoded[..., :2] *= spread
    decoded[..., 2:4] = 10 + 30 * decoded[..., 2:4]
    (found,) = nms(decoded, 0.001, 0.5, multi_label=True, max_det=20, agnostic=agnostic)
    scores = decoded[0, :, 5:] * decoded[0, :, 4:5]
    rows, labels = (scores > 0.001).nonzero(as_tuple=True)
    order = scores[rows, labels].argsort(descending=True, stable=True)
    boxes = cxcywh_to_xyxy(decoded[0, rows[order], :4])
    groups = torch.zeros_like(labels) if agnostic else labels[order]
    every = batched_nms(boxes, scores[rows, labels][order], groups, 0.5)
    assert len(every) < len(order)
    assert torch.equal(found[:, :4], boxes[every[:20]])


def test_nms_of_nothing():
    assert [len(rows) for rows in nms(torch.zeros(2, 0, 8))] == [0, 0]
    assert nms(torch.zeros(1, 5, 8), multi_label=True)[0].shape == (0, 6)
