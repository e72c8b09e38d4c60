import zipfile

import numpy as np
import pytest
from PIL import Image

from fewshot.datasets.formats.folder import load_folder
from fewshot.datasets.formats.trees import Tree
from fewshot.errors import DataError, FewShotWarning, MissingDataError


def paint(path, value, size=(12, 9), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)


@pytest.fixture
def zoo(tmp_path, own_cache):
    """Five images of three classes with known colours, sizes and modes, and things to pass over."""
    root = tmp_path / "zoo"
    paint(root / "emu" / "b.png", (30, 0, 0))
    paint(root / "emu" / "a.PNG", (20, 0, 0), (50, 8))
    paint(root / "bee" / "z.bmp", 10, (8, 8), "L")
    paint(root / "cat" / "y.png", (40, 0, 0, 255), (9, 90), "RGBA")
    paint(root / "cat" / "x.gif", 0, (9, 9), "P")
    (root / "cat" / "Thumbs.db").write_bytes(b"no image")
    (root / "cat" / ".hidden.png").write_bytes(b"no image")
    (root / ".git").mkdir()
    (root / ".DS_Store").write_bytes(b"")
    return root


def check_zoo(collection):
    assert collection.class_names == ("bee", "cat", "emu")
    assert [n.split("/")[-1] for n in collection.item_names] == ["z.bmp", "x.gif", "y.png", "a.PNG", "b.png"]
    assert collection.labels.tolist() == [0, 1, 1, 2, 2]
    assert collection.items.shape == (5, 3, 8, 8)
    assert collection.items[:, 0, 4, 4].tolist() == [10, 0, 40, 20, 30]
    assert isinstance(collection.items, np.memmap)
    assert collection.name == "zoo"
    assert not collection.splits


def zipped(folder, target, inside=""):
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*"), reverse=True):
            archive.write(path, f"{inside}{path.relative_to(folder).as_posix()}")
    return target


def test_a_folder_of_class_folders(zoo):
    check_zoo(load_folder(zoo, size=8))
    check_zoo(load_folder(str(zoo), size=8))
    assert load_folder(zoo).items.shape == (5, 3, 84, 84)
    assert load_folder(zoo, name="animals").qualified_names()[0] == "animals:bee"


@pytest.mark.parametrize("size", [0, -3])
def test_sizes_that_are_none_are_refused(zoo, size):
    with pytest.raises(DataError, match=f"the size of images must be a whole number of 1 or more pixels, got {size}"):
        load_folder(zoo, size=size)


def test_a_zip_of_it_with_and_without_a_folder_around(zoo, tmp_path):
    (tmp_path / "plain").mkdir()
    check_zoo(load_folder(zipped(zoo, tmp_path / "plain" / "zoo.zip"), size=8))
    check_zoo(load_folder(zipped(zoo, tmp_path / "zoo.zip", "outer/inner/"), size=8))


def test_folder_and_zip_have_equal_pixels_and_hash(zoo, tmp_path):
    assert load_folder(zipped(zoo, tmp_path / "zoo.zip"), size=8).hash == load_folder(zoo, size=8).hash


def test_folders_of_other_systems_are_passed_over(zoo, tmp_path):
    archive = zipped(zoo, tmp_path / "zoo.zip")
    with zipfile.ZipFile(archive, "a") as more:
        more.writestr("__MACOSX/emu/._b.png", b"resource fork")
    check_zoo(load_folder(archive, size=8))


def test_split_folders(zoo, tmp_path):
    paint(tmp_path / "all" / "train" / "emu" / "1.png", (1, 0, 0))
    paint(tmp_path / "all" / "train" / "cat" / "2.png", (2, 0, 0))
    paint(tmp_path / "all" / "Validation" / "owl" / "3.png", (3, 0, 0))
    paint(tmp_path / "all" / "test" / "bee" / "4.png", (4, 0, 0))
    paint(tmp_path / "all" / "test" / "emu" / "5.png", (5, 0, 0))
    whole = load_folder(tmp_path / "all", size=4)
    assert whole.class_names == ("bee", "cat", "emu", "owl")
    values = {name: whole.split(name).items[:, 0, 0, 0].tolist() for name in whole.splits}
    assert values == {"train": [2, 1], "val": [3], "test": [4, 5]}
    assert whole.split("test").class_names == ("bee", "emu")
    assert load_folder(zipped(tmp_path / "all", tmp_path / "all.zip"), size=4).splits.keys() == whole.splits.keys()


def test_a_further_folder_beside_splits_is_a_split(tmp_path, own_cache):
    for k, place in enumerate(("train/emu", "test/bee", "extra/emu", "extra/owl")):
        paint(tmp_path / "all" / place / "1.png", (k, 0, 0))
    whole = load_folder(tmp_path / "all", size=4)
    assert whole.class_names == ("bee", "emu", "owl")
    assert {name: len(rows) for name, rows in whole.splits.items()} == {"extra": 2, "test": 1, "train": 1}
    paint(tmp_path / "all" / "sheets" / "1.png", (9, 0, 0))
    with pytest.raises(
        DataError, match=r"class folder of a split, as in \['extra', .*got 'sheets/1.png' outside of one"
    ):
        load_folder(tmp_path / "all", size=4)


def test_one_split_beside_a_folder_with_its_classes(tmp_path, own_cache):
    for k, place in enumerate(("train/emu", "train/bee", "later/emu")):
        paint(tmp_path / "all" / place / "1.png", (k, 0, 0))
    assert set(load_folder(tmp_path / "all", size=4).splits) == {"train", "later"}
    for k, place in enumerate(("train/steam", "train/express", "bus/city")):  # vehicles, of which a train is one
        paint(tmp_path / "vehicles" / place / "1.png", (k, 0, 0))
    vehicles = load_folder(tmp_path / "vehicles", size=4)
    assert not vehicles.splits and vehicles.class_names == ("bus/city", "train/express", "train/steam")


@pytest.mark.parametrize("as_zip", [False, True])
def test_images_are_known_by_content_and_the_rest_is_counted(tmp_path, own_cache, as_zip):
    for name, form in (
        ("a.jfif", "JPEG"),
        ("b.JPE", "JPEG"),
        ("c.avif", "AVIF"),
        ("d", "PNG"),
        ("e.dat", "WEBP"),
        ("f.old", "BMP"),
    ):
        (tmp_path / "zoo" / "emu").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (200, 10, 10)).save(tmp_path / "zoo" / "emu" / name, format=form)
    for name in ("notes.txt", "more.TXT", "phone.heic", "README"):
        (tmp_path / "zoo" / "emu" / name).write_bytes(b"\0\0\0\x18ftypheic no image")
    source = zipped(tmp_path / "zoo", tmp_path / "zoo.zip") if as_zip else tmp_path / "zoo"
    told = r"passed over: 1 .heic, 2 .txt, 1 without ending; convert photos among them to .jpg"
    with pytest.warns(FewShotWarning, match=told):
        zoo = load_folder(source, size=4)
    assert [name.split("/")[-1] for name in zoo.item_names] == ["a.jfif", "b.JPE", "c.avif", "d", "e.dat", "f.old"]
    assert zoo.items[:, 0, 0, 0].min() > 180


def test_raw_photos_which_begin_as_tiff_does_are_counted(zoo):
    Image.new("RGB", (9, 9)).save(zoo / "emu" / "c.dng", format="TIFF")
    with pytest.warns(FewShotWarning, match="passed over: 1 .dng"):
        check_zoo(load_folder(zoo, size=8))


def test_one_split_alone_is_still_a_split(tmp_path, own_cache):
    paint(tmp_path / "all" / "test" / "bee" / "4.png", (4, 0, 0))
    assert load_folder(tmp_path / "all", size=4).split("test").class_names == ("bee",)


def test_a_class_called_test_among_others_is_a_class(zoo):
    paint(zoo / "test" / "1.png", (1, 0, 0))
    assert load_folder(zoo, size=8).class_names == ("bee", "cat", "emu", "test")


def test_nested_classes_keep_their_path(tmp_path, own_cache):
    paint(tmp_path / "o" / "Greek" / "alpha" / "1.png", (1, 0, 0))
    paint(tmp_path / "o" / "Latin" / "alpha" / "2.png", (2, 0, 0))
    assert load_folder(tmp_path / "o", size=4).class_names == ("Greek/alpha", "Latin/alpha")


def test_linked_class_folders_count(zoo, tmp_path):
    paint(tmp_path / "elsewhere" / "1.png", (1, 0, 0))
    (zoo / "owl").symlink_to(tmp_path / "elsewhere")
    assert load_folder(zoo, size=8).class_names == ("bee", "cat", "emu", "owl")


def test_decoded_once_and_again_when_a_file_changes(zoo, own_cache):
    first = load_folder(zoo, size=8).hash
    (file,) = (own_cache / "pixels").iterdir()
    before = file.stat().st_mtime_ns
    assert load_folder(zoo, size=8).hash == first
    assert file.stat().st_mtime_ns == before
    paint(zoo / "emu" / "b.png", (31, 0, 0), (40, 40))
    assert load_folder(zoo, size=8).items[4, 0, 0, 0] == 31


@pytest.mark.parametrize("as_zip", [False, True])
def test_an_unreadable_image_is_named(zoo, tmp_path, own_cache, as_zip):
    whole = (zoo / "emu" / "b.png").read_bytes()
    (zoo / "emu" / "b.png").write_bytes(whole[:40])
    source = zipped(zoo, tmp_path / "zoo.zip") if as_zip else zoo
    with pytest.raises(DataError, match=r"emu/b\.png' must be a whole image file, got unreadable bytes"):
        load_folder(source, size=8)
    assert not list(own_cache.rglob("*.npy"))


@pytest.mark.parametrize("as_zip", [False, True])
def test_a_class_without_images_is_named(zoo, tmp_path, own_cache, as_zip):
    (zoo / "dog").mkdir()
    (zoo / "dog" / "Thumbs.db").write_text("")
    (zoo / "eel").mkdir()
    source = zipped(zoo, tmp_path / "zoo.zip") if as_zip else zoo
    with pytest.raises(DataError, match=r"needs an image, got none in 'dog' \(2 such folders\); add images or remove"):
        load_folder(source, size=8)


def test_images_outside_of_classes_are_named(zoo):
    paint(zoo / "stray.png", (1, 0, 0))
    with pytest.raises(DataError, match=r"every image must lie in a class folder, got 'stray\.png' outside of one"):
        load_folder(zoo, size=8)


def test_nothing_there(tmp_path, own_cache):
    with pytest.raises(
        MissingDataError, match=r"nowhere' must be a folder of class folders or a zip of one, got nothing"
    ):
        load_folder(tmp_path / "nowhere")
    with pytest.raises(MissingDataError, match=r"must hold class folders with images, got no image"):
        load_folder(tmp_path)


def test_damaged_zips_are_named(zoo, tmp_path):
    archive = zipped(zoo, tmp_path / "zoo.zip")
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        DataError, match=r"zoo\.zip' must be a whole zip file, got: File is not a zip file; fetch it again"
    ):
        load_folder(archive, size=8)
    start = whole.index(b"emu/b.png") + 20
    archive.write_bytes(whole[:start] + bytes(20) + whole[start + 20 :])
    with pytest.raises(DataError, match=r"'emu/b\.png' in '.*zoo\.zip' must be readable, got: .*; fetch the zip again"):
        load_folder(archive, size=8)


def test_encrypted_members_are_named(zoo, tmp_path):
    archive = zipped(zoo, tmp_path / "zoo.zip")
    content = bytearray(archive.read_bytes())
    for marker, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # set the flag that says "encrypted"
        at = -1
        while (at := content.find(marker, at + 1)) >= 0:
            content[at + offset] |= 1
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"must be readable, got: .*password"):
        load_folder(archive, size=8)


def test_a_file_that_vanishes_is_named(zoo):
    tree = Tree(zoo)
    assert "emu/b.png" in tree.files
    (zoo / "emu" / "b.png").unlink()
    with pytest.raises(DataError, match=r"emu/b\.png' must be readable, got 'No such file or directory'"):
        list(tree.read(["emu/b.png"]))


def test_caltech_101(data_root):
    """Published counts: 101 classes, 8,677 images, 31 to 800 a class; the copy has 84 pixels on the shorter side."""
    path = data_root("caltech101") / "caltech101_84px.zip"
    caltech = load_folder(path)
    counts = np.bincount(caltech.labels)
    assert (len(caltech), len(counts), counts.min(), counts.max()) == (8677, 101, 31, 800)
    assert caltech.items.shape == (8677, 3, 84, 84)
    assert {"Faces", "accordion", "yin_yang"} <= set(caltech.class_names)
    with zipfile.ZipFile(path) as archive:
        for row in (0, 4321, 8676):
            pixels = np.asarray(Image.open(archive.open(caltech.item_names[row])).convert("RGB"))
            top, left = ((side - 84) // 2 for side in pixels.shape[:2])
            centre = pixels[top : top + 84, left : left + 84]
            np.testing.assert_array_equal(caltech.items[row], centre.transpose(2, 0, 1))
