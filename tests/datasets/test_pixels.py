import errno
import io
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from fewshot.datasets.formats.pixels import decode, decoded, square, stamp
from fewshot.datasets.formats.resizing import deep_key
from fewshot.errors import DataError, FewShotWarning
from fewshot.plumbing import files

SHAPE = (5, 1, 4, 4)
PIXELS = np.random.default_rng(0).integers(256, size=SHAPE, dtype=np.uint8)


def build(source=("a",), shape=SHAPE, calls=None):
    def images():
        if calls is not None:
            calls.append(1)
        yield from PIXELS

    return decoded("tiny", source, shape, images)


def cache_files(folder):
    return sorted(p for p in folder.rglob("*") if p.is_file())


def test_built_once_and_memory_mapped(own_cache):
    calls = []
    for _ in range(3):
        found = build(calls=calls)
        np.testing.assert_array_equal(found, PIXELS)
        assert isinstance(found, np.memmap)
        assert not found.flags.writeable
    assert len(calls) == 1
    assert len(cache_files(own_cache)) == 1


def test_another_source_is_another_file(own_cache):
    calls = []
    build(("a", "b"), calls=calls)
    build(("ab",), calls=calls)
    assert len(calls) == len(cache_files(own_cache)) == 2


@pytest.mark.parametrize("keep", [0, 10, 128, 128 + 79])
def test_a_truncated_cache_is_noticed_and_rebuilt(own_cache, keep):
    build()
    (file,) = cache_files(own_cache)
    file.write_bytes(file.read_bytes()[:keep])
    calls = []
    np.testing.assert_array_equal(build(calls=calls), PIXELS)
    assert calls == [1]
    assert cache_files(own_cache) == [file]


def test_a_cache_of_other_content_is_rebuilt(own_cache):
    build()
    (file,) = cache_files(own_cache)
    for other in (np.zeros((4, 1, 4, 4), np.uint8), np.zeros(SHAPE, np.float32), np.array([{}], object)):
        np.save(file, other, allow_pickle=True)
        np.testing.assert_array_equal(build(), PIXELS)


def test_an_error_while_decoding_leaves_nothing(own_cache):
    def images():
        yield PIXELS[0]
        raise DataError("'x.png' must be a whole image file")

    with pytest.raises(DataError, match=r"x\.png"):
        decoded("tiny", ("a",), SHAPE, images)
    assert cache_files(own_cache) == []


def test_a_full_disk_leaves_no_cache(own_cache, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(
        DataError, match=r"'.*tiny-.*\.npy' must be writable, got 'No space left on device'; .*FEWSHOT_CACHE"
    ):
        build()
    assert cache_files(own_cache) == []
    monkeypatch.undo()
    monkeypatch.setenv("FEWSHOT_CACHE", str(own_cache))
    np.testing.assert_array_equal(build(), PIXELS)


def test_too_few_images_are_noticed(own_cache):
    with pytest.raises(DataError, match="must hold pixels"):
        decoded("tiny", ("a",), SHAPE, lambda: PIXELS[:4])


def test_two_processes_at_once_do_no_harm(own_cache):
    code = """
import sys, time, numpy as np
from fewshot.datasets.formats.pixels import decoded
images = np.random.default_rng(0).integers(256, size=(5, 1, 4, 4), dtype=np.uint8)
def slowly():
    for image in images:
        time.sleep(0.1)
        yield image
assert (decoded("tiny", ("a",), images.shape, slowly) == images).all()
"""
    workers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    assert len(cache_files(own_cache)) == 1
    calls = []
    np.testing.assert_array_equal(build(calls=calls), PIXELS)
    assert calls == []


def test_stamp_changes_with_the_file(tmp_path):
    file = tmp_path / "x"
    file.write_bytes(b"abc")
    first = stamp(file)
    assert stamp(file) == first
    os.utime(file, ns=(1, 1))
    touched = stamp(file)
    file.write_bytes(b"abcd")
    os.utime(file, ns=(1, 1))
    assert len({first, touched, stamp(file)}) == 3


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("spoil", [lambda b: b"", lambda b: b"no image", lambda b: b[: len(b) // 2], lambda b: b[:30]])
def test_unreadable_images_are_named(spoil):
    whole = png(Image.fromarray(np.random.default_rng(0).integers(256, size=(40, 40, 3), dtype=np.uint8)))
    assert decode(whole, "x.png").size == (40, 40)
    with pytest.raises(DataError, match=r"'a/x\.png' must be a whole image file, got.*; replace or remove"):
        decode(spoil(whole), "a/x.png")


def test_a_bomb_is_an_unreadable_image(monkeypatch):
    whole = png(Image.new("L", (40, 40)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match="decompression bomb"):
        decode(whole, "x.png")


def gradient(height, width):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows / height, columns / width, np.full((height, width), 0.5)], -1)


def as_image(values):
    return Image.fromarray(np.rint(values * 255).astype(np.uint8))


def centred(height, width, size):
    """What an image of a gradient must become: a coordinate of the centred square, computed from coordinates alone."""
    side = min(height, width)
    middle = (np.arange(size) + 0.5) * side / size - 0.5
    rows, columns = (middle + (height - side) / 2) / height, (middle + (width - side) / 2) / width
    expected = np.stack(
        [np.repeat(rows[:, None], size, 1), np.repeat(columns[None], size, 0), np.full((size, size), 0.5)]
    )
    return expected * 255


def stretched(height, width, size):
    """Planted wrong: the whole image squeezed into a square."""
    return square(as_image(gradient(height, width)).resize((size, size)), size, "")


def top_left(height, width, size):
    """Planted wrong: a crop from the corner."""
    side = min(height, width)
    return square(as_image(gradient(height, width)).crop((0, 0, side, side)), size, "")


def transposed(height, width, size):
    """Planted wrong: rows for columns."""
    return square(as_image(gradient(height, width)), size, "").transpose(0, 2, 1)


def right(height, width, size):
    return square(as_image(gradient(height, width)), size, "")


def check_square(make, height, width, size):
    made = make(height, width, size)
    assert made.dtype == np.uint8
    assert made.flags.c_contiguous or make is transposed
    inner = (slice(None), slice(1, -1), slice(1, -1))  # at the border a filter has fewer neighbours
    np.testing.assert_allclose(made[inner], centred(height, width, size)[inner], atol=1.6)


@pytest.mark.parametrize(("height", "width"), [(60, 90), (90, 60), (64, 64), (21, 33)])
def test_shorter_side_then_centre(height, width):
    check_square(right, height, width, 32)


@pytest.mark.slip
@pytest.mark.parametrize("wrong", [stretched, top_left, transposed])
def test_planted_wrong_crops_are_caught(wrong):
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_square(wrong, 60, 90, 32)


def test_an_image_of_the_right_size_stays_as_it_is():
    pixels = np.random.default_rng(0).integers(256, size=(12, 12, 3), dtype=np.uint8)
    np.testing.assert_array_equal(square(Image.fromarray(pixels), 12, ""), pixels.transpose(2, 0, 1))


def test_every_mode_becomes_rgb():
    grey = np.full((4, 4), 200, np.uint8)
    flat = [
        Image.fromarray(grey),
        Image.fromarray(grey).convert("RGB"),
        Image.fromarray(grey).convert("P"),
        Image.fromarray(np.full((4, 4), 200 * 256 + 55, np.uint16)),
        Image.fromarray(np.full((4, 4), 200 * 256 + 55, np.int32)),
        Image.fromarray(grey).convert("CMYK"),
    ]
    for image in flat:
        assert square(image, 4, "").tolist() == np.full((3, 4, 4), 200).tolist(), image.mode
    assert square(Image.new("1", (4, 4), 1), 4, "").min() == 255


@pytest.mark.parametrize("kind", [np.uint16, np.int32])
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_grey_that_does_not_fill_16_bits_is_read_with_the_bits_that_it_uses(kind, bits):
    grey = np.arange(256).reshape(16, 16)
    image = Image.fromarray((grey << (bits - 8)).astype(kind))
    with pytest.warns(FewShotWarning, match=f"uses only {bits} of them and is read as one of {bits} bits"):
        made = square(image, 16, "")
    assert made.tolist() == np.broadcast_to(grey, (3, 16, 16)).tolist()


def test_grey_of_16_bits_and_black():
    grey = np.arange(256).reshape(16, 16)
    assert square(Image.fromarray((grey << 8).astype(np.uint16)), 16, "")[0].tolist() == grey.tolist()
    assert square(Image.fromarray(np.zeros((4, 4), np.uint16)), 4, "").max() == 0


@pytest.mark.parametrize(("value", "got"), [(-1, "-1..0"), (65536, "0..65536")])
def test_grey_outside_of_16_bits_is_refused(value, got):
    pixels = np.zeros((4, 4), np.int32)
    pixels[1, 1] = value
    with pytest.raises(DataError, match=rf"in 0..65535, got {got} in 'a.tif'; save it with 8 or 16 bits"):
        square(Image.fromarray(pixels), 4, "a.tif")


def test_only_jpeg_keeps_its_place_in_the_cache():
    assert deep_key(["a.jpg", "b.JPEG"]) == [] != deep_key(["a.jpg", "b.png"])


def test_transparent_parts_are_white():
    image = Image.new("RGBA", (4, 4), (10, 20, 30, 255))
    image.putpixel((3, 0), (0, 0, 0, 0))
    made = square(image, 4, "")
    assert made[:, 0, 3].tolist() == [255, 255, 255]
    assert made[:, 1, 1].tolist() == [10, 20, 30]
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    palette.info["transparency"] = 0
    assert square(palette, 4, "").min() == 255


def test_orientation_of_a_camera_is_obeyed():
    image = Image.fromarray(np.zeros((4, 4, 3), np.uint8))
    image.putpixel((0, 0), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it turned clockwise
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    assert square(decode(buffer.getvalue(), ""), 4, "")[0].nonzero() == ([0], [3])


def test_floats_are_refused():
    with pytest.raises(DataError, match=r"whole numbers for pixels, got floats in 'x\.tif'"):
        square(Image.new("F", (4, 4)), 4, "x.tif")
