"""Training: what is frozen keeps its bytes, a killed run resumes to the same bytes, and every record is written."""

import builtins
import math
import shutil
import socket

import pytest
import torch
from training_set import tiny_set, train  # noqa: F401  (tiny_set is a fixture)

from yolo_ft import resume
from yolo_ft.api import YOLO, fit_head
from yolo_ft.core.errors import UserError
from yolo_ft.finetune.checkpoints import load_checkpoint
from yolo_ft.finetune.runs import RESULT_COLUMNS


class Kill(Exception):
    pass


def killer(epoch, batch):
    """A listener that stops the process's work right after one batch."""

    def listener(event, info):
        if event == "batch" and (info["epoch"], info["batch"]) == (epoch, batch):
            raise Kill

    return listener


def last(run):
    return torch.load(run.weights("last"), weights_only=True)


def flat(value, path=""):
    """Every tensor and plain value of a nested state, by path."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from flat(item, f"{path}/{key}")
    else:
        yield path, value


def assert_same(ours, theirs):
    ours, theirs = dict(flat(ours)), dict(flat(theirs))
    assert ours.keys() == theirs.keys()
    for path, value in ours.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, theirs[path]), path
        elif "seconds" not in path:
            assert value == theirs[path], path


PHASED = {"freeze": [(1, 10), (1, "backbone", 0.5), (1, None, 0.1)], "epochs": None}


def test_an_interrupted_run_takes_its_freeze_with_it(tiny_set, tmp_path):  # noqa: F811
    model = YOLO("yolov5n.yaml")
    with pytest.raises(Kill):
        train(tiny_set, tmp_path, model=model, listeners=[killer(0, 0)], freeze="all-but-head")
    assert all(p.requires_grad for p in model.model.parameters()) and not model.model.fixed_batchnorm


@pytest.mark.parametrize(
    ("settings", "kill"),
    [
        ({}, (1, 0)),
        ({"freeze": 10}, (2, 1)),
        (PHASED, (1, 1)),
        (PHASED, (2, 0)),
        ({"optimizer": "SGD", "lr0": 0.01, "nominal_batch": 8, "precision": "bf16"}, (1, 1)),
    ],
)
def test_resume_gives_the_bytes_of_an_uninterrupted_run(tiny_set, tmp_path, settings, kill):  # noqa: F811
    whole = train(tiny_set, tmp_path, name="whole", **settings)[1]
    with pytest.raises(Kill):
        train(tiny_set, tmp_path, name="killed", listeners=[killer(*kill)], **settings)
    model, resumed = resume(tmp_path / "killed", listeners=[])
    ours, theirs = last(resumed), last(whole)
    assert_same(ours, theirs)
    assert len(ours["training"]["optimizer"]) > 0
    assert_same(model.model.state_dict(), load_checkpoint(whole.weights("best")).state_dict)
    shown = ["epoch", "phase", "lr", "loss", "box", "obj", "cls", "map50"]
    assert resumed.history[shown].equals(whole.history[shown])


def test_two_runs_with_one_seed_are_equal_and_another_seed_differs(tiny_set, tmp_path):  # noqa: F811
    a, b, c = (last(train(tiny_set, tmp_path, seed=seed)[1]) for seed in (0, 0, 1))
    assert_same(a["state_dict"], b["state_dict"])
    assert not torch.equal(a["state_dict"]["model.0.conv.weight"], c["state_dict"]["model.0.conv.weight"])


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_frozen_tensors_keep_their_bytes_everywhere(tiny_set, tmp_path, optimizer):  # noqa: F811
    """In memory, in the average, in both files; weights and BatchNorm buffers; with momentum and decay."""
    model = YOLO("yolov5n.yaml")
    model.model.pretrained = True
    before = {k: v.clone() for k, v in model.model.state_dict().items()}
    run = train(tiny_set, tmp_path, model=model, freeze=10, optimizer=optimizer, weight_decay=0.1)[1]
    frozen = [k for k in before if int(k.split(".")[1]) < 10]
    moving = [k for k in before if 10 <= int(k.split(".")[1]) < 24 and not k.endswith("num_batches_tracked")]
    content = last(run)
    best = load_checkpoint(run.weights("best")).state_dict
    for state in (content["state_dict"], content["training"]["ema"], best, model.model.state_dict()):
        assert all(torch.equal(state[k], before[k]) for k in frozen)
    assert len(frozen) == 198 and all(not torch.equal(content["state_dict"][k], before[k]) for k in moving)


def test_a_phase_thaws_what_it_froze_and_nothing_else(tiny_set, tmp_path):  # noqa: F811
    model = YOLO("yolov5n.yaml")
    model.model.pretrained = True
    model.model.model[3].conv.weight.requires_grad_(False)  # by hand, before any plan
    before = {k: v.clone() for k, v in model.model.state_dict().items()}
    states = []

    def keep(event, info):
        if event == "epoch":
            states.append({k: v.clone() for k, v in model.model.state_dict().items()})

    run = train(tiny_set, tmp_path, model=model, listeners=[keep], freeze=[(1, "backbone"), (1, None)], epochs=2)[1]
    first, second = states
    stem, neck = "model.0.conv.weight", "model.13.cv1.conv.weight"
    assert torch.equal(first[stem], before[stem]) and not torch.equal(second[stem], before[stem])
    assert torch.equal(first["model.0.bn.running_mean"], before["model.0.bn.running_mean"])
    assert not torch.equal(second["model.0.bn.running_mean"], before["model.0.bn.running_mean"])
    assert not torch.equal(first[neck], before[neck])
    assert torch.equal(second["model.3.conv.weight"], before["model.3.conv.weight"])
    assert run.history["phase"].tolist() == [0, 1]


def test_running_statistics_move_when_asked(tiny_set, tmp_path):  # noqa: F811
    model = YOLO("yolov5n.yaml")
    model.model.pretrained = True
    before = model.model.state_dict()["model.0.bn.running_mean"].clone()
    weight = model.model.state_dict()["model.0.conv.weight"].clone()
    content = last(train(tiny_set, tmp_path, model=model, freeze=10, freeze_bn="running", epochs=1)[1])
    assert not torch.equal(content["state_dict"]["model.0.bn.running_mean"], before)
    assert torch.equal(content["state_dict"]["model.0.conv.weight"], weight)


def test_a_run_folder_holds_what_lesson_03_reads(tiny_set, tmp_path):  # noqa: F811
    events = []
    model, run = train(tiny_set, tmp_path, listeners=[lambda e, i: events.append(e)], val_every=2, freeze=10)
    files = {p.relative_to(run.path).as_posix() for p in run.path.rglob("*") if p.is_file()}
    texts = {"config.yaml", "environment.json", "results.csv", "summary.json"}
    assert files == texts | {"weights/last.pt", "weights/best.pt"}
    assert list(run.history.columns) == list(RESULT_COLUMNS) and len(run.history) == 3
    assert run.history["epoch"].tolist() == [0, 1, 2]
    assert run.history["map50"].notna().tolist() == [False, True, True]
    assert events == ["start", *["batch", "batch", "batch", "epoch"] * 3, "end"]
    summary = run.summary
    assert summary["stopped"] == "finished" and summary["epochs"] == 3 and summary["freeze"] == "10"
    assert summary["frozen_parameters"] == 1_046_368 and 0 < summary["frozen_share"] < 1
    assert summary["peak_memory_mb"] > 0 and summary["images_per_s"] > 0
    # batches of 4, 16 images a step: 2 steps while the accumulation warms up, then one per epoch of 9 images
    assert summary["optimizer_steps"] == 4
    assert run.config["resolved"]["precision"] == "fp32" and run.config["freeze"] == "10"
    assert YOLO(run.weights("best")).names == model.names


def test_early_stopping_and_resume_of_a_finished_run(tiny_set, tmp_path):  # noqa: F811
    run = train(tiny_set, tmp_path, epochs=8, patience=1, lr0=0.0, ema_decay=0.0, name="early")[1]
    assert run.summary["stopped"] == "early" and run.summary["epochs"] < 8
    with pytest.raises(UserError, match="finished"):
        resume(run.path, listeners=[])


def test_resume_refuses_another_thread_count_unless_told(tiny_set, tmp_path):  # noqa: F811
    with pytest.raises(Kill):
        train(tiny_set, tmp_path, name="threads", listeners=[killer(1, 0)])
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with pytest.raises(UserError, match=f"OMP_NUM_THREADS={threads}"):
            resume(tmp_path / "threads", listeners=[])
        assert resume(tmp_path / "threads", listeners=[], inexact=True)[1].summary["epochs"] == 3
    finally:
        torch.set_num_threads(threads)


def test_a_run_killed_in_its_first_epoch_says_so(tiny_set, tmp_path):  # noqa: F811
    with pytest.raises(Kill):
        train(tiny_set, tmp_path, name="first", listeners=[killer(0, 1)])
    with pytest.raises(UserError, match="first epoch"):
        resume(tmp_path / "first", listeners=[])


def test_a_loss_that_explodes_stops_with_a_sentence(tiny_set, tmp_path):  # noqa: F811
    with pytest.raises(UserError, match=r"lower rate \(for example lr0=0\.01\)"):
        train(tiny_set, tmp_path, optimizer="SGD", lr0=1e30, clip_norm=0.0, warmup_epochs=0.0)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"epoch": 3}, "epochs"),
        ({"epochs": "3"}, "wrong type"),
        ({"epochs": 0}, "out of range"),
        ({"optimizer": "Adam"}, "AdamW"),
        ({"freeze": "backbon"}, "backbone"),
        ({"freeze": [(1, 10), (5, None)], "epochs": 3}, "6 epochs"),
        ({"device": "cuda:9"}, "device"),
        ({"precision": "fp16"}, "CUDA"),
    ],
)
def test_mistakes_are_sentences_and_leave_no_folder(tiny_set, tmp_path, settings, sentence):  # noqa: F811
    with pytest.raises(UserError, match=sentence):
        train(tiny_set, tmp_path, **settings)
    assert not list(tmp_path.iterdir())


def test_the_last_partial_accumulation_is_used(tiny_set, tmp_path):  # noqa: F811
    """9 images in batches of 4, 4, 1; two batches per step: an epoch has 2 steps, the second over one batch."""
    run = train(tiny_set, tmp_path, nominal_batch=8, warmup_epochs=0.0, epochs=1)[1]
    assert run.summary["optimizer_steps"] == 2
    assert math.isfinite(run.history["loss"].iloc[0])


def test_a_slow_listener_is_no_training_time(tiny_set, tmp_path):  # noqa: F811
    """Time is faked: a second passes at every look at the clock, an hour inside the listener."""
    clock = [0.0]

    def look():
        clock[0] += 1
        return clock[0]

    def listener(event, info):
        clock[0] += 3600

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("yolo_ft.finetune.trainer.time.perf_counter", look)
        run = train(tiny_set, tmp_path, epochs=1, listeners=[listener])[1]
    assert clock[0] > 3600 and 0 < run.summary["train_seconds"] < 60


def new():
    """A random YOLOv5n that counts as trained, the same one every time."""
    model = YOLO("yolov5n.yaml")
    model.model.pretrained = True
    return model


@pytest.mark.parametrize("bn", ["fixed", "running"])
def test_what_was_frozen_before_survives_a_resume(tiny_set, tmp_path, bn):  # noqa: F811
    def frozen():
        model = new()
        model.freeze(3, bn=bn)
        model.model.model[13].cv1.conv.weight.requires_grad_(False)
        return model

    start = frozen().model.state_dict()
    whole = train(tiny_set, tmp_path, frozen(), name="whole")[1]
    with pytest.raises(Kill):
        train(tiny_set, tmp_path, frozen(), name="killed", listeners=[killer(1, 0)])
    resumed = last(resume(tmp_path / "killed", listeners=[])[1])
    assert_same(resumed, last(whole))
    for name in ("model.0.conv.weight", "model.13.cv1.conv.weight"):
        assert torch.equal(resumed["state_dict"][name], start[name])
    same = torch.equal(resumed["state_dict"]["model.0.bn.running_mean"], start["model.0.bn.running_mean"])
    assert same == (bn == "fixed")


def test_a_freeze_in_mid_run_holds_the_weights_and_their_average(tiny_set, tmp_path):  # noqa: F811
    """What still trains is trained on top of the frozen weights, so the average has just these."""
    seen = []

    def keep(event, info):
        if event == "epoch":
            seen.append({name: tensor.clone() for name, tensor in model.model.state_dict().items()})

    model = new()
    model.model = fit_head(model.model, {0: "bright", 1: "dark"})  # so that `train` keeps this very network
    content = last(train(tiny_set, tmp_path, model, freeze=[(2, None), (2, 10)], epochs=4, listeners=[keep])[1])
    early = [name for name in seen[0] if int(name.split(".")[1]) < 10]
    assert any(not torch.equal(seen[0][name], seen[1][name]) for name in early)
    for name in early:
        for state in (seen[2], seen[3], content["state_dict"], content["training"]["ema"]):
            assert torch.equal(seen[1][name], state[name]), name


def test_nothing_is_frozen_unasked(tiny_set, tmp_path):  # noqa: F811
    model = new()
    model.model = fit_head(model.model, {0: "bright", 1: "dark"})
    before = {name: p.detach().clone() for name, p in model.model.named_parameters()}
    state = last(train(tiny_set, tmp_path, model, epochs=1, warmup_epochs=0.0)[1])["state_dict"]
    assert [name for name in before if torch.equal(state[name], before[name])] == []


def test_another_seed_trains_the_same_weights_otherwise(tiny_set, tmp_path):  # noqa: F811
    one, two = (last(train(tiny_set, tmp_path, new(), epochs=1, seed=seed)[1])["state_dict"] for seed in (0, 1))
    assert not torch.equal(one["model.0.conv.weight"], two["model.0.conv.weight"])


def test_freezing_random_weights_is_warned_of_whatever_the_classes(tiny_set, tmp_path):  # noqa: F811
    with pytest.warns(UserWarning, match="random weights"):
        YOLO("yolov5n.yaml").train(
            tiny_set, epochs=1, freeze=10, listeners=(), imgsz=64, batch=4, workers=0, project=str(tmp_path)
        )


def test_a_training_asks_nothing_and_calls_nobody(tiny_set, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(builtins, "input", lambda *_: pytest.fail("it asks"))
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it calls"))
    assert train(tiny_set, tmp_path, new(), epochs=1)[1].summary["epochs"] == 1


def test_a_single_image_is_enough(tiny_set, tmp_path):  # noqa: F811
    for kind, name in (("images", "0.png"), ("labels", "0.txt")):
        (tmp_path / "one" / kind).mkdir(parents=True)
        shutil.copy(tiny_set / kind / "train" / name, tmp_path / "one" / kind / name)
    (tmp_path / "one" / "data.yaml").write_text("train: images\nval: images\nnames: [a, b]\n", encoding="utf-8")
    run = train(tmp_path / "one", tmp_path, new(), epochs=1)[1]
    assert run.summary["images"] == 1 and math.isfinite(run.summary["best"]["map50"])
