"""YOLO26's assignment, loss and gradients equal the published fixtures; its schedule of the two heads too."""

import math

import pytest
import torch
from helpers import filled, image, load_fixture, uniform

from yolo_ft.core.boxes import paired_ciou
from yolo_ft.core.config import TrainConfig
from yolo_ft.finetune.alignment import align, candidates
from yolo_ft.finetune.end_to_end_loss import CLAIMS, EndToEndLoss, many_share
from yolo_ft.models import build_model
from yolo_ft.models.yolo26 import anchor_points, decode_corners

FACTS = load_fixture("yolo26_loss")
SIZE = torch.tensor([128.0, 128.0])
GAINS = torch.tensor([7.5, 0.5, 1.5])


def targets(name):
    return torch.tensor(FACTS["targets"][name], dtype=torch.float32).reshape(-1, 6)


def maps_of(boxes, scores):
    """(b, 4, 336) and (b, 80, 336) -> the three levels' raw maps."""
    levels = torch.cat([boxes, scores], 1).split([256, 64, 16], 2)
    return [x.reshape(len(x), -1, side, side) for x, side in zip(levels, (16, 8, 4), strict=True)]


def head_inputs(first):
    """The fixture's boxes and scores of one head, as leaves."""
    boxes = 2 + 1.5 * (2 * uniform((2, 4, 336), first) - 1)
    scores = 3 * (2 * uniform((2, 80, 336), first + 1) - 1) - 2
    return boxes.requires_grad_(), scores.requires_grad_()


@pytest.mark.parametrize("head", ["one2many", "one2one"])
@pytest.mark.parametrize("name", FACTS["cases"])
def test_assignment_loss_and_gradients_of_a_head(name, head):
    expected, once = FACTS["cases"][name][head], head == "one2one"
    boxes, scores = head_inputs(7003 if once else 7001)
    maps, rows = maps_of(boxes, scores), targets(name)
    loss = EndToEndLoss(TrainConfig(), 0.8)
    vector = loss.head(maps, rows, loss.pairs(maps, rows), once)
    assert (2 * vector).tolist() == pytest.approx(expected["vector"], rel=1e-5)
    assert vector.tolist() == pytest.approx([expected["items"][f"{k}_loss"] for k in ("box", "cls", "l1")], rel=1e-5)

    (2 * vector).sum().backward()
    assert boxes.grad.double().abs().sum().item() == pytest.approx(expected["grad_abs_sum"]["boxes"], rel=1e-4)
    assert scores.grad.double().abs().sum().item() == pytest.approx(expected["grad_abs_sum"]["scores"], rel=1e-4)

    corners, logits = decode_corners(maps)
    points, strides = anchor_points(maps)
    claims = CLAIMS["once" if once else "many"]
    found = align(logits.sigmoid(), corners, candidates(points * strides, rows, SIZE), rows, SIZE, claims, once)
    order = found.places.argsort()
    first = [int((rows[:, 0] < i).sum()) for i in range(2)]  # the fixture counts objects within their image
    ours = [
        [place // 336, place % 336, row - first[place // 336]]
        for place, row in zip(found.places[order].tolist(), found.objects[order].tolist(), strict=True)
    ]
    assert ours == expected["fg"] and len(ours) == expected["n_fg"]
    assert found.scores[order].tolist() == pytest.approx(expected["target_score_at_fg"], rel=1e-3, abs=1e-9)
    assert found.scores.sum().item() == pytest.approx(expected["target_scores_sum"], rel=1e-5)


@pytest.mark.parametrize("name", FACTS["cases"])
def test_both_heads_together(name):
    expected = FACTS["cases"][name]
    raw = maps_of(*head_inputs(7001)) + maps_of(*head_inputs(7003))
    total, parts = EndToEndLoss(TrainConfig(), 0.8)(raw, targets(name))
    assert total.item() == pytest.approx(sum(expected["e2e_total_vector_o2m0.8_o2o0.2"]), rel=1e-5)
    items = [expected["e2e_items"][f"{part}_loss"] for part in ("box", "cls", "l1")]
    assert list(parts) == ["box", "cls", "l1"] and [x.item() for x in parts.values()] == pytest.approx(items, rel=1e-5)


@pytest.mark.parametrize("epochs", FACTS["o2m_schedule"])
def test_the_heads_change_places(epochs):
    table = FACTS["o2m_schedule"][epochs]
    for epoch, (many, once) in table.items() if isinstance(table, dict) else enumerate(table):
        share = many_share(int(epoch), int(epochs))
        assert [share, 1 - share] == pytest.approx([many, once], abs=1e-7)
        loss = EndToEndLoss.for_epoch(None, TrainConfig(epochs=int(epochs)), int(epoch))
        assert loss.share == pytest.approx(many, abs=1e-7)


def test_gains_are_settings_of_their_own():
    assert EndToEndLoss(TrainConfig(), 0.8).gains == (7.5, 0.5, 1.5)
    assert EndToEndLoss(TrainConfig(box=10.0, dfl=0.5), 0.8).gains == (10.0, 0.5, 0.5)
    assert EndToEndLoss(TrainConfig(box=10.0), 0.8).gains == (10.0, 0.5, 1.5)


def test_an_object_without_an_area_spoils_nothing():
    raw = [m.detach().requires_grad_() for m in maps_of(*head_inputs(7001)) + maps_of(*head_inputs(7003))]
    total = EndToEndLoss(TrainConfig(), 0.8)(raw, torch.tensor([[0, 0, 0.5, 0.5, 0, 0.0]]))[0]
    total.backward()
    assert total.isfinite() and all(m.grad.isfinite().all() for m in raw)


def test_loss_of_eval_maps():
    facts = FACTS["model_eval_b2_128_simple"]
    model = filled(build_model("yolo26n"), "yolo26n").eval()
    with torch.no_grad():
        total, parts = EndToEndLoss.for_epoch(model, TrainConfig(epochs=3), 0)(
            model(image(2, 128, 128)), targets("simple")
        )
    assert total.item() == pytest.approx(sum(facts["total_vector"]), rel=1e-4)
    items = [facts["items"][f"{part}_loss"] for part in ("box", "cls", "l1")]
    assert [x.item() for x in parts.values()] == pytest.approx(items, rel=1e-4)


def one_cell_answers(objects, probabilities=None, boxes=None, claims=10, once=False):
    """Answers on a 64 x 32 px image with an 8 x 4 grid of cells of 8 px whose boxes are 16 px around them."""
    maps = [torch.zeros(1, 6, 4, 8), torch.zeros(1, 6, 2, 4), torch.zeros(1, 6, 1, 2)]
    points, strides = anchor_points(maps)
    points = (points * strides)[:32]
    boxes = torch.cat([points - 8, points + 8], 1) if boxes is None else boxes
    probabilities = torch.full((32, 2), 0.5) if probabilities is None else probabilities
    size = torch.tensor([64.0, 32.0])
    rows = torch.tensor([[0, c, x / 64, y / 32, w / 64, h / 32] for c, x, y, w, h in objects]).reshape(-1, 6)
    return align(probabilities[None], boxes[None], candidates(points, rows, size), rows, size, claims, once)


def test_nothing_to_find():
    assert len(one_cell_answers([]).places) == 0


def test_a_tiny_object_is_seen_from_the_places_around_it():
    exact = torch.tensor([23.0, 15.5, 25.0, 16.5]).repeat(32, 1)  # what every place predicts
    found = one_cell_answers([(0, 24, 16, 2, 1)], boxes=exact)  # on a corner of four cells, inside no cell's centre
    assert found.places.tolist() == [10, 11, 18, 19]
    wide = torch.tensor([4.0, 15.5, 44.0, 16.5]).repeat(32, 1)
    found = one_cell_answers([(0, 24, 16, 40, 1)], boxes=wide, claims=32)  # its height alone counts as 16 px
    assert found.places.tolist() == [9, 10, 11, 12, 17, 18, 19, 20]  # 4 and 44 px lie on the border: outside


def test_the_best_place_should_score_its_overlap():
    found = one_cell_answers([(0, 20, 12, 16, 16)])  # place 10 has exactly this box
    scores = dict(zip(found.places.tolist(), found.scores.tolist(), strict=True))
    assert scores[10] == pytest.approx(1, abs=1e-6) and max(scores.values()) == scores[10]


def test_a_contested_place_goes_to_the_larger_overlap_and_equal_ones_to_the_first():
    twins = one_cell_answers([(0, 20, 12, 16, 16), (1, 20, 12, 16, 16)])
    assert set(twins.objects.tolist()) == {0} and len(twins.places.unique()) == len(twins.places)
    apart = one_cell_answers([(0, 20, 12, 20, 20), (1, 28, 12, 16, 16)])
    owner = dict(zip(apart.places.tolist(), apart.objects.tolist(), strict=True))
    assert owner[11] == 1 and owner[10] == 0


def test_once_means_one_place_per_object():
    found = one_cell_answers([(0, 20, 12, 16, 16), (1, 44, 20, 16, 16)], claims=7, once=True)
    assert sorted(zip(found.objects.tolist(), found.places.tolist(), strict=True)) == [(0, 10), (1, 21)]


def test_only_the_right_class_counts():
    probabilities = torch.zeros(32, 2)
    probabilities[:, 1] = 0.9
    probabilities[11, 0] = 0.01  # the only place that believes in class 0 at all
    found = one_cell_answers([(0, 24, 12, 24, 24)], probabilities, claims=1)
    assert found.places.tolist() == [11]


def by_loops(probabilities, boxes, points, targets, size, claims, once):
    """{(place, object): score} of the rule written down object by object, for predictions without equal alignments."""
    b, n, _ = probabilities.shape
    overlap, alignment = torch.zeros(len(targets), n), torch.zeros(len(targets), n)
    for i, (of, label, *box) in enumerate(targets.tolist()):
        cx, cy, w, h = (torch.tensor(box) * size.repeat(2)).tolist()
        for j, (x, y) in enumerate(points.tolist()):
            if abs(x - cx) < max(w, 16) / 2 and abs(y - cy) < max(h, 16) / 2:
                corners = boxes[int(of), j]
                predicted = torch.cat([(corners[:2] + corners[2:]) / 2, corners[2:] - corners[:2]])[None]
                overlap[i, j] = paired_ciou(predicted, torch.tensor([[cx, cy, w, h]])).clamp(min=0)
                alignment[i, j] = probabilities[int(of), j, int(label)] ** 0.5 * overlap[i, j] ** 6
    answers = {}
    for i in range(len(targets)):
        best = alignment[i].topk(claims)
        answers[i] = set(best.indices[best.values > 0].tolist())
    for of in range(b):
        ours = [i for i in answers if targets[i, 0] == of]
        for j in range(n):
            if sum(j in answers[i] for i in ours) > 1:
                best = max(ours, key=lambda i, j=j: overlap[i, j])
                for i in ours:
                    answers[i].discard(j)
                answers[best].add(j)
    result = {}
    for i, places in answers.items():
        if once and places:
            places = {max(places, key=lambda j, i=i: alignment[i, j])}
        if places:
            peak = max(overlap[i, j] for j in places) / (max(alignment[i, j] for j in places) + 1e-9)
            result |= {(int(targets[i, 0]) * n + j, i): float(alignment[i, j] * peak) for j in places}
    return result


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_crowded_images_are_matched_as_by_loops(seed, once):
    generator = torch.Generator().manual_seed(seed)
    maps = [torch.zeros(2, 7, 64 // s, 96 // s) for s in (8, 16, 32)]
    points, strides = anchor_points(maps)
    points, size = points * strides, torch.tensor([96.0, 64.0])
    centres = 0.3 + 0.4 * torch.rand(14, 2, generator=generator)  # close together: they compete for places
    sides = 0.05 + 0.5 * torch.rand(14, 2, generator=generator)
    rows = torch.cat([torch.arange(14)[:, None] % 2, torch.arange(14)[:, None] % 3, centres, sides], 1).float()
    probabilities = torch.rand(2, len(points), 3, generator=generator)
    reach = strides * (0.5 + 2 * torch.rand(2, len(points), 4, generator=generator))
    boxes = torch.cat([points - reach[..., :2], points + reach[..., 2:]], 2)
    found = align(probabilities, boxes, candidates(points, rows, size), rows, size, 5, once)
    expected = by_loops(probabilities, boxes, points, rows, size, 5, once)
    pairs = zip(found.places.tolist(), found.objects.tolist(), strict=True)
    ours = {pair: score for pair, score in zip(pairs, found.scores.tolist(), strict=True) if score > 1e-12}
    assert ours == pytest.approx({pair: score for pair, score in expected.items() if score > 1e-12}, rel=1e-3)
    assert len(ours) > 10


def test_terms_by_hand_on_an_oblong_image():
    """64 x 32 px, one object that fills a cell of the finest level; every side is predicted a quarter cell too far."""
    maps = [torch.full((1, 6, 4 // s, 8 // s), -20.0) for s in (1, 2, 4)]
    for x in maps:
        x[:, :4] = -9.0  # boxes inside out: they overlap with nothing
    maps[0][0, :4, 1, 2] = 0.75
    maps[0][0, 4, 1, 2] = 0.0  # a probability of one half
    rows = torch.tensor([[0, 0, 20 / 64, 12 / 32, 8 / 64, 8 / 32]])
    loss = EndToEndLoss(TrainConfig(box=1.0, cls=1.0, dfl=0.2), 0.5)
    box, cls, l1 = loss.head(maps, rows, loss.pairs(maps, rows), once=True).tolist()
    overlap = 8**2 / 12**2  # same centre and shape, so that CIoU is IoU
    assert box == pytest.approx((1 - overlap) * overlap, rel=1e-4)  # weighted by what the place should score
    assert l1 == pytest.approx(0.2 * overlap * (2 / 64 + 2 / 32 + 2 / 64 + 2 / 32) / 4, rel=1e-4)
    assert cls == pytest.approx(math.log(2), rel=1e-3)  # any target costs ln 2 at one half
