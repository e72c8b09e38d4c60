import importlib
import zipfile

import numpy as np
import pytest
from PIL import Image

from fewshot.datasets.collection import Collection
from fewshot.datasets.download import SOURCES
from fewshot.datasets.index import DATASETS, READERS, load_dataset
from fewshot.datasets.location import FETCHED
from fewshot.errors import DataError, MissingDataError, UnknownNameError


@pytest.fixture
def here(tmp_path, monkeypatch, own_cache):
    """One of each kind of file, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name, value in (("emu", 9), ("bee", 7)):
        (tmp_path / "zoo" / name).mkdir(parents=True)
        Image.new("L", (6, 6), value).save(tmp_path / "zoo" / name / "1.png")
    with zipfile.ZipFile("zoo.zip", "w") as archive:
        archive.write("zoo/emu/1.png")
        archive.write("zoo/bee/1.png")
    np.savez("rows.npz", x=np.eye(3), y=[0, 1, 1])
    (tmp_path / "talk.csv").write_text("text,label\nhi,a\nho,b\n")
    (tmp_path / "talk.jsonl").write_text('{"text": "hi", "label": "a"}')
    (tmp_path / "notes.txt").write_text("")
    return tmp_path


def test_every_name_and_reader_is_there():
    for place in (*DATASETS.values(), *READERS.values()):
        module, function = place.split(":")
        assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize(
    "name", ["zoo", "./zoo", "zoo/", "zoo.zip", "rows.npz", "talk.csv", "talk.jsonl", "{here}/zoo"]
)
def test_paths(here, name):
    collection = load_dataset(name.format(here=here))
    assert collection.name == name.format(here=here).strip("./").split("/")[-1].split(".")[0]


def test_options_reach_the_reader(here):
    assert load_dataset("zoo", size=5).items.shape == (2, 3, 5, 5)
    assert load_dataset(here / "zoo.zip", size=4, name="animals").name == "animals"


def test_a_path_object_and_the_home_folder(here, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    assert load_dataset("~/rows.npz").items.shape == (3, 3)
    assert load_dataset(here / "talk.csv").class_names == ("a", "b")


def test_a_name_wins_over_a_folder_but_not_over_a_path(here):
    (here / "digits" / "nine").mkdir(parents=True)
    Image.new("L", (6, 6), 3).save(here / "digits" / "nine" / "1.png")
    assert load_dataset("digits").class_names == tuple("0123456789")
    assert load_dataset("./digits").class_names == ("nine",)


@pytest.mark.parametrize("name", ["./nowhere", "nowhere/", "nowhere.npz", "~/nowhere", "a/b.csv"])
def test_a_path_with_nothing_there(here, name):
    with pytest.raises(
        MissingDataError, match=rf"'{name}' must be a folder of class folders, or a \.zip, .*, got nothing there"
    ):
        load_dataset(name)


def test_a_file_of_another_kind(here):
    with pytest.raises(DataError, match=r"'\./notes\.txt' must be .*, got a file that ends in '\.txt'"):
        load_dataset("./notes.txt")


def test_an_unknown_name(here):
    with pytest.raises(
        UnknownNameError, match="the dataset must be a known name, got 'omniglt'; did you mean 'omniglot'"
    ):
        load_dataset("omniglt")


def test_a_mistyped_folder(here):
    for name in ("omniglt", "zooo"):  # the first is near a name, the second is not
        with pytest.raises(UnknownNameError, match=rf"got '{name}'.*\(or a folder; there is nothing at '{name}'\)$"):
            load_dataset(name)
    with pytest.raises(DataError, match=r"'notes\.txt' must be .*, got a file that ends in '\.txt'"):
        load_dataset("notes.txt")  # something is there


def test_an_unknown_option(here):
    with pytest.raises(
        DataError, match=r"options of dataset 'omniglot' must be among \[.*'split'.*\], got \['splitt'\]"
    ):
        load_dataset("omniglot", splitt="vinyals")
    with pytest.raises(DataError, match=r"options of dataset 'zoo' must be among \['size', 'name'\], got \['path'\]"):
        load_dataset("zoo", path="x")


def test_an_entry_point(here, monkeypatch):
    (here / "my_data.py").write_text(
        "import numpy as np\nfrom fewshot.datasets.collection import Collection\n"
        "def load(count=2):\n    return Collection.from_arrays(np.eye(count), range(count), name='mine')\n"
    )
    metadata = here / "my_data-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-data\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[fewshot.datasets]\nmine = my_data:load\n")
    monkeypatch.syspath_prepend(here)
    collection = load_dataset("mine", count=3)
    assert isinstance(collection, Collection)
    assert len(collection) == 3


def test_only_what_can_be_fetched_is_said_to_be(monkeypatch, tmp_path):
    assert set(FETCHED) == set(SOURCES)
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    for name in ("mini-imagenet", "cub", "awa1"):
        with pytest.raises(
            MissingDataError, match=rf"files of {name}, got none; data/README.md says what to put there"
        ):
            load_dataset(name)
    monkeypatch.delenv("FEWSHOT_DATA")
    with pytest.raises(MissingDataError, match=r"holds 'cifar-100/', got nothing; set it; data/README.md says"):
        load_dataset("fc100")


def test_omniglot_without_its_files(monkeypatch, tmp_path):
    monkeypatch.delenv("FEWSHOT_DATA", raising=False)
    with pytest.raises(MissingDataError, match="FEWSHOT_DATA must name the folder that holds 'omniglot/', got nothing"):
        load_dataset("omniglot")
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    with pytest.raises(
        MissingDataError, match=r"omniglot' must be a folder .*, got none; run: fewshot-bench download omniglot"
    ):
        load_dataset("omniglot")
    (tmp_path / "omniglot").mkdir()
    with pytest.raises(MissingDataError, match=r"Omniglot needs 'images_background\.zip' or the extracted folder"):
        load_dataset("omniglot")
    with pytest.raises(
        MissingDataError, match=r"Lake's runs need 'all_runs\.zip' in '.*', got none; run: fewshot-bench"
    ):
        load_dataset("lake-runs")


def test_digits():
    """Sum of the 1,797 labels and of all grey values as scikit-learn ships them."""
    digits = load_dataset("digits")
    assert digits.items.dtype == np.uint8
    assert (digits.items.shape, digits.items.min(), digits.items.max()) == ((1797, 1, 8, 8), 0, 255)
    assert np.bincount(digits.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    greys = np.rint(digits.items / (255 / 16))
    assert int(greys.sum()) == 561718
    assert digits.origin == "digits"
