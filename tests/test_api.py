"""YOLO: what a notebook calls."""

import numpy as np
import pytest
import torch
from training_set import tiny_set, train  # noqa: F401

import yolo_ft
from yolo_ft import YOLO, UserError, api, build_model, evaluate, freeze, load_dataset
from yolo_ft.api import fit_head
from yolo_ft.core.targets import Detections
from yolo_ft.finetune import evaluation
from yolo_ft.finetune.checkpoints import save_checkpoint


def test_public_names_are_the_promised_ones():
    promised = "YOLO build_model freeze load_checkpoint transfer load_dataset fit evaluate compare DEFAULT_WEIGHTS"
    assert set(promised.split()) <= set(yolo_ft.__all__)
    assert all(getattr(yolo_ft, name) is not None for name in yolo_ft.__all__)
    with pytest.raises(AttributeError, match="no attribute"):
        _ = yolo_ft.nothing


def test_an_architecture_has_random_weights_that_the_seed_draws():
    a, b, c = (YOLO("yolov5n.yaml", seed=s).model.model[0].conv.weight for s in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c)
    assert not YOLO("yolov5n.yaml").model.pretrained


def test_an_unknown_architecture_is_a_sentence():
    with pytest.raises(UserError, match="yolov5n"):
        YOLO("yolov9.yaml")


def test_save_and_load(tmp_path):
    model = YOLO("yolov5n.yaml")
    model.save(tmp_path / "mine.pt")
    again = YOLO(tmp_path / "mine.pt")
    assert again.names == model.names and again.model.pretrained
    for key, value in model.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[key], value)


def test_packaged_checkpoints_have_names_that_official_files_never_have(tmp_path, monkeypatch):
    assert YOLO().weights == YOLO("packaged").weights == "packaged"
    assert api.packaged_weights("yolo26n.pt") is None and api.packaged_weights(str(tmp_path / "packaged")) is None
    path = tmp_path / "yolo26n.pt"
    monkeypatch.setitem(api.PACKAGED, "packaged-yolo26n", path)
    with pytest.raises(UserError, match="'packaged-yolo26n' is not part of this copy .* 'yolo26n.pt'"):
        YOLO("packaged-yolo26n")
    YOLO("yolo26n.yaml").save(path)
    assert repr(YOLO("packaged-yolo26n")) == "YOLO('packaged-yolo26n'): yolo26n, 80 classes"


def test_predict_takes_one_image_or_several_and_answers_in_their_pixels():
    model = YOLO("yolov5n.yaml")
    images = [np.full((50, 120, 3), 90, np.uint8), np.full((90, 40, 3), 200, np.uint8)]
    one, many = model.predict(images[0], imgsz=64), model.predict(images, conf=1e-5, imgsz=64)
    assert len(one) == 1 and len(many) == 2 and all(isinstance(d, Detections) for d in many)
    assert len(many[0]) and len(many[1])
    assert (many[0].boxes <= [120, 50, 120, 50]).all() and (many[1].boxes <= [40, 90, 40, 90]).all()
    assert all((d.boxes >= 0).all() and (np.diff(d.scores) <= 0).all() for d in many)
    assert model.predict([]) == []


def test_predict_leaves_out_boxes_without_an_area(monkeypatch):
    """A box in the grey border of the letterbox is cut to a line; a very narrow one is written as one, too."""
    boxes = [[3, 5, 9, 9], [0, 4, 0, 9], [3, 50, 9, 50], [3.01, 5, 3.09, 9], [3, 5, 9, 5.2]]
    answer = Detections(boxes, [0.9, 0.8, 0.7, 0.6, 0.5], [0, 1, 2, 3, 4])
    monkeypatch.setattr(evaluation, "detect", lambda *args, **settings: [answer, Detections()])
    image = np.zeros((50, 120, 3), np.uint8)
    found, nothing = YOLO("yolov5n.yaml").predict([image, image])
    assert found.labels.tolist() == [0, 4] and len(nothing) == 0
    monkeypatch.undo()
    noise = np.random.default_rng(0).integers(0, 256, (30, 200, 3), np.uint8)
    (found,) = YOLO().predict(noise, conf=0.001)
    printed = [[f"{value:.1f}" for value in box] for box in found.boxes]
    assert len(printed) > 100 and not [box for box in printed if box[0] == box[2] or box[1] == box[3]]


def test_an_image_without_pixels_is_a_sentence():
    with pytest.raises(UserError, match="An image of 0 x 0 pixels"):
        YOLO("yolov5n.yaml").predict(np.zeros((0, 0, 3), np.uint8))


def test_it_measures_and_looks_at_the_size_that_it_was_trained_at(tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(api, "evaluate", lambda *args, **how: sizes.append(args[3]))
    monkeypatch.setattr(api, "detect_images", lambda *args, **how: sizes.append(args[2]))
    save_checkpoint(tmp_path / "a.pt", YOLO("yolov5n.yaml").model, metadata={"imgsz": 640})
    save_checkpoint(tmp_path / "b.pt", YOLO("yolov5n.yaml").model, metadata={"imgsz": "large"})
    for name in ("a.pt", "b.pt"):
        model = YOLO(tmp_path / name)
        model.val("cells")
        model.predict(np.zeros((32, 32, 3), np.uint8))
        model.val("cells", imgsz=96)
    assert sizes == [640, 640, 96, 320, 320, 96]


def test_the_device_of_a_measurement_is_the_one_that_was_asked_for(monkeypatch):
    places = []
    monkeypatch.setattr(api, "evaluate", lambda *args, **how: places.append(args[5]))
    model = YOLO("yolov5n.yaml")
    for device in ("cpu", None):
        model.val("cells", device=device)
    assert places[0].device == "cpu" and places[1] is None
    with pytest.raises(UserError, match="no CUDA|There is no|not there|device"):
        model.val("cells", device="nonsense")


def test_predict_does_not_change_the_model():
    model = YOLO("yolov5n.yaml")
    model.model.train()
    before = {k: v.clone() for k, v in model.model.state_dict().items()}
    model.predict(np.zeros((32, 32, 3), np.uint8), imgsz=32)
    assert model.model.training and all(torch.equal(v, before[k]) for k, v in model.model.state_dict().items())


def test_other_classes_keep_the_network_the_freeze_and_rows_of_known_names():
    model = YOLO("yolov5n.yaml").model
    model.names = {i: "dog" if i == 5 else f"c{i}" for i in range(80)}
    model.pretrained = True
    yolo_ft.freeze(model, 10)
    fresh = fit_head(model, {0: "cat", 1: "Dog"})
    assert fresh.names == {0: "cat", 1: "Dog"} and fresh.pretrained
    assert torch.equal(fresh.model[3].conv.weight, model.model[3].conv.weight)
    old, new = model.head.m[0].weight.view(3, 85, -1), fresh.head.m[0].weight.view(3, 7, -1)
    assert torch.equal(new[:, :5], old[:, :5]) and torch.equal(new[:, 6], old[:, 10])
    assert not any(p.requires_grad for p in fresh.model[:10].parameters())
    assert all(p.requires_grad for p in fresh.model[10:].parameters())
    assert fit_head(fresh, {0: "cat", 1: "Dog"}) is fresh


def test_what_was_frozen_by_hand_stays_by_hand_under_other_classes():
    model = build_model("yolov5n", 3)
    model.pretrained = True
    model.model[3].conv.weight.requires_grad_(False)
    freeze(model, [1])
    fresh = fit_head(model, {0: "a", 1: "b"})
    assert not any(p.requires_grad for p in fresh.model[1].parameters())
    freeze(fresh, None)
    assert [name for name, p in fresh.named_parameters() if not p.requires_grad] == ["model.3.conv.weight"]


def test_freeze_before_train_stays_and_train_adds_to_it(tiny_set, tmp_path):  # noqa: F811
    model = YOLO("yolov5n.yaml")
    model.model.pretrained = True
    model.freeze([0, 1])
    before = {k: v.clone() for k, v in model.model.state_dict().items()}
    train(tiny_set, tmp_path, model=model, freeze=[23], epochs=1)
    same = [i for i in range(24) if all(
        torch.equal(v, before[k]) for k, v in model.model.state_dict().items() if k.startswith(f"model.{i}.")
    )]  # fmt: skip
    assert same == [0, 1, 11, 12, 15, 16, 19, 22, 23]  # the frozen layers, and those without tensors
    frozen = {int(n.split(".")[1]) for n, p in model.model.named_parameters() if not p.requires_grad}
    assert frozen == {0, 1}  # the freeze of the run ended with it, the user's own did not


def test_a_trained_object_says_where_its_weights_come_from(tiny_set, tmp_path):  # noqa: F811
    model, first = train(tiny_set, tmp_path, epochs=1)
    second = train(tiny_set, tmp_path, model=model, epochs=1)[1]
    assert first.summary["weights"] == "yolov5n.yaml" and second.summary["weights"] == str(first.weights("best"))


def test_evaluate_and_val_agree(tiny_set):  # noqa: F811
    model = YOLO("yolov5n.yaml")
    model.model = fit_head(model.model, {0: "bright", 1: "dark"})
    direct = evaluate(model.model, load_dataset(tiny_set, "val"), imgsz=64)
    assert model.val(tiny_set, imgsz=64).to_dict() == direct.to_dict()
    assert 0 <= direct.map50 <= 1
