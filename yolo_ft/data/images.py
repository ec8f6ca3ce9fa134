"""Reading images with Pillow: any common file to uint8 RGB, or a sentence that says why not."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from yolo_ft.core.errors import UserError

SUFFIXES = frozenset(".bmp .dng .jfif .jpe .jpeg .jpg .mpo .pfm .pgm .png .ppm .tif .tiff .webp".split())
FORMATS = ("BMP", "DIB", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # by content; no format that starts a program
MIN_SIDE = 10  # pixels; smaller files are icons or accidents
MOST_PIXELS = 10**9  # 3 GB as RGB and, while it is decoded, twice that: what a machine for this work still holds
DOUBTFUL_PIXELS = 10**8  # from here on a file must be large enough for what it claims to hold
PIXELS_PER_BYTE = 10_000  # PNG's most: 8 black or white pixels a byte, packed to a 1032nd; only a lie has more
TO_DECODE = 64  # pixels to which a JPEG is decoded to see whether it can be, which takes the least time
ORIENTATION_TAG = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
TAIL = 0.001  # share of an image's pixels that 16-bit grey may lose at either end: percentiles 0.1 and 99.9
FLOATS = "it has floating-point pixels, whose range is not defined; save it with 8 or 16 bits"
JPEG_TAIL = 1024  # bytes in which the end marker of a whole JPEG is expected; cameras append a little after it


class ImageError(UserError):
    """A file that cannot be used as an image; `reason` says why without naming the file."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be used as an image: {reason}. Repair or remove the file.")
        self.reason = reason


def read_image(path: str | Path, at_least: int | None = None) -> np.ndarray:
    """The image as uint8 (h, w, 3) RGB, turned as its EXIF orientation says (an invalid orientation is ignored).

    Grey, palette and CMYK images become RGB; transparency is dropped, not blended; of several pages the first is read.
    16-bit grey is stretched: what 0.1 % of the pixels of this image stay below becomes 0, what 0.1 % exceed becomes
    255 (`TAIL`). Cameras fill 10, 12 or 14 of the 16 bits, and a fixed divisor would leave such files black. The
    price: how bright an image is compared with another is lost; where that matters, save 8 bits of your own choice.
    Of 16-bit colour the high byte is read. With `at_least`, a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size as
    long as its long side keeps that many pixels. Raises `ImageError` when the file is missing, damaged or of another
    kind. Lesson 06.
    """
    path = Path(path)
    with opened(path) as image:
        if at_least and image.format == "JPEG" and max(image.size) > at_least:
            gain = at_least / max(image.size)
            image.draft(None, (round(image.width * gain), round(image.height * gain)))
        turn = TURNS.get(_orientation(image))
        pixels = _rgb(image, path)
    return np.array(pixels.transpose(turn) if turn is not None else pixels)


def decode_fault(path: Path) -> str | None:
    """Why an image cannot be decoded, None if it can: `check_image` looks at the ends of a file only."""
    try:
        read_image(path, at_least=TO_DECODE)
    except ImageError as error:
        return error.reason
    return None


def rgb_pixels(image: object) -> np.ndarray:
    """uint8 (h, w, 3) RGB of a path, a PIL image or such an array; `UserError` for anything else."""
    if isinstance(image, str | Path):
        return read_image(image)
    if isinstance(image, Image.Image):
        return np.array(_rgb(image, Path("the PIL image")))
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        if not image.size:
            raise UserError(f"An image of {image.shape[1]} x {image.shape[0]} pixels holds nothing to look at.")
        return image
    shape = f" {getattr(image, 'dtype', '')} {tuple(image.shape)}" if hasattr(image, "shape") else ""
    raise UserError(
        f"An image is a path, a PIL image or a uint8 RGB array (h, w, 3), not {type(image).__name__}{shape}."
    )


def image_files(sources: Sequence[str | Path]) -> dict[Path, Path]:
    """The files named, and the images of the folders named, sorted; each with its path below what was named.

    Raises `UserError` for what does not exist, and where there is no image at all.
    """
    files: dict[Path, Path] = {}
    for source in map(Path, sources):
        if not source.exists():
            raise UserError(f"There is no file or folder {source}.")
        inside = [path for path in files_below(source) if path.suffix.lower() in SUFFIXES]
        files |= {path: path.relative_to(source) for path in inside} if source.is_dir() else {source: Path(source.name)}
    if not files:
        raise UserError(f"There is no image in {', '.join(map(str, sources))}.")
    return files


def files_below(folder: Path) -> list[Path]:
    """Every file in a folder and all below it, sorted by path. Links to folders are followed, to each folder once."""
    root = Path(os.path.realpath(folder))
    entered: set[Path] = set()
    found: list[Path] = []
    starts = [folder]
    for start in starts:  # it grows: what really lies here comes first, then what only a link leads to
        for place, folders, names in os.walk(start):
            real = Path(os.path.realpath(place))
            if real in entered or real in root.parents:  # a second way to it, or a link up, which would go round
                folders.clear()
                continue
            entered.add(real)
            starts += [Path(place, name) for name in folders if Path(place, name).is_symlink()]
            found += [Path(place, name) for name in names]
    return sorted((path for path in found if path.is_file()), key=Path.as_posix)


def check_image(path: Path) -> tuple[int, int]:
    """(height, width) as `read_image` will return it, after a check that is much cheaper than decoding.

    PNG checksums are verified, a JPEG must have its end marker, and other or doubtful files are decoded once. Larger
    images than `MOST_PIXELS` are refused, and files too small for the pixels that they claim to hold. Raises
    `ImageError` with the reason.
    """
    with opened(path) as image:
        sideways = _orientation(image) >= 5
        height, width = image.size if sideways else image.size[::-1]
        if min(height, width) < MIN_SIDE:
            raise ImageError(path, f"it is {width} x {height} pixels, smaller than {MIN_SIDE} on a side")
        if image.mode == "F":
            raise ImageError(path, FLOATS)
        if image.mode == "I":  # only the pixels tell whether 16 bits would do
            _whole_numbers(image, path)
        elif image.format == "PNG":
            image.verify()
        elif image.format not in ("JPEG", "MPO") or not _has_jpeg_end(path):
            image.load()
    return height, width


def page_count(path: Path) -> int:
    """How many pages or frames the file holds; only TIFF files are asked."""
    if path.suffix.lower() not in (".tif", ".tiff"):
        return 1
    with opened(path) as image:
        return getattr(image, "n_frames", 1)


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """The Pillow image of a file, not yet decoded; whatever Pillow raises inside becomes an `ImageError`."""
    try:
        with path.open("rb") as file, _identified(file) as image:
            _check_pixels(path, image.size)
            yield image
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(path, "the file does not exist") from None
    except Image.UnidentifiedImageError:
        empty = path.stat().st_size == 0
        raise ImageError(path, "the file is empty" if empty else "its content is no image format known here") from None
    except Image.DecompressionBombError:
        raise ImageError(path, "it is too large to be read in this format; save it as PNG or JPEG") from None
    except Exception as error:  # Pillow's decoders raise many kinds (OSError, SyntaxError, struct.error, ...)
        if isinstance(error, OSError) and error.errno:  # from the system, not from a decoder
            raise ImageError(path, f"it cannot be opened ({error.strerror})") from None
        raise ImageError(path, f"it is damaged or truncated ({error})") from None


def _identified(file: BinaryIO) -> Image.Image:
    """What `Image.open` gives, but without its limit of 179 million pixels, a setting that the whole process shares."""
    Image.init()
    start = file.read(16)
    for factory, accept in map(Image.OPEN.__getitem__, FORMATS):
        try:
            if accept(start) is True:  # a text says that this Pillow was built without the format
                file.seek(0)
                return factory(file, "")
        except (SyntaxError, IndexError, TypeError, struct.error):  # by these a plugin says that the file is not its
            continue
    raise Image.UnidentifiedImageError


def _check_pixels(path: Path, size: tuple[int, int]) -> None:
    """Refuse what would fill the memory: an image too large, or a small file that claims to be a large image."""
    pixels, stored = size[0] * size[1], path.stat().st_size
    stated = f"{size[0]} x {size[1]} pixels"
    if pixels > MOST_PIXELS:
        most = f"at most {MOST_PIXELS // 10**6:,} million are read"
        raise ImageError(path, f"it has {stated}, but {most}; cut it into parts with the program that made it")
    if pixels > max(DOUBTFUL_PIXELS, stored * PIXELS_PER_BYTE):
        raise ImageError(path, f"it claims to hold {stated}, for which its {stored:,} bytes are too few")


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation 1..8 that is still to be applied; 1 when there is none or it makes no sense."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # asking Pillow would decode the whole file in search of a block behind the pixels
    if image.format == "TIFF":
        image.load()  # newer Pillow turns a TIFF itself while loading, and then forgets the tag
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
        return value if value in TURNS else 1
    except Exception:  # a damaged EXIF block says nothing about the pixels
        return 1


def _has_jpeg_end(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - JPEG_TAIL))
        return b"\xff\xd9" in file.read()


def _rgb(image: Image.Image, path: Path) -> Image.Image:
    """`image` decoded as 8-bit RGB."""
    if image.mode.startswith("I"):  # "I;16" and its byte orders; "I" holds 32 bits
        return Image.fromarray(_stretched(_whole_numbers(image, path))).convert("RGB")
    if image.mode == "F":
        raise ImageError(path, FLOATS)
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def _whole_numbers(image: Image.Image, path: Path) -> np.ndarray:
    """The pixels of grey with more than 8 bits (h, w), 0..65535."""
    values = np.asarray(image).astype(np.int64)
    if values.size and (values.max() > 65535 or values.min() < 0):
        raise ImageError(path, "its pixels need more than 16 bits; save it with 8 or 16 bits")
    return values


def _stretched(values: np.ndarray) -> np.ndarray:
    """Whole numbers 0..65535 -> uint8, black and white at the percentiles of `TAIL`; counted, so exact everywhere.

    Where both are the same value (a mask, a few bright spots on black) the smallest and largest value take their place;
    one single value is divided by 257.
    """
    below = np.cumsum(np.bincount(values.ravel(), minlength=65536))  # pixels of at most each value
    tail = max(1, round(TAIL * values.size))
    low, high = int(np.searchsorted(below, tail)), int(np.searchsorted(below, values.size - tail))
    if low >= high:
        low, high = int(values.min()), int(values.max())
    levels = np.arange(65536)
    table = levels / 257 if low == high else (levels - low) * 255 / (high - low)
    return np.clip(np.round(table), 0, 255).astype(np.uint8)[values]
