"""What a camera makes of a picture: uneven light, focus and sensor noise, with the same bytes on every machine."""

from __future__ import annotations

import numpy as np

from yolo_ft.core.seeding import hash_uint32
from yolo_ft.data.drawn.canvas import Canvas, Dice, texture
from yolo_ft.data.drawn.domains import USUAL, CellsDomain


def soften(image: np.ndarray, step: int) -> np.ndarray:
    """Blur (h, w) int16 in 0..4080 by 1-2-1 over neighbours `step` away, both ways; borders repeat. Integers only."""
    for _ in range(2):  # rows, then columns: each pass blurs along the first axis and transposes
        n = len(image)
        wide = np.concatenate([image[:1]] * step + [image] + [image[-1:]] * step)
        blurred = wide[:n] + wide[2 * step :]
        blurred += image
        blurred += image
        blurred += 2
        blurred >>= 2
        image = blurred.T
    return image


def lamp(dice: Dice, height: int, width: int) -> tuple[np.ndarray, tuple[float, float, float]]:
    """The light before it meets the glass: (h, w) shares around 1, brightest somewhere inside, and red, green, blue."""
    tint, level = dice.middling(-1, 1), dice.middling(198, 226)
    colour = (level + 5 * tint, level + dice.middling(-3, 5), level - 5 * tint + dice.middling(-8, 8))
    cx, cy, fall = dice.uniform(0.2, 0.8), dice.uniform(0.2, 0.8), dice.uniform(0.02, 0.22)
    dx, dy = np.arange(width) / width - cx, np.arange(height) / height - cy
    even = (1 - fall * (dx * dx)).astype(np.float32) - (fall * (dy * dy)).astype(np.float32)[:, None]
    return even * (1 + texture(64, dice, (height, width)) * dice.uniform(0, 0.02)), colour


def focus(dice: Dice, height: int, width: int) -> tuple[list[int], np.ndarray]:
    """Blur steps of the out-of-focus picture, and its share of the final one in eighths: (h, w), a tilted plane."""
    sharpness, middle = dice.uniform(0, 1), dice.integer(100, 256)
    steps = [1] if sharpness > 0.7 else [1, 1] if sharpness > 0.4 else [1, 1, 2]
    slope_x, slope_y = dice.integer(-200, 200), dice.integer(-200, 200)
    columns = (np.arange(width) * slope_x // width - slope_x // 2).astype(np.int16)
    rows = (np.arange(height) * slope_y // height - slope_y // 2 + middle).astype(np.int16)
    return steps, np.clip(rows[:, None] + columns, 0, 256) >> 5


def defocus(image: np.ndarray, amount: float) -> np.ndarray:
    """Blur (h, w) int16 in 0..4080 by `amount` from 0 (not at all) to 1 (about 4 pixels, standard deviation)."""
    whole, part = divmod(int(64 * amount), 16)
    for step in range(1, whole + 1):
        image = soften(image, step)
    return image + ((soften(image, whole + 1) - image >> 1) * part >> 3) if part else image


def noise(dice: Dice, height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sensor noise for red, green and blue: (h, w) int16 in -510..510, bell-shaped, standard deviation 148."""
    bits = hash_uint32(np.arange(height * width).reshape(height, width), dice.integer(0, 2**31))
    a, b, c, d = ((bits >> np.uint32(shift)).astype(np.uint8).astype(np.int16) for shift in (0, 8, 16, 24))
    outer, inner = a - d, b - c
    a += b
    c += d
    a += c
    a -= 510
    return outer + inner, outer - inner, a


def _telephone(
    lamp: np.ndarray, colour: tuple[float, float, float], camera: float
) -> tuple[np.ndarray, tuple[float, float, float]]:
    """The light as a telephone at the eyepiece sees it: darker towards the corners, yellow."""
    height, width = lamp.shape
    dx, dy = (np.arange(width) + 0.5) / width - 0.5, (np.arange(height) + 0.5) / height - 0.5
    far = (dx * dx).astype(np.float32) + (dy * dy).astype(np.float32)[:, None]  # 0.5 in the corners
    cast = (1 + 0.02 * camera, 1 - 0.05 * camera, 1 - 0.26 * camera)
    return lamp * (1 - far * (far + 0.25) * camera), tuple(c * k for c, k in zip(colour, cast, strict=True))


def photograph(canvas: Canvas, dice: Dice, domain: CellsDomain = USUAL) -> np.ndarray:
    """The camera's picture of the canvas, (h, w, 3) uint8: lamp, focus (uneven over the field), sensor noise."""
    height, width = canvas.height, canvas.width
    light, colour = lamp(dice, height, width)
    steps, blend = focus(dice, height, width)
    image = np.empty((height, width, 3), np.uint8)
    grain = noise(dice, height, width)
    gain, flare = dice.integer(1, 7), int(64 * domain.camera)
    if domain.camera:
        light, colour = _telephone(light, colour, domain.camera)
        gain += flare >> 3
    for k in range(3):
        sharp = np.clip(canvas.light[k] * light * (colour[k] * 16), 0, 4080).astype(np.int16)
        soft = sharp
        for step in steps:
            soft = soften(soft, step)
        soft -= sharp
        soft *= blend
        soft >>= 3
        sharp += soft
        sharp = defocus(sharp, 1 - domain.focus)
        if flare:  # scattered light lifts the dark
            sharp += (int(colour[k] * 14) - sharp >> 3) * flare >> 6
        sharp += grain[k] * gain >> 4
        image[:, :, k] = np.clip(sharp, 0, 4080) >> 4
    return image
