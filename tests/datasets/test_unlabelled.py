"""Items without labels: every form they come in, and what is refused."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from fewshot.datasets.unlabelled import load_items
from fewshot.errors import DataError, FewShotWarning, MissingDataError


@pytest.fixture
def folder(tmp_path, own_cache):
    rng = np.random.default_rng(0)
    for name in ("b.png", "inner/a.jpg", "inner/deep/c.PNG"):
        path = tmp_path / "new" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).save(path)
    return tmp_path / "new"


def test_a_folder_of_images_at_any_depth(folder):
    items, names = load_items(folder, size=6)
    assert items.shape == (3, 3, 6, 6) and items.dtype == np.uint8
    assert names == ["b.png", "inner/a.jpg", "inner/deep/c.PNG"]


def test_a_zip_and_a_single_image_are_the_same_pixels(folder):
    with zipfile.ZipFile(folder.parent / "new.zip", "w") as archive:
        archive.write(folder / "b.png", "b.png")
    whole = load_items(folder, size=6).items[:1]
    for path in (folder.parent / "new.zip", folder / "b.png"):
        items, names = load_items(path, size=6)
        np.testing.assert_array_equal(items, whole)
        assert names == ["b.png"]


def test_images_are_known_by_content(folder):
    for name in ("d.jfif", "photo"):
        Image.new("RGB", (9, 9), (200, 10, 10)).save(folder / name, format="JPEG")
        items, names = load_items(folder / name, size=6)
        assert names == [name] and items[0, 0].min() > 180
    (folder / "notes.txt").write_text("no image")
    with pytest.warns(FewShotWarning, match="passed over: 1 .txt$"):
        assert len(load_items(folder, size=6).names) == 5


def test_tables_need_no_label(folder):
    whole, table = load_items(folder, size=6).items, folder / "t.csv"
    table.write_text("path,more\nb.png,1\ninner/a.jpg,2\n")
    items, names = load_items(table, size=6)
    np.testing.assert_array_equal(items, whole[:2])
    assert names == ["b.png", "inner/a.jpg"]
    (folder / "t.jsonl").write_text('{"text": "one"}\n\n{"text": "two words"}\n')
    items, names = load_items(folder / "t.jsonl")
    assert items.tolist() == names == ["one", "two words"]


def test_lines_and_arrays(tmp_path):
    (tmp_path / "t.txt").write_text("\ufeffone\n\n  two words \n", encoding="utf-8")
    assert load_items(tmp_path / "t.txt").items.tolist() == ["one", "two words"]
    np.savez(tmp_path / "a.npz", x=np.arange(6.0).reshape(3, 2))
    items, names = load_items(tmp_path / "a.npz")
    assert items.tolist() == [[0, 1], [2, 3], [4, 5]] and names == ["row 0", "row 1", "row 2"]


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("none.txt", None, MissingDataError, "got nothing there"),
        ("a.pdf", b"x", DataError, "one that ends in '.pdf' and is no readable image"),
        ("a.heic", b"\0\0\0\x18ftypheic", DataError, "one that ends in '.heic' and is no readable image"),
        ("a.txt", b" \n", DataError, "a line for each text, got none"),
        ("a.txt", b"\xff\xfe\xfa", DataError, "text in UTF-8"),
        ("a.csv", b"label\nx\n", DataError, r"must have the columns one of 'text' and 'path', got \['label'\]"),
        ("a.csv", b"text\nx\n' '\n", None, ""),
        ("a.csv", b"text,n\nx,1\n ,2\n", DataError, "must have a text in every row, got ' ' at line 3"),
        ("a.csv", b"path\nnone.png\n", MissingDataError, "got 'none.png' at line 2, which is not there"),
        ("a.npz", b"x", DataError, "must be a whole .npz file"),
        ("a.png", b"x", DataError, "must be a whole image file"),
    ],
)
def test_what_is_refused(tmp_path, own_cache, name, content, error, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    if error is None:
        assert len(load_items(tmp_path / name).items) == 2
        return
    with pytest.raises(error, match=message):
        load_items(tmp_path / name)


def test_an_empty_folder_and_an_array_of_another_name_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingDataError, match="must hold images, got none"):
        load_items(tmp_path / "empty")
    np.savez(tmp_path / "a.npz", z=np.zeros(2))
    with pytest.raises(DataError, match=r"must hold the array 'x', got \['z'\]"):
        load_items(tmp_path / "a.npz")
