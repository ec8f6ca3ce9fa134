"""Settings: unknown names and wrong types are sentences that name the mend."""

import pytest

from yolo_ft.core.config import TrainConfig
from yolo_ft.core.errors import UserError


def test_defaults_round_trip():
    config = TrainConfig()
    assert TrainConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"epoch": 3}, "did you mean 'epochs'"),
        ({"learning_rate_of_the_moon": 1}, "no setting"),
        ({"epochs": 2.5}, "epochs=2.5 has the wrong type: give an int"),
        ({"epochs": True}, "wrong type"),
        ({"lr0": "0.1"}, "give a float"),
        ({"lr0": float("nan")}, "wrong type"),
        ({"cos_lr": 1}, "give a bool"),
        ({"mosaic": 1.5}, "from 0 to 1"),
        ({"batch": 0}, "out of range"),
        ({"precision": "int8"}, "auto, fp32, bf16, fp16"),
    ],
)
def test_mistakes(values, sentence):
    with pytest.raises(UserError, match=sentence):
        TrainConfig.from_dict(values)


def test_whole_floats_and_ints_are_taken_as_meant():
    config = TrainConfig.from_dict({"epochs": 3.0, "lr0": 1})
    assert config.epochs == 3 and isinstance(config.epochs, int)
    assert config.lr0 == 1.0 and isinstance(config.lr0, float)


def test_a_user_error_shows_its_sentence_alone_in_a_notebook():
    assert UserError("Do this.")._render_traceback_() == ["UserError: Do this."]
