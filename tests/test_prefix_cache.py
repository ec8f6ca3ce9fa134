"""A cached prefix gives the bits of an uncached one, is never stale, and leaves nothing half-written behind."""

import os
import threading
import time
from collections import Counter

import pytest
import torch
from training_set import tiny_set, train  # noqa: F401  (tiny_set is a fixture)

from yolo_ft.api import YOLO, resume
from yolo_ft.core.config import TrainConfig
from yolo_ft.core.errors import UserError
from yolo_ft.data.dataset import load_dataset
from yolo_ft.data.loader import TrainLoader
from yolo_ft.finetune import feed, prefix_cache
from yolo_ft.finetune.compute import Compute
from yolo_ft.finetune.feed import plan_views, view_of
from yolo_ft.finetune.freezing import FreezePlan
from yolo_ft.finetune.prefix import Prefix, prepared
from yolo_ft.finetune.prefix_cache import PrefixCache
from yolo_ft.finetune.runs import Run

NO_AUGMENTATION = dict.fromkeys(("mosaic", "hsv_h", "hsv_s", "hsv_v", "translate", "scale", "fliplr"), 0.0)
FP32 = Compute("cpu", "fp32", False, 1)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("YOLO_FT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "prefix"


def cache_of(tiny_set, model=None, depth=10, compute=FP32, **settings):  # noqa: F811
    model = model or YOLO("yolov5n.yaml").model
    loader = TrainLoader(load_dataset(tiny_set, "train"), TrainConfig(imgsz=64, batch=4, workers=0, **settings))
    return PrefixCache(Prefix(model.eval(), depth, compute, loader.batch), loader, Counter())


def weights(run):
    return torch.load(run.weights("last"), weights_only=True)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("freeze", [10, 24])
@pytest.mark.parametrize("augmentation", [NO_AUGMENTATION, {}])
def test_cached_and_uncached_runs_are_equal(tiny_set, tmp_path, precision, freeze, augmentation):  # noqa: F811
    settings = {"freeze": freeze, "precision": precision, "views": 1, "epochs": 4, "close_mosaic": 1, **augmentation}
    a = weights(train(tiny_set, tmp_path, name="cached", **settings)[1])
    report = Run(tmp_path / "cached").summary["prefix_cache"]
    assert report["misses"] == 18 and report["hits"] == 18 and report["bytes"] > 0
    b = weights(train(tiny_set, tmp_path, name="fresh", prefix_cache=False, **settings)[1])
    for part in ("state_dict", "ema"):
        ours, theirs = (c[part] if part in c else c["training"][part] for c in (a, b))
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize(
    ("depth", "needed"), [(1, [0]), (5, [4]), (10, [4, 6, 9]), (14, [4, 10, 13]), (24, [17, 20, 23])]
)
def test_only_what_the_suffix_reads_is_kept(tiny_set, depth, needed):  # noqa: F811
    cache = cache_of(tiny_set, depth=depth)
    view = cache.view(0, True)
    assert sorted(view.maps) == needed and all(len(maps) == 9 for maps in view.maps.values())
    assert cache.counts["misses"] == 9 and cache.counts["hits"] == 0
    cache.view(0, True)
    assert cache.counts["hits"] == 9 and cache.counts["bytes"] == sum(maps.nbytes for maps in view.maps.values())


def test_a_batch_of_a_view_is_what_the_prefix_says(tiny_set):  # noqa: F811
    cache = cache_of(tiny_set, freeze=10)
    outputs, targets = cache.view(3, True).batch([7, 2])
    fed = list(prepared(cache.loader, cache.loader.groups(), 3, True, FP32, cache.prefix))
    for place, index in enumerate([7, 2]):
        (fresh, found, _), row = fed[index // 4], index % 4
        for layer, x in outputs.items():
            assert torch.equal(x[place], fresh[layer][row])
        expected = found[found[:, 0] == row][:, 1:]
        assert torch.equal(targets[targets[:, 0] == place][:, 1:], expected)


def change_weight(model):
    with torch.no_grad():
        model.model[3].conv.weight[0, 0, 0, 0] += 1e-3


def change_statistics(model):
    model.model[3].bn.running_mean[0] += 1e-3


@pytest.mark.parametrize("change", [change_weight, change_statistics])
def test_other_weights_or_statistics_find_no_old_view(tiny_set, folder, change):  # noqa: F811
    model = YOLO("yolov5n.yaml").model
    cache_of(tiny_set, model).view(0, True)
    change(model)
    again = cache_of(tiny_set, model)
    again.view(0, True)
    assert again.counts["misses"] == 9 and len(list(folder.iterdir())) == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"seed": 1},
        {"fliplr": 0.4},
        {"hsv_h": 0.1},
        {"mosaic": 0.5},
        {"copy_paste": 0.5},
        {"compute": Compute("cpu", "bf16", True, 1)},
    ],
)
def test_other_augmentation_finds_no_old_view(tiny_set, folder, settings):  # noqa: F811
    cache_of(tiny_set).view(0, True)
    other = cache_of(tiny_set, **settings)
    other.view(0, True)
    assert other.counts["misses"] == 9 and len(list(folder.iterdir())) == 2


def test_the_head_and_the_rate_do_not_matter_so_the_view_is_reused(tiny_set):  # noqa: F811
    model = YOLO("yolov5n.yaml").model
    cache_of(tiny_set, model).view(0, True)
    with torch.no_grad():
        model.model[24].m[0].weight += 1
    again = cache_of(tiny_set, model, lr0=0.5, epochs=99)
    again.view(0, True)
    assert again.counts["hits"] == 9


def test_a_fill_that_dies_leaves_nothing(tiny_set, folder, monkeypatch):  # noqa: F811
    cache = cache_of(tiny_set)
    make = cache.loader.make

    def dying(group, view, mosaic):
        if 8 in group:  # the last one
            raise KeyboardInterrupt
        return make(group, view, mosaic)

    monkeypatch.setattr(cache.loader, "make", dying)
    with pytest.raises(KeyboardInterrupt):
        cache.view(0, True)
    assert list(folder.iterdir()) == []


def test_two_that_fill_the_same_view_agree(tiny_set, folder):  # noqa: F811
    caches = [cache_of(tiny_set, seed=0) for _ in range(2)]
    caches[1].prefix = caches[0].prefix
    threads = [threading.Thread(target=cache.view, args=(0, True)) for cache in caches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [f for f in folder.iterdir() if not f.name.startswith(".")] == list(folder.iterdir())
    a, b = (cache.view(0, True) for cache in caches)
    assert all(torch.equal(a.maps[layer], b.maps[layer]) for layer in a.maps)


def test_the_budget_drops_what_was_used_longest_ago(tiny_set, folder, monkeypatch):  # noqa: F811
    cache = cache_of(tiny_set)
    cache.view(0, True)
    (oldest,) = folder.iterdir()
    os.utime(oldest, (1, 1))
    monkeypatch.setattr(prefix_cache, "BUDGET", int(1.5 * sum(f.stat().st_size for f in oldest.iterdir())))
    cache.view(1, True)
    assert not oldest.exists() and len(list(folder.iterdir())) == 1


def test_a_full_disk_is_a_sentence(tiny_set, monkeypatch):  # noqa: F811
    cache = cache_of(tiny_set)
    monkeypatch.setattr(prefix_cache.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(UserError, match="views=0"):
        cache.view(0, True)


@pytest.mark.parametrize(
    ("views", "seen"),
    [(0, [0, 1, 2, 3, 4, 5, 6]), (1, [0, 0, 0, 0, 4, 4, 4]), (2, [0, 1, 0, 1, 4, 5, 4]), (3, [0, 1, 2, 0, 4, 5, 6])],
)
def test_epochs_cycle_through_the_views(views, seen):
    config = TrainConfig(epochs=7, close_mosaic=3)
    assert [view_of(config, views, epoch) for epoch in range(7)] == seen


def test_as_many_views_as_epochs_are_refused(tiny_set, tmp_path):  # noqa: F811
    with pytest.raises(UserError, match="views=3 would each be seen once"):
        train(tiny_set, tmp_path, freeze=10, views=3)


def test_a_cached_run_resumes_to_the_same_bytes_across_a_thaw(tiny_set, tmp_path):  # noqa: F811
    settings = {"freeze": [(3, 10), (1, None)], "epochs": 4, "views": 1, "close_mosaic": 1}
    whole = weights(train(tiny_set, tmp_path, name="whole", **settings)[1])

    def kill(event, info):
        if event == "batch" and (info["epoch"], info["batch"]) == (2, 1):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        train(tiny_set, tmp_path, name="killed", listeners=[kill], **settings)
    resumed = weights(resume(tmp_path / "killed", listeners=[])[1])
    for key, value in whole["state_dict"].items():
        assert torch.equal(resumed["state_dict"][key], value)


def test_leftovers_of_killed_processes_are_swept_after_an_hour(tiny_set, folder):  # noqa: F811
    for name, age in (("old", 3700), ("young", 60)):
        (folder / f".unfinished-{name}").mkdir(parents=True)
        (folder / f".unfinished-{name}" / "4.map").write_bytes(b"x")
        for path in (folder / f".unfinished-{name}" / "4.map", folder / f".unfinished-{name}"):
            os.utime(path, (time.time() - age,) * 2)
    cache_of(tiny_set).view(0, True)
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == [".unfinished-young"]


@pytest.mark.parametrize("lost", ["view.pt", "4.map"])
def test_a_view_that_lost_a_file_is_made_again(tiny_set, folder, lost):  # noqa: F811
    cache = cache_of(tiny_set)
    kept = cache.view(0, True).maps[6].clone()
    (home,) = folder.iterdir()
    (home / lost).unlink()
    assert torch.equal(cache.view(0, True).maps[6], kept)
    assert cache.counts["misses"] == 18 and cache.counts["hits"] == 0
    cache.view(0, True)
    assert cache.counts["hits"] == 9


def test_a_view_that_another_process_always_drops_is_a_sentence(tiny_set, monkeypatch):  # noqa: F811
    monkeypatch.setattr(PrefixCache, "_open", staticmethod(lambda folder: None))
    with pytest.raises(UserError, match="cannot be read back"):
        cache_of(tiny_set).view(0, True)


def test_the_counts_survive_a_kill_and_a_thaw(tiny_set, tmp_path):  # noqa: F811
    settings = {"freeze": [(4, 10), (1, None)], "epochs": 5, "views": 2, "close_mosaic": 0}

    def kill(event, info):
        if event == "batch" and (info["epoch"], info["batch"]) == (3, 1):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        train(tiny_set, tmp_path, name="killed", listeners=[kill], **settings)
    counted = resume(tmp_path / "killed", listeners=[])[1].summary["prefix_cache"]
    assert (counted["misses"], counted["hits"]) == (18, 18)  # two views of nine images, each read once more


def planned(model, freeze=10, epochs=25, images=205, compute=FP32, bn="fixed", **settings):
    plan = FreezePlan.parse(model, freeze, bn)
    return plan_views(model, plan, epochs, images, TrainConfig(epochs=epochs, imgsz=64, **settings), compute)


def test_views_are_automatic_where_a_cache_pays(monkeypatch):
    model = YOLO("yolov5n.yaml").model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert planned(model) == feed.AUTOMATIC_VIEWS == 8
    assert planned(model, views=3) == 3 and planned(model, views=0) == 0
    assert planned(model, freeze=None) == planned(model, freeze=[3]) == planned(model, bn="running") == 0
    assert planned(model, epochs=17) == 0  # 13 views differ: less than a quarter of the passes would be saved
    assert planned(model, epochs=18) == 8
    assert planned(model, compute=Compute("cuda", "bf16", True, 1)) == 0
    monkeypatch.setattr(feed, "BUDGET", 1000)
    assert planned(model) == 0
    with pytest.warns(UserWarning, match="views=3: 6 views of 205 images need 0.0 GiB"):
        assert planned(model, views=3) == 3
    assert model.training and all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_chosen_views_are_in_the_run_folder(tiny_set, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(feed, "AUTOMATIC_VIEWS", 1)
    run = train(tiny_set, tmp_path, freeze=10, epochs=4, close_mosaic=1)[1]
    assert run.config["views"] == run.summary["views"] == 1
    assert run.summary["prefix_cache"]["hits"] == 18  # epochs 1 and 2; epoch 3 closes the mosaic
    assert train(tiny_set, tmp_path, epochs=4)[1].config["views"] == 0


def test_an_unfrozen_network_sees_fresh_images_whatever_views_say(tiny_set, tmp_path):  # noqa: F811
    plain, given = (weights(train(tiny_set, tmp_path, views=views)[1])["state_dict"] for views in (0, 1))
    assert all(torch.equal(plain[name], given[name]) for name in plain)


@pytest.mark.parametrize("threads", [1, 2])
def test_images_reach_the_network_as_the_loader_makes_them(tiny_set, threads):  # noqa: F811
    loader = cache_of(tiny_set).loader
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        fed = list(prepared(loader, loader.groups(1), 1, False, FP32))
    finally:
        torch.set_num_threads(before)
    batches = list(loader.epoch(1, mosaic=False))
    assert [count for _, _, count in fed] == [len(batch) for batch in batches] == [4, 4, 1]
    for (outputs, targets, _), batch in zip(fed, batches, strict=True):
        assert torch.equal(outputs[-1], batch.images.float() / 255) and torch.equal(targets, batch.targets)
