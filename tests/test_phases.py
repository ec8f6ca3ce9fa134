"""Progressive unfreezing as data."""

from __future__ import annotations

import pytest

from yolo_ft.core.errors import UserError
from yolo_ft.finetune.phases import Phase, is_phases, parse_phases, phase_index, phases_text, total_epochs

FORMS = [
    ([(5, "backbone"), (20, None)], [(5, "backbone", 1.0), (20, "none", 1.0)], "5:backbone,20:none"),
    ([[5, "backbone", 1.0], [20, None, 0.1]], [(5, "backbone", 1.0), (20, "none", 0.1)], "5:backbone,20:none@0.1"),
    ("5:backbone,20:none@0.1", [(5, "backbone", 1.0), (20, "none", 0.1)], "5:backbone,20:none@0.1"),
    (" 5 : backbone , 20 : none @ 1e-1 ", [(5, "backbone", 1.0), (20, "none", 0.1)], "5:backbone,20:none@0.1"),
    ("5:0-9,13,20:10", [(5, "0-9,13", 1.0), (20, "10", 1.0)], "5:0-9,13,20:10"),
    (["5:backbone", "20:none"], [(5, "backbone", 1.0), (20, "none", 1.0)], "5:backbone,20:none"),
    ([(1, [10]), (1, 10), (1, [0, 1])], [(1, "[10]", 1.0), (1, "10", 1.0), (1, "0,1", 1.0)], "1:[10],1:10,1:0,1"),
    (Phase(3, 24), [(3, "24", 1.0)], "3:24"),
]


@pytest.mark.parametrize(("spec", "expected", "text"), FORMS, ids=lambda value: repr(value)[:24])
def test_every_form_of_phases(spec, expected, text):
    assert is_phases(spec)
    phases = parse_phases(spec)
    assert [(p.epochs, p.spec, p.rate) for p in phases] == expected
    assert phases_text(phases) == text
    assert parse_phases(text) == phases


@pytest.mark.parametrize("spec", [None, 10, "10", "backbone", [0, 1, 5], [5, "backbone"], "0-9,13", [], "*.bn.*"])
def test_one_selection_is_no_schedule(spec):
    assert not is_phases(spec)


@pytest.mark.parametrize(
    "spec",
    [
        [],
        None,
        10,
        "backbone",
        "0:backbone",
        "5:",
        "5:backbone@",
        "5:backbone@fast",
        "5:backbone@0",
        "5:backbone@-1",
        "5:backbone@nan",
        "5:backbone@inf",
        [(0, None)],
        [(-1, None)],
        [(2.5, None)],
        [(True, None)],
        [(5,)],
        [(5, "backbone", 1.0, 2)],
        [(5, "backbone", "1")],
        [(5, "backbone"), 20],
        [(5, 1.5)],
        [(5, True)],
    ],
)
def test_mistakes_in_phases(spec):
    with pytest.raises(UserError):
        parse_phases(spec)


def test_total_and_index_of_epochs():
    phases = parse_phases("2:backbone,1:5,3:none")
    assert total_epochs(phases) == 6
    assert [phase_index(phases, epoch) for epoch in range(6)] == [0, 0, 1, 2, 2, 2]
    for outside in (-1, 6):
        with pytest.raises(UserError, match="6 epochs"):
            phase_index(phases, outside)
