import hashlib
import io
import shutil
import zipfile
from functools import lru_cache

import numpy as np
import pytest
from PIL import Image

from fewshot.datasets.named import omniglot
from fewshot.datasets.named.omniglot import load_omniglot
from fewshot.episodes import EpisodeSampler, EpisodeSpec
from fewshot.errors import DataError, MissingDataError

loaded = lru_cache(load_omniglot)  # one reading for all tests of this file


@pytest.fixture
def real(data_root):
    data_root("omniglot")
    return loaded


def drawing(seed, size=105):
    """A 1-bit image, black on white, as the archives have them."""
    paper = np.random.default_rng(seed).random((size, size)) > 0.1
    buffer = io.BytesIO()
    Image.fromarray(paper).save(buffer, "PNG")
    return paper, buffer.getvalue()


@pytest.fixture
def tiny(tmp_path, monkeypatch, own_cache):
    """Five characters with two drawings each in two extracted folders, taken for all of Omniglot."""
    papers = []
    for part, alphabets in (("images_background", "BA"), ("images_evaluation", "C")):
        for alphabet in alphabets:
            for character in range(1, 3 if alphabet != "B" else 2):
                for drawer in (1, 2):
                    seed = ord(alphabet) * 100 + character * 10 + drawer
                    path = (
                        tmp_path / "omniglot" / part / alphabet / f"character{character:02d}" / f"00_{drawer:02d}.png"
                    )
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(drawing(seed)[1])
                    papers.append((part, str(path), drawing(seed)[0]))
    papers = [paper for _, _, paper in sorted(papers, key=lambda p: p[:2])]
    packed = b"".join(np.packbits(paper, axis=1).tobytes() for paper in papers)
    monkeypatch.setattr(omniglot, "CHARACTERS", (3, 2))
    monkeypatch.setattr(omniglot, "DRAWERS", 2)
    monkeypatch.setattr(omniglot, "PIXELS_SHA256", hashlib.sha256(packed).hexdigest())
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    return tmp_path / "omniglot", np.stack(papers)


def zip_part(folder, part, inside):
    with zipfile.ZipFile(folder / f"{part}.zip", "w") as archive:
        for file in sorted((folder / part).rglob("*.png"), reverse=True):
            archive.write(file, f"{inside}{file.relative_to(folder / part).as_posix()}")
    shutil.rmtree(folder / part)


def test_folders_and_zips_give_the_same(tiny):
    folder, papers = tiny
    from_folders = load_omniglot("background-evaluation", "none", size=105)
    np.testing.assert_array_equal(from_folders.items[:, 0], np.where(papers, 0, 255))
    zip_part(folder, "images_background", "images_background/")
    zip_part(folder, "images_evaluation", "")
    from_zips = load_omniglot("background-evaluation", "none", size=105)
    assert from_zips.hash == from_folders.hash
    assert from_zips.class_names == (
        "A/character01",
        "A/character02",
        "B/character01",
        "C/character01",
        "C/character02",
    )
    assert from_zips.item_names[:2] == ["A/character01/00_01.png", "A/character01/00_02.png"]


def test_other_files_and_folders_of_archives_are_passed_over(tiny):
    folder, _ = tiny
    (folder / "images_background" / ".DS_Store").write_bytes(b"")
    (folder / "images_background" / "A" / "notes.txt").write_bytes(b"")
    assert len(load_omniglot("background-evaluation", "none")) == 10


def test_a_changed_pixel_is_found(tiny, own_cache):
    folder, _ = tiny
    (folder / "images_evaluation" / "C" / "character02" / "00_02.png").write_bytes(drawing(7)[1])
    with pytest.raises(DataError, match=r"pixels must have the SHA-256 .*, got .*; some image was changed: fetch"):
        load_omniglot()
    assert not [p for p in own_cache.rglob("*") if p.is_file()]


def test_a_missing_drawing_is_found(tiny):
    folder, _ = tiny
    (folder / "images_evaluation" / "C" / "character02" / "00_02.png").unlink()
    with pytest.raises(DataError, match="must have 10 images of 5 characters, 2 each, got 9 of 5; extract or fetch"):
        load_omniglot()


def test_a_drawing_in_the_wrong_place_is_found(tiny):
    folder, _ = tiny
    character = folder / "images_evaluation" / "C"
    (character / "character02" / "00_02.png").rename(character / "character01" / "00_03.png")
    with pytest.raises(DataError, match="must have 10 images of 5 characters, 2 each, got 10 of 5"):
        load_omniglot()


def test_a_torn_image_is_named(tiny, own_cache):
    folder, _ = tiny
    file = folder / "images_evaluation" / "C" / "character02" / "00_02.png"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(DataError, match=r"character02/00_02\.png' must be a whole image file"):
        load_omniglot()
    assert not [p for p in own_cache.rglob("*") if p.is_file()]


def test_an_image_with_grey_pixels_is_named(tiny):
    folder, _ = tiny
    Image.new("L", (105, 105)).save(folder / "images_evaluation" / "C" / "character02" / "00_02.png")
    with pytest.raises(DataError, match=r"one bit a pixel, got mode 'L' in '.*character02/00_02\.png'"):
        load_omniglot()


def test_a_torn_zip_is_named(tiny):
    folder, _ = tiny
    zip_part(folder, "images_evaluation", "")
    archive = folder / "images_evaluation.zip"
    archive.write_bytes(archive.read_bytes()[:500])
    with pytest.raises(DataError, match=r"images_evaluation\.zip' must be a whole zip file"):
        load_omniglot()


def test_one_part_alone(tiny):
    folder, _ = tiny
    shutil.rmtree(folder / "images_evaluation")
    with pytest.raises(
        MissingDataError, match=r"needs 'images_evaluation\.zip' or the extracted folder 'images_evaluation'"
    ):
        load_omniglot()


def test_wrong_settings(tiny):
    with pytest.raises(DataError, match=r"split must be one of vinyals, .* got 'vinyls' and 'classes'"):
        load_omniglot("vinyls")
    with pytest.raises(DataError, match="rotations 'classes' or 'none', got 'vinyals' and 'all'"):
        load_omniglot(rotations="all")


def test_nearest_neighbour_at_28_pixels(tiny):
    """The pixel at the centre of each of 28 x 28 cells, computed by index and not by Pillow."""
    _, papers = tiny
    centres = ((np.arange(28) + 0.5) * 105 / 28).astype(int)
    expected = np.where(papers[:, centres][:, :, centres], 0, 255)
    np.testing.assert_array_equal(load_omniglot("background-evaluation", "none").items[:, 0], expected)


def test_rotated_classes_turn_counter_clockwise(tiny):
    """Against Pillow, whose ``rotate`` the code of Snell et al. (2017) calls."""
    turned = load_omniglot("background-evaluation")
    base = load_omniglot("background-evaluation", "none")
    assert len(turned.class_names) == 4 * len(base.class_names)
    for k, angle in enumerate((0, 90, 180, 270)):
        for row in (0, 7):
            expected = Image.fromarray(np.array(base.items[row, 0])).rotate(angle)
            np.testing.assert_array_equal(turned.items[k * len(base) + row, 0], np.asarray(expected))
            name = turned.class_names[turned.labels[k * len(base) + row]]
            assert name == base.class_names[base.labels[row]] + (f"/rotated{angle}" if angle else "")


def as_ours(name):
    """``Greek/character01/rot090`` of the released lists as we call it."""
    character, angle = name.rsplit("/rot", 1)
    return character if angle == "000" else f"{character}/rotated{int(angle)}"


@pytest.mark.parametrize("split", ["train", "val", "trainval", "test"])
def test_vinyals_equals_the_released_lists(real, data_root, split):
    """Lists of github.com/jakesnell/prototypical-networks, with all four angles."""
    listed = (data_root("omniglot") / "splits_vinyals" / f"{split}.txt").read_text().split()
    whole = real()
    ours = whole.labels[whole.splits[split]]
    assert {whole.class_names[k] for k in ours} == {as_ours(name) for name in listed}
    assert len(ours) == 20 * len(listed) == 20 * {"train": 4112, "val": 688, "trainval": 4800, "test": 1692}[split]


def test_vinyals_cuts_through_gurmukhi(real):
    """The one alphabet that is on both sides of the split: characters 01 to 41 train, 42 to 45 test."""
    whole = real(rotations="none")
    sides = {
        name: {whole.class_names[k] for k in np.unique(whole.labels[whole.splits[name]])}
        for name in ("train", "val", "test")
    }
    alphabets = {name: {c.split("/")[0] for c in characters} for name, characters in sides.items()}
    assert alphabets["train"] & alphabets["test"] == {"Gurmukhi"}
    assert not alphabets["val"] & (alphabets["train"] | alphabets["test"])
    assert {c for c in sides["test"] if c.startswith("Gurmukhi/")} == {f"Gurmukhi/character{n}" for n in range(42, 46)}
    assert len([c for c in sides["train"] if c.startswith("Gurmukhi/")]) == 41
    assert [len(sides[name]) for name in ("train", "val", "test")] == [1028, 172, 423]


def test_random1200(real):
    whole = real("random1200", "none")
    parts = {name: set(whole.labels[rows].tolist()) for name, rows in whole.splits.items()}
    assert {name: len(part) for name, part in parts.items()} == {
        "train": 1100,
        "val": 100,
        "trainval": 1200,
        "test": 423,
    }
    assert parts["trainval"] == parts["train"] | parts["val"]
    assert parts["trainval"] | parts["test"] == set(range(1623))
    assert not parts["train"] & parts["val"]
    drawn = sorted(parts["test"])
    assert hashlib.sha256(",".join(whole.class_names[k] for k in drawn).encode()).hexdigest()[:16] == "eff0b9ef47162f59"
    assert len({whole.class_names[k].split("/")[0] for k in drawn}) == 50  # from every alphabet, unlike vinyals


def test_background_evaluation(real):
    whole = real("background-evaluation", "none")
    train, test = whole.split("train"), whole.split("test")
    assert (len(train.class_names), len(test.class_names)) == (964, 659)
    sides = [{name.split("/")[0] for name in part.class_names} for part in (train, test)]
    assert (len(sides[0]), len(sides[1]), sides[0] & sides[1]) == (30, 20, set())


def sides_of(whole):
    return {
        name: {whole.class_names[k].split("/rotated")[0] for k in np.unique(whole.labels[rows])}
        for name, rows in whole.splits.items()
        if name != "trainval"
    }


def test_rotations_of_a_character_are_never_on_two_sides(real):
    sides = sides_of(real())
    assert sum(len(side) for side in sides.values()) == len(set.union(*sides.values())) == 1623


def test_all_rotations_of_a_character_are_on_its_side(tiny):
    whole = load_omniglot("background-evaluation")
    assert sides_of(whole)["test"] == {"C/character01", "C/character02"}
    assert {name: len(rows) for name, rows in whole.splits.items()} == {"train": 3 * 4 * 2, "test": 2 * 4 * 2}


def test_groups_are_alphabets_and_make_episodes_within_one(real):
    test = real().split("test")
    alphabets = [name.split("/")[0] for name in test.class_names]
    assert (
        len(set(zip(alphabets, test.groups.tolist(), strict=True)))
        == len(set(alphabets))
        == len(set(test.groups.tolist()))
    )
    spec = EpisodeSpec(way=5, shot=1, query=2, within_group=True)
    sampler = EpisodeSampler(test.labels, spec, seed=3, groups=test.groups)
    drawn = [{alphabets[k] for k in sampler[i].classes} for i in range(60)]
    assert all(len(episode) == 1 for episode in drawn)
    assert len(set.union(*drawn)) > 8


def test_the_data_are_what_records_name(real):
    assert real().split("train").hash.startswith("c675178cdacc9109")
    assert real().hash.startswith("c9a756afb052f3a7")
