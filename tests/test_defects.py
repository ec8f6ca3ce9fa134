"""The drawn `defects` set: rare and tiny objects on brushed metal, boxes around what can be seen, the same bytes."""

from __future__ import annotations

import numpy as np
import pytest

from yolo_ft.core.errors import UserError
from yolo_ft.data.drawn.defects import DEFECTS_NAMES, DEFECTS_SHA256, DEFECTS_SPLITS, draw_defects
from yolo_ft.data.drawn.flaws import CRACK, PIT, SCRATCH
from yolo_ft.data.drawn.sets import drawn_set, fingerprint

ODD_SIZE = "b3bd38e26ea66ce001393e7f76305dd9dc4ccf3e62b4f42716c20c3f08b5662a"


@pytest.fixture(scope="module")
def drawn() -> dict[str, tuple[list, list]]:
    """All splits, drawn once."""
    return {split: drawn_set("defects").content(split) for split in DEFECTS_SPLITS}


@pytest.mark.parametrize("split", DEFECTS_SPLITS)
def test_every_split_has_the_committed_bytes(drawn, split):
    assert fingerprint(*drawn[split]) == DEFECTS_SHA256[split]


def test_other_sizes_have_the_committed_bytes():
    """Larger than the tiles that the surface is made of, and not square."""
    image, target = draw_defects(3, seed=7, height=97, width=611)
    assert image.shape == (97, 611, 3) and fingerprint([image], [target]) == ODD_SIZE


def test_images_are_pure_functions_of_their_key():
    image, target = draw_defects(5)
    draw_defects(6)
    again, same = draw_defects(5)
    assert (image == again).all() and (target.boxes == same.boxes).all() and (target.labels == same.labels).all()
    assert image.dtype == np.uint8 and image.shape == (240, 320, 3) and image.flags.c_contiguous
    assert not (image == draw_defects(6)[0]).all() and not (image == draw_defects(5, seed=1)[0]).all()


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 200), (640, 96)])
def test_any_size_from_32_pixels_on(height, width):
    image, target = draw_defects(0, height=height, width=width)
    assert image.shape == (height, width, 3)
    assert (target.boxes >= 0).all() and (target.boxes <= [width, height, width, height]).all()


def test_too_small_is_refused_in_a_sentence():
    with pytest.raises(UserError, match="20 x 320 pixels is too small; use sides of at least 32"):
        draw_defects(0, height=20)


def test_splits_share_no_image(drawn):
    used = [index for split in DEFECTS_SPLITS.values() for index in split]
    assert len(set(used)) == len(used) == 480
    assert len({image.tobytes() for images, _ in drawn.values() for image in images}) == 480


@pytest.mark.parametrize("split", DEFECTS_SPLITS)
def test_classes_are_as_unbalanced_as_intended(drawn, split):
    _, targets = drawn[split]
    counts = np.bincount(np.concatenate([t.labels for t in targets]), minlength=3)
    shares = counts / counts.sum()
    assert 0.6 < shares[SCRATCH] < 0.75 and 0.2 < shares[PIT] < 0.3 and 0.04 < shares[CRACK] < 0.08
    assert 0.2 < np.mean([len(t) == 0 for t in targets]) < 0.45  # plates without a defect
    assert 2 < counts.sum() / len(targets) < 4 and max(map(len, targets)) > 7


def test_objects_are_small_and_boxes_valid(drawn):
    boxes = np.concatenate([t.boxes for _, targets in drawn.values() for t in targets])
    labels = np.concatenate([t.labels for _, targets in drawn.values() for t in targets])
    assert boxes.dtype == np.float32 and labels.dtype == np.int64 and set(labels) == set(DEFECTS_NAMES)
    assert (boxes == boxes.round()).all() and (boxes >= 0).all() and (boxes <= [320, 240, 320, 240]).all()
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    assert min(width.min(), height.min()) >= 1 and np.mean(np.minimum(width, height) < 3) < 0.02
    size = np.sqrt(width * height)
    middle = [np.median(size[labels == label]) for label in DEFECTS_NAMES]
    assert 14 < middle[SCRATCH] < 22 and 5 < middle[PIT] < 8 and 18 < middle[CRACK] < 28
    assert (size < 32).mean() > 0.75  # COCO's "small"


def test_pictures_are_grey_metal_neither_flat_nor_burnt_out(drawn):
    for image in drawn["val"][0]:
        assert image.std() > 4 and 50 < image.mean() < 215
        assert (image >= 254).all(axis=2).mean() < 0.1 and (image == 0).mean() < 0.01
        assert np.abs(image.mean((0, 1)) - image.mean()).max() < 22  # hardly any colour


def test_brushing_makes_rows_alike_and_columns_differ(drawn):
    """Neighbours along the brushing are more alike than neighbours across it."""
    ratios = []
    for image in drawn["test"][0]:
        grey = image.astype(float).mean(axis=2)
        along, across = grey[:, 4:] - grey[:, :-4], grey[4:] - grey[:-4]
        ratios.append((across**2).mean() / (along**2).mean())
    assert np.median(ratios) > 1.5 and np.mean(np.array(ratios) > 1) > 0.9


def test_boxes_hold_more_contrast_than_the_same_boxes_on_other_plates(drawn):
    """What is labelled can be seen: the strongest differences inside the boxes exceed those of plain metal."""
    images, targets = drawn["val"]
    own, other = [], []
    for k, target in enumerate(targets):
        for x0, y0, x1, y1 in target.boxes.astype(int):
            for pictures, found in ((images[k], own), (images[(k + 1) % len(images)], other)):
                piece = pictures[max(y0 - 2, 0) : y1 + 2, max(x0 - 2, 0) : x1 + 2].astype(float).mean(axis=2)
                found.append((piece.max() - piece.min()) / piece.mean())
    assert np.median(own) > 1.8 * np.median(other)
