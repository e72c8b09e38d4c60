import numpy as np
import pytest

from fewshot.datasets.formats.arrays import load_arrays
from fewshot.errors import DataError, MissingDataError

X = np.random.default_rng(0).normal(size=(5, 3))
Y = np.array([4, 2, 9, 4, 2])


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_items_and_labels(tmp_path):
    rows = load_arrays(save(tmp_path / "rows.npz", x=X, y=Y))
    assert (rows.name, rows.class_names, rows.labels.tolist()) == ("rows", ("2", "4", "9"), [1, 0, 2, 1, 0])
    np.testing.assert_array_equal(rows.items, X.astype(np.float32))
    np.savez_compressed(tmp_path / "small.npz", x=X, y=Y)
    assert load_arrays(tmp_path / "small.npz", name="other").hash == rows.hash


def test_texts_and_names(tmp_path):
    texts = load_arrays(save(tmp_path / "t.npz", x=np.array(list("abcde")), y=np.array(list("xyxyx"))))
    assert texts.take(np.array([4])).tolist() == ["e"]
    assert texts.class_names == ("x", "y")


def test_what_is_known_of_the_classes(tmp_path):
    split = np.array(["train", "test", "train", "", "test"])
    rows = load_arrays(
        save(tmp_path / "r.npz", x=X, y=Y, split=split, descriptors=np.eye(3), groups=np.array([0, 0, 1]))
    )
    assert {name: part.tolist() for name, part in rows.splits.items()} == {"train": [0, 2], "test": [1, 4]}
    assert rows.split("train").descriptors.tolist() == [[0, 1, 0], [0, 0, 1]]
    assert rows.split("train").groups.tolist() == [0, 1]


def test_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (exec, ("raise SystemExit('it ran')",))

    path = tmp_path / "trap.npz"
    np.savez(path, x=np.array([Trap()], object), y=np.array([0]))
    with pytest.raises(
        DataError, match=r"trap\.npz' must be a whole \.npz file without Python objects, got: Object arrays"
    ):
        load_arrays(path)


@pytest.mark.parametrize(
    "spoil", [lambda b: b"", lambda b: b"text", lambda b: b[: len(b) // 2], lambda b: b[:60] + b"?" * 60 + b[120:]]
)
def test_damaged_files(tmp_path, spoil):
    path = save(tmp_path / "r.npz", x=X, y=Y)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DataError, match=r"r\.npz' must be a whole \.npz file"):
        load_arrays(path)


def test_a_single_array_in_disguise(tmp_path):
    with (tmp_path / "r.npz").open("wb") as file:
        np.save(file, X)
    with pytest.raises(DataError, match=r"r\.npz' must be a whole \.npz file"):
        load_arrays(tmp_path / "r.npz")


def test_missing(tmp_path):
    with pytest.raises(DataError, match=r"must hold the arrays 'x' and 'y', got \['features', 'y'\]; np\.savez"):
        load_arrays(save(tmp_path / "r.npz", features=X, y=Y))
    with pytest.raises(MissingDataError, match="with 'x' and 'y', got no file"):
        load_arrays(tmp_path / "nowhere.npz")
    with pytest.raises(DataError, match="every item needs one label, got 5 items and 4 labels"):
        load_arrays(save(tmp_path / "r.npz", x=X, y=Y[:4]))


def test_arrays_of_other_names_are_refused_unless_they_are_passed_over(tmp_path):
    path = save(tmp_path / "r.npz", x=X, y=Y, splits=Y, attributes=X)
    with pytest.raises(
        DataError,
        match=r"called x, y, split, descriptors, groups, class_names, got \['attributes', 'splits'\].*ignore=\[attributes,splits\]",
    ):
        load_arrays(path)
    with pytest.raises(DataError, match=r"got \['splits'\]"):
        load_arrays(path, ignore="attributes")
    assert len(load_arrays(path, ignore=["attributes", "splits"])) == 5
    with pytest.raises(DataError, match=r"ignore must name arrays in .*, got 'atributes'"):
        load_arrays(path, ignore=["atributes", "splits", "attributes"])


@pytest.mark.parametrize(
    "split",
    [np.array(["train"] * 4), np.array(["train"] * 6), np.array([["train"]] * 5), np.arange(5), np.array("train")],
)
def test_a_split_has_one_text_an_item(tmp_path, split):
    with pytest.raises(DataError, match=r"'split' in .* must have one text an item, shape \(5,\), got"):
        load_arrays(save(tmp_path / "r.npz", x=X, y=Y, split=split))
