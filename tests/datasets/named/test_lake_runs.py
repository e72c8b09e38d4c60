import io
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from fewshot.datasets.named.lake_runs import find_runs, lake_episodes, load_lake_runs, read_answers
from fewshot.datasets.named.omniglot import load_omniglot
from fewshot.errors import DataError, MissingDataError


@pytest.fixture
def archive(data_root):
    path = data_root("omniglot") / "all_runs.zip"
    if not path.exists():
        pytest.fail(f"needs '{path}' beside Omniglot's images (see data/README.md)")
    return path


def test_every_image_is_that_drawing_of_omniglot(archive):
    """The names were found by matching pixels with images_evaluation.zip: here all 800 are matched again."""
    runs = load_lake_runs()
    known = {}
    with zipfile.ZipFile(archive.with_name("images_evaluation.zip")) as images:
        for name in images.namelist():
            character = "/".join(name.split("/")[-3:-1])
            if name.endswith(".png") and character in runs.class_names:
                known[Image.open(images.open(name)).tobytes()] = character
    assert len(known) == 200 * 20
    with zipfile.ZipFile(archive) as images:
        for row, name in enumerate(runs.item_names):
            image = Image.open(images.open(name))
            assert known[image.tobytes()] == runs.class_names[runs.labels[row]]
            np.testing.assert_array_equal(runs.items[row, 0], np.where(np.asarray(image), 0, 255))


def test_as_published(archive):
    """20 runs of 20 characters of one alphabet, once to learn and once to ask: answers as in class_labels.txt."""
    runs = load_lake_runs()
    episodes = lake_episodes(runs)
    assert (runs.items.shape, len(runs.class_names), len(episodes)) == ((800, 1, 105, 105), 200, 20)
    assert np.bincount(runs.labels).tolist() == [4] * 200
    alphabets = []
    for r in range(20):
        episode = episodes[r]
        text = zipfile.ZipFile(archive).read(f"run{r + 1:02d}/class_labels.txt").decode()
        pairs = [line.split() for line in text.strip().splitlines()]
        asked = [runs.item_names[row] for row in episode.query]
        answers = [runs.item_names[episode.support[k]] for k in episode.query_y]
        assert list(zip(asked, answers, strict=True)) == [tuple(pair) for pair in pairs]
        assert runs.labels[episode.support].tolist() == episode.classes[episode.support_y].tolist()
        assert runs.labels[episode.query].tolist() == episode.classes[episode.query_y].tolist()
        assert len(set(episode.classes.tolist())) == 20
        (group,) = set(runs.groups[episode.classes].tolist())
        alphabets.append(group)
    assert alphabets == sorted([*range(10), *range(10)])


def test_a_learner_that_saw_them_is_found_out(archive):
    """78 of the 200 characters are among the training classes of the usual split, none among Lake's background."""
    runs = load_lake_runs()
    names = set(runs.qualified_names())
    seen = set(load_omniglot("vinyals", "none").split("train").qualified_names())
    background = set(load_omniglot("background-evaluation", "none").split("train").qualified_names())
    evaluation = set(load_omniglot("background-evaluation", "none").split("test").qualified_names())
    assert (len(names & seen), len(names & background), names <= evaluation) == (78, 0, True)


def test_at_28_pixels_they_look_like_omniglot(archive):
    small, runs = load_omniglot("vinyals", "none"), load_lake_runs(size=28)
    assert runs.items.shape == (800, 1, 28, 28)
    name = runs.class_names[runs.labels[0]]
    same_class = small.items[small.labels == small.class_names.index(name)]
    assert any(np.array_equal(runs.items[0], image) for image in same_class)


def blank():
    buffer = io.BytesIO()
    Image.new("1", (105, 105), 1).save(buffer, "PNG")
    return buffer.getvalue()


PNG = blank()


def copy(archive, folder, change=lambda name, content: content):
    (folder / "omniglot").mkdir()
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(folder / "omniglot" / "all_runs.zip", "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)


def test_an_extracted_folder_does_as_well(archive, tmp_path, monkeypatch, own_cache):
    expected = load_lake_runs().hash
    with zipfile.ZipFile(archive) as runs:
        runs.extractall(tmp_path / "omniglot" / "all_runs")
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    assert load_lake_runs().hash == expected
    shutil.rmtree(tmp_path / "omniglot" / "all_runs")
    with pytest.raises(MissingDataError, match=r"Lake's runs need 'all_runs\.zip'"):
        load_lake_runs()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda n, c: None if n == "run07/class_labels.txt" else c,
            r"must hold 20 runs, got no 'run07/class_labels\.txt'",
        ),
        (
            lambda n, c: c.replace(b"class05", b"class06") if n == "run07/class_labels.txt" else c,
            r"run07/class_labels\.txt' must give each of 20 items a class of its own, got 20 pairs",
        ),
        (lambda n, c: c[:100] if n == "run07/test/item03.png" else c, r"run07/test/item03\.png' must be a whole image"),
        (
            lambda n, c: PNG if n == "run07/test/item03.png" else c,
            r"pixels must have the SHA-256 .*, got .*; some image",
        ),
        (lambda n, c: None if n == "run07/test/item03.png" else c, r"run07/test/item03\.png' in .* must be readable"),
    ],
)
def test_damaged_archives(archive, tmp_path, monkeypatch, own_cache, change, message):
    copy(archive, tmp_path, change)
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    with pytest.raises(DataError, match=message):
        load_lake_runs()
    assert not [p for p in own_cache.rglob("*") if p.is_file()]


def test_episodes_of_another_collection_are_refused(archive):
    runs = load_lake_runs()
    with pytest.raises(DataError, match=r"the episodes belong to load_lake_runs\(\) with 800 images, got 'lake-runs'"):
        lake_episodes(runs.subset(np.arange(40)))


def test_answers_are_a_permutation_for_each_run(archive):
    answers = read_answers(find_runs(archive.parent))
    assert np.sort(answers, axis=1).tolist() == [list(range(20))] * 20
