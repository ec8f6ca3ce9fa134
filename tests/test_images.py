"""Reading images: every mode and orientation that a camera or a tool may write, and refusals with a reason."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from picture_sets import photograph
from PIL import Image, ImageOps

from yolo_ft.data.images import ImageError, check_image, files_below, image_files, opened, page_count, read_image


def save(path: Path, image: Image.Image, **options) -> Path:
    image.save(path, **options)
    return path


def test_an_empty_missing_or_foreign_file_is_refused_with_its_reason(tmp_path):
    empty, text = tmp_path / "empty.jpg", tmp_path / "page.jpg"
    empty.write_bytes(b"")
    text.write_text("<html>404</html>", encoding="utf-8")
    gif = tmp_path / "moving.jpg"
    Image.new("RGB", (20, 20)).save(gif, format="GIF")
    for path, reason in [
        (empty, "empty"),
        (text, "no image format"),
        (gif, "no image format"),
        (tmp_path / "nowhere.png", "does not exist"),
        (tmp_path, "cannot be opened"),
    ]:
        for action in (read_image, check_image):
            with pytest.raises(ImageError, match=reason) as caught:
                action(path)
            assert str(path) in str(caught.value) and str(path) not in caught.value.reason


@pytest.mark.parametrize(
    ("mode", "pixel", "expected"),
    [
        ("RGB", (10, 20, 30), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (10, 20, 30)),  # transparency is dropped, not blended with white
        ("L", 77, (77, 77, 77)),
        ("LA", (77, 3), (77, 77, 77)),
        ("1", 1, (255, 255, 255)),
        ("I;16", 257, (1, 1, 1)),  # one value alone has no percentiles to lie between: it is divided by 257
        ("I;16", 65535, (255, 255, 255)),
        ("I;16", 128, (0, 0, 0)),  # 128/257 = 0.498
        ("I;16", 129, (1, 1, 1)),  # 129/257 = 0.502
    ],
)
def test_modes_of_png(tmp_path, mode, pixel, expected):
    path = save(tmp_path / "a.png", Image.new(mode, (12, 11), pixel))
    pixels = read_image(path)
    assert pixels.dtype == np.uint8 and pixels.shape == (11, 12, 3) and pixels.flags.writeable
    assert (pixels == expected).all()
    assert check_image(path) == (11, 12)


def test_palette_with_transparency(tmp_path):
    image = Image.new("P", (12, 12), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    path = save(tmp_path / "a.png", image, transparency=b"\x00\x80")
    assert (read_image(path) == (200, 100, 50)).all()


def test_cmyk_jpeg_becomes_rgb(tmp_path):
    path = save(tmp_path / "a.jpg", Image.new("CMYK", (12, 12), (0, 0, 0, 0)))
    assert (read_image(path) > 250).all()


def test_pixels_without_a_defined_range_are_refused(tmp_path):
    wide = save(tmp_path / "wide.tif", Image.fromarray(np.full((12, 12), 70_000, np.int32)))
    floating = save(tmp_path / "float.tif", Image.fromarray(np.full((12, 12), 0.5, np.float32)))
    small = save(tmp_path / "small.tif", Image.fromarray(np.full((12, 12), 60_000, np.int32)))
    assert check_image(small) == read_image(small).shape[:2] == (12, 12)
    for action in (read_image, check_image):
        with pytest.raises(ImageError, match="more than 16 bits"):
            action(wide)
        with pytest.raises(ImageError, match="floating-point"):
            action(floating)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(tmp_path, suffix, orientation):
    upright = np.zeros((24, 40, 3), np.uint8)
    upright[:8, :16] = 255  # top left corner bright
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(upright), exif=exif)
    tagged = Image.fromarray(upright)
    tagged.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(tagged))
    pixels = read_image(path)
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).mean() < 12  # lossy formats blur the edge
    assert check_image(path) == pixels.shape[:2]


@pytest.mark.parametrize("value", [0, 9, 255])
def test_a_senseless_orientation_is_ignored(tmp_path, value):
    exif = Image.Exif()
    exif[0x0112] = value
    path = save(tmp_path / "a.jpg", Image.new("RGB", (20, 12)), exif=exif)
    assert check_image(path) == (12, 20) and read_image(path).shape == (12, 20, 3)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "bmp"])
@pytest.mark.parametrize("missing", [20, 0.5])
def test_a_truncated_file_is_found_without_a_full_read(tmp_path, suffix, missing):
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(photograph(64, 64)))
    content = path.read_bytes()
    path.write_bytes(content[: -missing if missing > 1 else int(len(content) * missing)])
    with pytest.raises(ImageError, match="damaged or truncated"):
        check_image(path)


def test_what_a_camera_appends_to_a_jpeg_is_no_damage(tmp_path):
    path = save(tmp_path / "a.jpg", Image.fromarray(photograph(64, 80)))
    path.write_bytes(path.read_bytes() + b"\0" * 5000)  # the end marker is then far from the end of the file
    assert check_image(path) == (64, 80)


def test_a_flipped_byte_in_a_png_is_found(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(photograph(64, 64)))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(ImageError, match="damaged"):
        check_image(path)


def test_icons_are_too_small(tmp_path):
    assert check_image(save(tmp_path / "a.png", Image.new("RGB", (10, 10)))) == (10, 10)
    with pytest.raises(ImageError, match="40 x 9 pixels"):
        check_image(save(tmp_path / "b.png", Image.new("RGB", (40, 9))))


def test_a_jpeg_may_be_decoded_smaller_but_never_below_the_wish(tmp_path):
    path = save(tmp_path / "a.jpg", Image.fromarray(photograph(400, 640)))
    assert read_image(path, at_least=320).shape == (200, 320, 3)
    assert max(read_image(path, at_least=321).shape) == 640
    assert read_image(path, at_least=5000).shape == (400, 640, 3)
    png = save(tmp_path / "a.png", Image.fromarray(photograph(40, 64)))
    assert read_image(png, at_least=8).shape == (40, 64, 3)


def test_names_of_files_do_not_matter(tmp_path):
    path = tmp_path / "Bild mit Ümläut #1.jpg"
    buffer = io.BytesIO()
    Image.new("RGBA", (30, 20), (9, 8, 7, 255)).save(buffer, format="PNG")
    path.write_bytes(buffer.getvalue())
    assert check_image(path) == (20, 30)
    assert (read_image(path) == (9, 8, 7)).all()


def test_traps_load_or_are_refused_with_a_reason(real_data):
    sizes = {}
    for path in sorted((real_data / "traps" / "images").iterdir()):
        try:
            sizes[path.name] = check_image(path)
            pixels = read_image(path)
            assert pixels.dtype == np.uint8 and pixels.shape == (*sizes[path.name], 3)
        except ImageError as error:
            sizes[path.name] = error.reason
    truncated = sizes.pop("truncated.jpg")
    assert "truncated" in truncated
    assert sizes == {
        "dayride_type1_001.mp4#t=1086.jpg": (720, 1280),
        "exif_orientation_invalid.jpg": (321, 480),
        "mode_I16.png": (220, 220),
        "mode_L.png": (220, 220),
        "mode_P.png": (219, 225),
        "mode_RGBA.png": (219, 225),
        "png_named.jpg": (720, 720),
    }


def saved(path: Path, values: np.ndarray) -> np.ndarray:
    """What is read of a 16-bit grey image: one channel, as whole numbers."""
    Image.fromarray(values.astype(np.uint16)).save(path)
    pixels = read_image(path)
    assert (pixels[..., 0] == pixels[..., 2]).all()
    return pixels[..., 0].astype(int)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_twelve_bit_camera_fills_the_range_whatever_its_offset(tmp_path, suffix):
    ramp = np.arange(4000).reshape(40, 100)  # by hand: 0.1 % of 4000 pixels are 4, so value 3 is black, 3995 white
    pixels = saved(tmp_path / f"a.{suffix}", ramp)
    assert pixels.ravel()[[0, 3, 1999, 3995, 3999]].tolist() == [0, 0, round(1996 * 255 / 3992), 255, 255]
    assert (np.diff(pixels.ravel()) >= 0).all() and len(np.unique(pixels)) == 256
    assert (saved(tmp_path / f"b.{suffix}", ramp * 3 + 700) == pixels).all()  # absolute brightness is given up


def test_hot_pixels_do_not_darken_the_picture_but_a_mask_keeps_its_spots(tmp_path):
    ramp = np.arange(10_000).reshape(100, 100) % 1000
    hot = ramp.copy()
    hot[0, :5] = 65535  # 5 of 10,000 pixels: fewer than 0.1 %
    assert np.abs(saved(tmp_path / "hot.png", hot) - saved(tmp_path / "ramp.png", ramp))[1:].max() <= 1
    mask = np.zeros((100, 100), int)
    mask[3, 3], mask[4, 4] = 2, 1
    pixels = saved(tmp_path / "mask.png", mask)
    assert (pixels[3, 3], pixels[4, 4], pixels[0, 0]) == (255, 128, 0)


def test_sixteen_bit_trap_is_stretched_between_its_percentiles(real_data):
    path = real_data / "traps" / "images" / "mode_I16.png"
    with Image.open(path) as image:
        raw = np.asarray(image).astype(float)
    ranked, tail = np.sort(raw.ravel()), 48  # 0.1 % of 220 x 220 pixels
    low, high = ranked[tail - 1], ranked[-tail - 1]
    expected = np.clip((raw - low) / (high - low) * 255, 0, 255)
    assert np.abs(read_image(path)[..., 0] - expected).max() <= 0.5


def test_the_first_of_several_pages_is_read(tmp_path):
    pages = [Image.new("L", (20, 12), value) for value in (50, 90, 200)]
    path = tmp_path / "stack.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert page_count(path) == 3 and check_image(path) == (12, 20)
    assert (read_image(path) == 50).all()
    assert page_count(save(tmp_path / "one.tiff", pages[0])) == page_count(tmp_path / "any.png") == 1
    with pytest.raises(ImageError, match="does not exist"):
        page_count(tmp_path / "gone.tif")


def claiming(path: Path, width: int, height: int, more: int = 0) -> Path:
    """A PNG whose header claims so many grey pixels, with `more` bytes behind it."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data + struct.pack(">I", more) + b"IDAT" + b"\0" * more)
    return path


def test_an_image_of_182_million_pixels_is_read_without_a_warning(tmp_path):
    path = save(tmp_path / "scan.png", Image.new("L", (13_500, 13_500), 90), compress_level=1)
    before = Image.MAX_IMAGE_PIXELS
    assert check_image(path) == (13_500, 13_500) and Image.MAX_IMAGE_PIXELS == before
    with opened(path) as image:
        assert image.getpixel((13_499, 13_499)) == 90


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path):
    small = claiming(tmp_path / "small.png", 13_500, 13_500)
    large = claiming(tmp_path / "large.png", 40_000, 40_000, more=1_000_000)
    for action in (read_image, check_image):
        with pytest.raises(ImageError, match="claims to hold 13500 x 13500 pixels, for which its 41 bytes are too few"):
            action(small)
        with pytest.raises(ImageError, match="at most 1,000 million are read; cut it into parts with the program"):
            action(large)


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "ppm", "pgm"])
def test_rarer_suffixes_are_images_too(tmp_path, suffix):
    kind, mode = ("PPM", "L" if suffix == "pgm" else "RGB") if suffix.startswith("p") else ("JPEG", "RGB")
    path = save(tmp_path / f"a.{suffix.upper()}", Image.new(mode, (20, 12)), format=kind)
    assert list(image_files([tmp_path])) == [path] and check_image(path) == (12, 20)


def link(place: Path, target: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        place.symlink_to(target, target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")


def test_links_to_folders_are_followed_once_and_never_round(tmp_path):
    for name in ("set/images/z/1.png", "set/labels/2.png", "disk/b/3.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    images = tmp_path / "set" / "images"
    link(images / "a", images / "z")  # the same folder again
    link(images / "c", tmp_path / "disk")
    link(images / "d" / "up", tmp_path / "set")  # what holds the folder is no part of it
    link(tmp_path / "disk" / "round", images)
    found = [images / "c" / "b" / "3.png", images / "z" / "1.png"]
    assert files_below(images) == found and list(image_files([images])) == found
    assert files_below(tmp_path / "nowhere") == []
