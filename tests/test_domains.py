"""Other laboratories for the drawn cells: how they are named, and that they change what they say and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from yolo_ft.core.errors import UserError
from yolo_ft.data.drawn.camera import defocus
from yolo_ft.data.drawn.cells import draw_cells
from yolo_ft.data.drawn.domains import CELLS_DOMAINS, RANGES, USUAL, CellsDomain, parse_domain

INDICES = range(6)


def drawn(**controls) -> list:
    return [draw_cells(index, domain=CellsDomain(**controls)) for index in INDICES]


@pytest.fixture(scope="module")
def usual() -> list:
    return drawn()


def same_targets(some, others) -> bool:
    pairs = zip(some, others, strict=True)
    return all(np.array_equal(a.boxes, b.boxes) and np.array_equal(a.labels, b.labels) for (_, a), (_, b) in pairs)


def colours(pictures) -> np.ndarray:
    """Mean red, green and blue."""
    return np.mean([image.mean((0, 1)) for image, _ in pictures], 0)


def sharpness(pictures) -> float:
    """Mean difference between neighbours two pixels apart, less of it noise than at one pixel."""
    return np.mean([np.abs(np.diff(image[::2, ::2].astype(int), axis=0)).mean() for image, _ in pictures])


def test_no_text_is_the_usual_domain_and_the_usual_domain_no_text():
    assert parse_domain("") == parse_domain(" ") == USUAL == CellsDomain() and str(USUAL) == ""


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("field-lab", CELLS_DOMAINS["field-lab"]),
        ("field-lab,focus=1,camera=0", CellsDomain(stain=-0.5)),
        (" stain = 0.8 , density=2 ", CellsDomain(stain=0.8, density=2)),
        ("focus=0.5,focus=1e-1", CellsDomain(focus=0.1)),
    ],
)
def test_text_and_domain_mean_the_same(text, domain):
    assert parse_domain(text) == domain == parse_domain(str(domain))


def test_every_domain_survives_its_text():
    for domain in (*CELLS_DOMAINS.values(), CellsDomain(stain=0.1 + 0.2, magnification=np.float32(1.1))):
        assert parse_domain(str(domain)) == domain
    assert all(type(getattr(CellsDomain(focus=1, density=np.float32(2)), name)) is float for name in RANGES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("feild-lab", "no domain 'feild-lab'; did you mean 'field-lab'?"),
        ("qqq", "no domain 'qqq'; there are blue-stain, field-lab"),
        ("fokus=1", "no control 'fokus'; did you mean 'focus'?"),
        ("zz=1", "no control 'zz'; there are stain, focus"),
        ("focus=soft", "focus=soft is no number from 0 to 1"),
        ("focus=", "focus= is no number"),
        ("stain=nan", "stain=nan is no number from -1 to 1"),
        ("density=0", "density=0 is no number from 0.2 to 2.5"),
        ("stain=1,field-lab", "'field-lab' is no control=number; a domain's name comes first"),
        ("field-lab,", "'' is no control=number"),
    ],
)
def test_a_wrong_word_is_told_with_the_mend(text, message):
    with pytest.raises(UserError) as told:
        parse_domain(text)
    assert message in str(told.value)


@pytest.mark.parametrize("name", RANGES)
def test_the_ends_of_every_range_can_be_drawn_and_what_lies_beyond_is_refused(name):
    for end, beyond in zip(RANGES[name], (-0.01, 0.01), strict=True):
        image, target = draw_cells(3, height=96, width=128, domain=CellsDomain(**{name: end}))
        assert image.std() > 1 and (target.boxes <= [128, 96, 128, 96]).all()
        with pytest.raises(UserError, match=f"{name}="):
            CellsDomain(**{name: end + beyond})
    with pytest.raises(UserError, match=f"{name}=None is no number"):
        CellsDomain(**{name: None})


@pytest.mark.parametrize("controls", [{"stain": 1}, {"stain": -1}, {"focus": 0}, {"camera": 1}])
def test_stain_focus_and_camera_leave_every_cell_where_it_is(usual, controls):
    other = drawn(**controls)
    assert same_targets(usual, other)
    assert all((a != b).mean() > 0.02 for (a, _), (b, _) in zip(usual, other, strict=True))


def test_stain_goes_from_orange_to_blue(usual):
    acid, middle, alkaline = (
        red - blue for red, _, blue in (colours(drawn(stain=-1)), colours(usual), colours(drawn(stain=1)))
    )
    assert acid > middle + 3 and middle > alkaline + 3


def test_focus_and_camera_do_what_they_say(usual):
    assert sharpness(drawn(focus=0)) < sharpness(drawn(focus=0.5)) < sharpness(usual)
    phone, microscope = drawn(camera=1), usual
    (red, _, blue), (red0, _, blue0) = colours(phone), colours(microscope)
    assert red - blue > red0 - blue0 + 20
    corners = [
        np.mean([image[:20, :20].mean() / image[100:140, 140:180].mean() for image, _ in s]) for s in (phone, usual)
    ]
    assert corners[0] < corners[1] - 0.1


def test_fewer_cells_are_some_of_the_usual_ones(usual):
    thin, kept = drawn(density=0.4), []
    for (_, few), (_, many) in zip(thin, usual, strict=True):
        places = {tuple(box) for box in many.boxes.tolist()}
        kept += [tuple(box) in places for box in few.boxes[few.labels == 0].tolist()]
        assert np.array_equal(few.boxes[few.labels == 1], many.boxes[many.labels == 1])
    assert np.mean(kept) > 0.65  # the others were hidden by cells that are left out now
    numbers = [sum((target.labels == 0).sum() for _, target in pictures) for pictures in (thin, usual)]
    assert 0.25 < numbers[0] / numbers[1] < 0.65


def test_more_cells_are_added_to_the_usual_ones(usual):
    thick = drawn(density=2.5)
    for (_, many), (_, few) in zip(thick, usual, strict=True):
        assert np.array_equal(many.boxes[many.labels == 1], few.boxes[few.labels == 1])
    more = drawn(density=1.3)
    few, some, many = (sum((target.labels == 0).sum() for _, target in p) for p in (usual, more, thick))
    assert 1.1 * few < some < 1.5 * few and many > 1.3 * some


def test_a_higher_magnification_enlarges_around_the_middle(usual):
    near = drawn(magnification=1.5)
    found = 0
    for (_, large), (_, small) in zip(near, usual, strict=True):
        expected = (small.boxes - [160, 120, 160, 120]) * 1.5 + [160, 120, 160, 120]
        expected = np.clip(expected, 0, [320, 240, 320, 240])
        for box in large.boxes:
            found += np.abs(expected - box).max(1).min() <= 2 if len(expected) else 0
    total = sum(len(target) for _, target in near)
    assert total > 10 and found >= 0.85 * total  # cells at the border of the usual picture had no box there


def test_a_lower_magnification_shows_more_of_the_smear(usual):
    far = drawn(magnification=0.6)
    numbers = [sum(len(target) for _, target in pictures) for pictures in (far, usual)]
    assert 1.8 < numbers[0] / numbers[1] < 4  # the area is 2.8 times as large
    for (_, many), (_, few) in zip(far, usual, strict=True):
        white = few.boxes[few.labels == 1]
        inside = white[(white[:, :2] > 0).all(1) & (white[:, 2:] < [320, 240]).all(1)]
        for box in (inside - [160, 120, 160, 120]) * 0.6 + [160, 120, 160, 120]:
            assert np.abs(many.boxes[many.labels == 1] - box).max(1).min() <= 2
    outer = np.concatenate([target.boxes for _, target in far])
    assert ((outer[:, 0] < 40) | (outer[:, 2] > 280)).mean() > 0.2  # cells also where the usual picture has ended


def test_defocus_of_nothing_is_nothing_and_levels_stay():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 4081, (30, 40)).astype(np.int16)
    assert (defocus(image, 0) == image).all()
    flat = np.full((20, 30), 4080, np.int16)
    assert all((defocus(flat, amount / 20) == 4080).all() for amount in range(21))
    spread = [defocus(image, amount / 8).astype(float).std() for amount in range(9)]
    assert all(a > b for a, b in zip(spread, spread[1:], strict=False))
    step = np.where(np.arange(40) < 20, 0, 4080).astype(np.int16)[None].repeat(12, 0)
    assert all((np.diff(defocus(step, amount / 40).astype(int), axis=1) >= 0).all() for amount in range(41))
