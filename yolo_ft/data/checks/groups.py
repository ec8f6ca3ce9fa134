"""Which pictures belong together by their names: frames of one video, tiles and versions of one image. Lesson 06."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

TILE = re.compile(r"^(?P<original>.+)__x\d+_y\d+$")  # as `yolo-ft data tile` calls the parts of an image
# Roboflow calls every version of an original `<name>_<suffix>.rf.<hash>`; one original can have many versions
VERSION = re.compile(r"^(?P<original>.+?)(?:[._](?:jpe?g|png|bmp|webp|tiff?|jfif))?\.rf\.[0-9a-z]{16,}$", re.IGNORECASE)
AUGMENTED = re.compile(r"^(?P<original>.+?)[-_ .]aug(?:mented)?[-_ ]?\d*$", re.IGNORECASE)
INSIDE = re.compile(r"^(?P<video>.+?\.(?:mp4|mov|avi|mkv|m4v|webm|mpe?g))(?:[#_-].*)?$", re.IGNORECASE)
FRAME = re.compile(r"^(?:(?P<video>.+?)[-_ .]+)?(?:frame|frm|fr|f)[-_ .]?\d+$", re.IGNORECASE)
NUMBERED = re.compile(r"^(?P<video>.+?)[-_ .]\d+$")
SHOT = re.compile(
    r"(?:^|[-_ .\d])(?:(?:video|vid|clip|cam|camera|movie|footage|recording)s?(?=$|[-_ .\d])"
    r"|(?:seq|sequence|scene|shot|take|run|flight|track|drive)[-_ .]?\d)",  # a number of its own: scene_12 is no frame
    re.IGNORECASE,
)
PLACE = re.compile(r"^(?:images?|train|training|val|valid|validation|test|testing|dev)(?:\d{4})?$", re.IGNORECASE)


def name_group(key: str) -> str:
    """The group that an image's name tells; the images of one group belong into one split. Lesson 06.

    `key`: a path with `/`, as in `Dataset.keys`. Recognised are `<name>__x0_y512.png` (a tile, cut by
    `yolo-ft data tile`), `<name>_jpg.rf.<hash>.jpg` (a version that Roboflow exported), `<name>_aug3.jpg`,
    `<video>.mp4#t=12.jpg`, `<video>_frame_0012.jpg`, and a plain number behind a word for a shot: `clip_0012.jpg`,
    `cam-left_0012.jpg`, `scene2_0012.jpg`. A number alone says nothing, because `IMG_0012` and
    `BloodImage_00012` are single photographs: any other image is a group of its own, named by its whole key. Folders
    that only say the split (`train/images/`) do not count, so one video in two splits is one group.
    """
    path = PurePosixPath(key)
    stem = path.stem
    for pattern in (TILE, VERSION, AUGMENTED):
        if match := pattern.match(stem):
            stem = match["original"]
    video = _video(stem)
    if video is None and stem == path.stem:
        return key
    folders = [part for part in path.parent.parts if not PLACE.match(part)]
    return str(PurePosixPath(*folders, stem if video is None else video))


def _video(stem: str) -> str | None:
    """The video that a frame is from ("frames" when its name does not say which), or None when it is no frame."""
    if match := INSIDE.match(stem):
        return match["video"]
    if match := FRAME.match(stem):
        return match["video"] or "frames"
    match = NUMBERED.match(stem)
    return match["video"] if match and SHOT.search(match["video"]) else None
