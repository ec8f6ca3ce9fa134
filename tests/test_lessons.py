"""What the notebooks say: pictures with sentences, verdicts by the rule of seeds, hints."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from matplotlib.figure import Figure

from yolo_ft.core.errors import UserError
from yolo_ft.report import lessons


def test_hint_says_three_things_and_refuses_a_fourth(capsys):
    for level in (1, 2, 3):
        lessons.hint("02.3", level)
        assert capsys.readouterr().out.startswith(f"Hint {level} of 3: ")
    with pytest.raises(UserError, match="hints 1 to 3"):
        lessons.hint("02.3", 4)


def test_an_exercise_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(UserError, match="01.1"):
        lessons.check("1.1", 3)


@pytest.mark.parametrize(
    ("differences", "expected", "word"),
    [
        ([], "higher", "not decided by this budget: 0 of the 5 seeds"),
        ([0.1, 0.2, 0.1, 0.2], "higher", "not decided by this budget: 4 of the 5 seeds"),
        ([0.1, 0.2, 0.1, 0.2, None], "higher", "not decided by this budget: 4 of the 5 seeds"),
        ([0.1, 0.2, 0.1, 0.2, float("nan")], "higher", "not decided by this budget: 4 of the 5 seeds"),
        ([0.1, 0.2, 0.1, 0.2, 0.15], "higher", "confirmed: paired mean difference +0.150"),
        ([0.1, 0.2, 0.1, 0.2, 0.15], "lower", "not confirmed: paired mean difference +0.150"),
        ({0: -0.1, 1: -0.2, 2: -0.1, 3: -0.2, 4: -0.15}, "lower", "confirmed: paired mean difference -0.150"),
        ([0.1, -0.2, 0.1, -0.2, 0.15], "higher", "not decided by this budget: paired mean difference -0.010"),
        ([0.1] * 5, "higher", "confirmed: paired mean difference +0.100"),
    ],
)
def test_verdict_follows_the_rule_of_seeds(differences, expected, word, capsys):
    lessons.verdict("F1", differences=differences, expected=expected)
    head, told = capsys.readouterr().out.split("\n", 1)
    assert head == f"F1 · {lessons.CLAIMS['F1']}"
    assert told.startswith(f"→ {word}")
    assert ("interval" in told) == (len([d for d in differences if d is not None and d == d]) >= 5)


def test_verdict_lists_single_seeds_with_their_unit(capsys):
    lessons.verdict("T1", "mAP50 after 3 epochs:", differences=[0.012, -0.004], unit="mAP50")
    told = capsys.readouterr().out.replace("\n", " ")
    assert "mAP50 after 3 epochs: 2 of the 5 seeds" in told and "+0.012, -0.004 mAP50" in told


@pytest.mark.parametrize(
    ("holds", "word"),
    [
        (True, "confirmed"),
        (np.True_, "confirmed"),
        (False, "not confirmed"),
        (None, "not decided by this budget"),
    ],
)
def test_verdict_on_exact_claims(holds, word, capsys):
    lessons.verdict("F6", "3 of 5 tensors moved.", holds=holds)
    assert capsys.readouterr().out.endswith(f"→ {word}: 3 of 5 tensors moved.\n")


def test_verdict_on_an_unknown_claim_does_not_raise(capsys):
    lessons.verdict("Z9", holds=True)
    assert "→ confirmed." in capsys.readouterr().out


def test_show_puts_out_png_alt_text_and_a_visible_sentence(monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(lessons, "display", lambda bundle, **options: shown.append((bundle, options)))
    lessons.show(Figure(), "Loss falls from 3.00 to 1.35.")
    bundle, options = shown[0]
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle["text/plain"] == options["metadata"]["image/png"]["alt"] == "Loss falls from 3.00 to 1.35."
    assert options["raw"] is True
    assert capsys.readouterr().out == "Loss falls from 3.00 to 1.35.\n"
    json.dumps(bundle)


def test_show_wraps_what_it_prints(monkeypatch, capsys):
    monkeypatch.setattr(lessons, "display", lambda *_, **__: None)
    lessons.show(Figure(), "word " * 60)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= lessons.LINE
