"""Statistics: hand-computed sets, what must not depend on order or splits, and counts of real sets."""

from __future__ import annotations

import json

import numpy as np
import pytest
from picture_sets import coloured, in_memory, write_set
from PIL import Image

from yolo_ft.core.boxes import letterbox
from yolo_ft.core.errors import UserError
from yolo_ft.core.targets import Target
from yolo_ft.data.dataset import load_dataset, load_splits
from yolo_ft.data.statistics.stats import SIDE, Statistics, size_shares, statistics


def two_images() -> Statistics:
    """A wide red image with a small and a large box, and a tall grey one without any."""
    wide = np.zeros((100, 400, 3), np.uint8)
    wide[..., 0] = 255
    tall = np.full((200, 50, 3), 51, np.uint8)
    boxes = Target(np.array([[0, 0, 31, 32], [100, 0, 300, 100]]), np.array([2, 0]))
    return statistics(in_memory([wide, tall], [boxes, Target()], classes=3), imgsz=800)


def test_the_empty_set():
    found = statistics(in_memory([], []))
    assert found.splits.loc["all", ["images", "objects", "background"]].tolist() == [0, 0, 0]
    assert found.positions.sum() == 0 and not found.cooccurrence.to_numpy().any() and found.colours.shape == (0, 64)
    assert found.image_sizes.empty and (found.classes["objects"] == 0).all()
    assert json.dumps(found.to_dict()) and "images" in str(found)


def test_an_empty_split_is_told_in_one_line_and_left_out(tmp_path):
    file = write_set(tmp_path, {"val/a.png": "0 0.5 0.5 0.2 0.2\n"}, "train: images/t\nval: images/val\nnames: [x]\n")
    (tmp_path / "images/t").mkdir()
    with pytest.warns(UserWarning, match="^Empty and left out, .*: train.$"):
        found = statistics(file)
    assert found.splits.index.tolist() == ["val", "all"] and found.splits["objects"].tolist() == [1, 1]
    assert found.name == tmp_path.name and found.names == {0: "x"}


def test_one_image_without_an_object():
    found = statistics(in_memory([np.zeros((20, 30, 3), np.uint8)], [Target()]))
    row = found.splits.loc["all"]
    assert (row["images"], row["background"], row["objects"], row["per_image"]) == (1, 1, 0, 0)
    assert np.isnan(row["small"]) and found.objects.empty
    assert found.colour.loc["all", "brightness"] == 0


def test_counts_by_hand():
    found = two_images()
    assert found.images["objects"].tolist() == [2, 0] and found.images["classes"].tolist() == [2, 0]
    row = found.splits.loc["train"]
    assert (row["images"], row["background"], row["objects"], row["per_image"], row["per_image_max"]) == (2, 1, 2, 1, 2)
    assert row["classes_per_image"] == 1
    classes = found.classes.loc["train"]
    assert classes["objects"].tolist() == [1, 0, 1] and classes["images"].tolist() == [1, 0, 1]
    assert classes["share"].tolist() == [0.5, 0, 0.5]
    assert classes["per_image"].tolist() == [1, 0, 1] and np.isnan(classes.loc["class1", "size_median"])


def test_several_objects_of_a_class_in_an_image():
    targets = [Target(np.tile([0, 0, 5, 5], (n, 1)), np.zeros(n)) for n in (3, 1, 0)]
    row = statistics(in_memory([np.zeros((20, 20, 3), np.uint8)] * 3, targets, 1)).classes.loc["all", :].iloc[0]
    assert row[["images", "objects", "per_image"]].tolist() == [2, 4, 2]


def test_boxes_by_hand():
    small, large = two_images().objects.to_dict("records")
    assert (small["cx"], small["cy"]) == (15.5 / 400, 0.16) and (large["cx"], large["cy"]) == (0.5, 0.5)
    assert (small["width"], small["height"], small["area"]) == (31, 32, 992)
    assert large["aspect"] == 2 and large["size"] == pytest.approx(np.sqrt(200 * 100) / 400)
    assert small["area_at_imgsz"] == 4 * 992  # 400 pixels become 800


def test_sizes_are_cocos_and_change_with_imgsz():
    row = two_images().splits.loc["all"]
    assert row[["small", "medium", "large"]].tolist() == [0.5, 0, 0.5]
    assert row[["small_at_imgsz", "medium_at_imgsz", "large_at_imgsz"]].tolist() == [0, 0.5, 0.5]


@pytest.mark.parametrize(
    ("side", "size"), [(31.9, "small"), (32, "medium"), (95.9, "medium"), (96, "large"), (500, "large")]
)
def test_the_limits_of_the_sizes(side, size):
    box = Target(np.array([[0, 0, side, side]]), np.array([0]))
    found = statistics(in_memory([np.zeros((600, 600, 3), np.uint8)], [box], 1))
    assert size_shares(found.objects)[size] == 1


@pytest.mark.parametrize(("height", "width", "imgsz"), [(100, 400, 320), (333, 500, 640), (640, 480, 96)])
def test_sizes_at_imgsz_are_those_of_the_letterbox(height, width, imgsz):
    boxes = np.array([[3, 5, 80, 41.5], [0, 0, width, height]], np.float32)
    found = statistics(in_memory([np.zeros((height, width, 3), np.uint8)], [Target(boxes, np.zeros(2))], 1), imgsz)
    fitted = letterbox(height, width, imgsz).to_network(boxes)
    areas = (fitted[:, 2:] - fitted[:, :2]).prod(1)
    np.testing.assert_allclose(found.objects["area_at_imgsz"], areas, rtol=1e-4)
    relative = np.sqrt(areas) / imgsz
    np.testing.assert_allclose(found.objects["size"], relative, rtol=1e-4)


def test_colour_by_hand():
    red, grey = two_images().images.to_dict("records")
    assert [red[name] for name in ("red", "green", "blue", "saturation", "contrast")] == [1, 0, 0, 1, 0]
    assert red["brightness"] == 76 / 255  # 0.299 of 255
    assert grey["brightness"] == pytest.approx(0.2) and grey["saturation"] == 0
    whole = two_images().colour.loc["all"]
    assert whole["red"] == pytest.approx(0.6) and whole["red_std"] == pytest.approx(0.4)  # 1 and 0.2
    colours = two_images().colours
    assert colours[0, 3 * 16] == 1 and colours[1, 0] == 1  # 51 is still in the darkest of four levels


def test_contrast_is_the_spread_of_brightness():
    half = np.zeros((SIDE, SIDE, 3), np.uint8)
    half[:, SIDE // 2 :] = 255
    row = statistics(in_memory([half], [Target()])).images.iloc[0]
    assert row[["brightness", "contrast", "red_std"]].tolist() == [0.5, 0.5, 0.5]
    half[..., :2] = 0  # blue, which looks dark: 0.114 of white
    row = statistics(in_memory([half], [Target()])).images.iloc[0]
    assert row[["brightness", "contrast", "red_std", "blue_std"]].tolist() == [14.5 / 255, 14.5 / 255, 0, 0.5]


def test_colour_is_measured_on_averages_not_on_single_pixels():
    checks = np.indices((2 * SIDE, 2 * SIDE)).sum(0) % 2 * np.uint8(255)
    row = statistics(in_memory([np.stack([checks.astype(np.uint8)] * 3, -1)], [Target()])).images.iloc[0]
    assert row["brightness"] == pytest.approx(0.5, abs=0.01) and row["contrast"] < 0.01


def test_positions_lie_where_the_centres_are():
    corners = np.array([[0, 0, 2, 2], [78, 0, 80, 2], [78, 38, 80, 40], [38, 18, 46, 26], [80, 40, 80, 40]])
    found = statistics(in_memory([np.zeros((40, 80, 3), np.uint8)], [Target(corners, np.zeros(5))], 1)).positions
    assert found[0, 0] == found[0, 7] == found[4, 4] == 1 and found[7, 7] == 2 and found.sum() == 5


def test_cooccurrence_counts_images_not_objects():
    labels = ([0, 0, 1], [1], [0, 1, 2], [])
    targets = [Target(np.tile([0, 0, 5, 5], (len(each), 1)), np.array(each)) for each in labels]
    found = statistics(in_memory([np.zeros((20, 20, 3), np.uint8)] * 4, targets, 4)).cooccurrence
    assert found.to_numpy().tolist() == [[2, 2, 1, 0], [2, 3, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]]
    assert list(found.columns) == ["class0", "class1", "class2", "class3"]


def test_image_sizes():
    shapes = [(20, 30), (30, 20), (20, 30)]
    found = statistics(in_memory([np.zeros((*shape, 3), np.uint8) for shape in shapes], [Target()] * 3)).image_sizes
    assert found[["width", "height", "images"]].to_numpy().tolist() == [[30, 20, 2], [20, 30, 1]]
    assert found["share"].tolist() == pytest.approx([2 / 3, 1 / 3])


def same(a, b) -> None:
    np.testing.assert_allclose(a.to_numpy(np.float64), b.to_numpy(np.float64), atol=1e-12)


def test_the_order_of_the_images_does_not_matter():
    dataset = coloured(12)
    found = statistics(dataset)
    turned = statistics(dataset.subset(np.random.default_rng(0).permutation(12)))
    for table in ("splits", "classes", "colour", "cooccurrence", "image_sizes"):
        same(getattr(found, table), getattr(turned, table))
    assert (found.positions == turned.positions).all()


@pytest.fixture
def splits(tmp_path):
    """A data set whose validation split is smaller and of another class."""
    labels = {f"train/{i}.png": f"0 0.5 0.5 0.{i + 1} 0.5\n1 0.2 0.2 0.1 0.1" for i in range(5)}
    labels |= {f"val/{i}.png": "1 0.9 0.1 0.1 0.1" for i in range(2)} | {"val/x.png": ""}
    return write_set(tmp_path, labels, "path: .\ntrain: images/train\nval: images/val\nnames: [cat, dog]\n")


def test_all_is_the_weighted_union_of_the_splits(splits):
    found = statistics(splits)
    train, val, whole = (found.splits.loc[name] for name in ("train", "val", "all"))
    for name in ("images", "background", "objects"):
        assert whole[name] == train[name] + val[name]
    assert whole["per_image"] == pytest.approx((5 * train["per_image"] + 3 * val["per_image"]) / 8)
    assert whole["small"] == pytest.approx((10 * train["small"] + 2 * val["small"]) / 12)
    colour = found.colour
    second = colour**2  # mean and spread of a union: first and second moments are weighted means
    moments = {split: second.loc[split, "red"] + second.loc[split, "red_std"] for split in colour.index}
    assert moments["all"] == pytest.approx((5 * moments["train"] + 3 * moments["val"]) / 8)
    assert (found.classes.loc["all", "objects"] == [5, 7]).all()


def test_one_split_selected_equals_the_split_alone(splits):
    found, alone = statistics(splits).select("val"), statistics(load_splits(splits)["val"])
    for table in ("images", "objects"):
        assert getattr(found, table).equals(getattr(alone, table)[list(getattr(found, table).columns)])
    same(found.cooccurrence, alone.cooccurrence)
    assert (found.colours == alone.colours).all()
    with pytest.raises(UserError, match="no split 'test': choose one of train, val"):
        statistics(splits).select("test")


def test_a_jpeg_decoded_small_has_the_same_colours(tmp_path):
    y, x = np.mgrid[0:600, 0:800]
    pixels = np.stack([x * 255 // 800, y * 255 // 600, (x + y) * 255 // 1400], -1).astype(np.uint8)
    write_set(tmp_path, {"a.jpg": "0 0.5 0.5 0.1 0.1"})
    Image.fromarray(pixels).save(tmp_path / "images" / "a.jpg", quality=95)
    file = statistics(tmp_path).select("train").images.iloc[0]
    drawn = statistics(in_memory([pixels], [Target()])).images.iloc[0]
    for name in ("red", "green", "blue", "brightness", "contrast", "saturation"):
        assert file[name] == pytest.approx(drawn[name], abs=0.01)


def test_an_image_that_can_no_longer_be_read_keeps_its_boxes(tmp_path):
    dataset = load_dataset(write_set(tmp_path, {"a.jpg": "0 0.5 0.5 0.1 0.1", "b.jpg": "0 0.5 0.5 0.1 0.1"}))
    (tmp_path / "images" / "a.jpg").unlink()
    with pytest.warns(UserWarning, match="1 images cannot be decoded and have no colour here, first images/a.jpg"):
        found = statistics(dataset)
    assert found.splits.loc["train", "objects"] == 2 and found.colour.loc["all"].notna().all()
    assert found.images["brightness"].isna().tolist() == [True, False] and found.colours[0].sum() == 0


def test_mistakes(tmp_path):
    with pytest.raises(UserError, match="imgsz is 0: give the side"):
        statistics("cells", imgsz=0)
    with pytest.raises(UserError, match="does not exist"):
        statistics(tmp_path / "nowhere.yaml")


def test_json_says_what_the_tables_say(splits):
    found = statistics(splits)
    content = json.loads(json.dumps(found.to_dict()))
    assert content["splits"]["train"]["objects"] == 10 and content["classes"]["all"]["dog"]["objects"] == 7
    assert content["names"] == {"0": "cat", "1": "dog"} and np.sum(content["positions"]) == 12
    assert content["cooccurrence"] == [[5, 5], [5, 7]]


def test_known_counts_of_blood_cells(real_data):
    found = statistics(real_data / "bccd")
    objects = found.classes.loc["all", "objects"]
    assert objects[["RBC", "WBC", "Platelets"]].tolist() == [4153, 372, 361]
    assert found.splits["images"].to_dict() == {"train": 205, "val": 87, "test": 72, "all": 364}
    assert found.image_sizes[["width", "height"]].to_numpy().tolist() == [[640, 480]]
    assert found.splits.loc["all", "small"] == found.splits.loc["all", "small_at_imgsz"]  # they are 640 wide
