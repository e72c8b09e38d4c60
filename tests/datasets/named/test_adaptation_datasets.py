"""Data sets of domain adaptation: the published bytes, or a sentence that says where they are."""

import shutil

import numpy as np
import pytest
import scipy.io
import scipy.sparse
import scipy.stats

from fewshot import load_dataset
from fewshot.datasets.formats.matlab import read_mat
from fewshot.errors import DataError, MissingDataError

SHAPES = [
    ("office-caltech10", {}, (958, 800), 10),
    ("office-caltech10", {"domain": "caltech"}, (1123, 800), 10),
    ("office-caltech10", {"domain": "dslr"}, (157, 800), 10),
    ("office-caltech10", {"domain": "webcam"}, (295, 800), 10),
    ("office-caltech10", {"domain": "dslr", "features": "surf-z-scores"}, (157, 800), 10),
    ("office-caltech10", {"domain": "dslr", "features": "decaf6"}, (157, 4096), 10),
    ("office-caltech10", {"domain": "webcam", "features": "decaf6"}, (295, 4096), 10),
    ("usps-mnist", {}, (1800, 256), 10),
    ("usps-mnist", {"domain": "mnist"}, (2000, 256), 10),
    ("coil20", {}, (720, 1024), 20),
    ("coil20", {"domain": "coil2"}, (720, 1024), 20),
    ("amazon-reviews", {}, (6465, 5000), 2),
    ("amazon-reviews", {"domain": "kitchen"}, (7945, 5000), 2),
    ("mushroom", {}, (4608, 117), 2),
    ("mushroom", {"domain": "enlarging"}, (3516, 117), 2),
    ("newsgroup-pairs", {}, (1875, 2000), 2),
    ("newsgroup-pairs", {"domain": "task2"}, (1827, 2000), 2),
    ("newsgroup-pairs", {"pair": "rec.vs.talk"}, (1844, 2000), 2),
    ("newsgroup-pairs", {"pair": "rec.vs.talk", "domain": "task2"}, (1545, 2000), 2),
]


@pytest.mark.parametrize(("name", "options", "shape", "classes"), SHAPES)
def test_shapes_and_classes(name, options, shape, classes, data_root):
    data_root("transfer")
    data = load_dataset(name, **options)
    assert (data.items.shape, len(data.class_names), data.items.dtype) == (shape, classes, np.float32)
    assert data.name == name
    assert data.origin.endswith(options.get("domain", data.origin))
    assert (np.bincount(data.labels) > 0).all()


def test_z_scores_are_those_of_scipy(data_root):
    data_root("transfer")
    counts = load_dataset("office-caltech10", domain="webcam").items.astype(np.float64)
    scores = scipy.stats.zscore(counts / counts.sum(1, keepdims=True), axis=0)
    wanted = np.nan_to_num(scores)  # SciPy has no number for a column that does not vary
    found = load_dataset("office-caltech10", domain="webcam", features="surf-z-scores").items
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_rows_are_what_they_are_called(data_root):
    """Names of photos in the repository's own lists; letters of the first mushroom; words counted by hand in a line."""
    folder = data_root("transfer")
    names = scipy.io.loadmat(folder / "office_caltech10_surf/webcam_SURF_L10_imgs.mat")["imgNames"].ravel()
    data = load_dataset("office-caltech10", domain="webcam")
    assert all(f"webcam_{data.class_names[y]}_" in str(n[0]) for y, n in zip(data.labels, names, strict=True))
    for domain in ("tapering", "enlarging"):
        assert (load_dataset("mushroom", domain=domain).items.sum(1) == 22).all()
    reviews = load_dataset("amazon-reviews", domain="dvd").split("train")
    line = (folder / "amazon_reviews_svmlight/dvd_train.svmlight").read_text().split("\n")[7].split()
    row = dict(map(int, pair.split(":")) for pair in line[1:])
    assert {int(c): int(reviews.items[7, c]) for c in reviews.items[7].nonzero()[0]} == row
    assert reviews.class_names[reviews.labels[7]] == ("positive" if int(line[0]) > 0 else "negative")
    assert len(reviews) == 2000


def test_digits_of_both_domains_look_alike(data_root):
    """The mean zero of USPS is nearest to the mean zero of MNIST, and so on for most digits: labels are numbered alike."""
    data_root("transfer")
    a, b = (load_dataset("usps-mnist", domain=domain) for domain in ("usps", "mnist"))
    means = [np.stack([d.items[d.labels == c].mean(0) for c in range(10)]) for d in (a, b)]
    means = [m / np.linalg.norm(m, axis=1, keepdims=True) for m in means]
    assert ((means[0] @ means[1].T).argmax(1) == np.arange(10)).mean() >= 0.7


@pytest.mark.parametrize(
    "name", ["office-caltech10", "usps-mnist", "coil20", "amazon-reviews", "mushroom", "newsgroup-pairs"]
)
def test_what_is_not_there_is_named_with_its_source_and_hash(name, tmp_path, monkeypatch):
    wanted = r"the file of github\.com/.*, commit [0-9a-f]{40}, .* with sha256 [0-9a-f]{64}"
    monkeypatch.delenv("FEWSHOT_DATA", raising=False)
    with pytest.raises(MissingDataError, match=f"FEWSHOT_DATA must name the folder .* is {wanted}$"):
        load_dataset(name)
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    with pytest.raises(MissingDataError, match=f"must be a folder with the files of transfer.* is {wanted}$"):
        load_dataset(name)
    (tmp_path / "transfer").mkdir()
    with pytest.raises(MissingDataError, match=f"must be {wanted}, got no file; put it there"):
        load_dataset(name)


def test_other_bytes_are_refused(tmp_path, monkeypatch, data_root):
    own = tmp_path / "transfer" / "mushroom"
    own.mkdir(parents=True)
    shutil.copy(data_root("transfer") / "mushroom/agaricus-lepiota.data", own)
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    assert len(load_dataset("mushroom")) == 4608
    with (own / "agaricus-lepiota.data").open("a") as file:
        file.write("p\n")
    with pytest.raises(DataError, match=r"with sha256 d90e0614.*, got [0-9a-f]{64}; fetch it again"):
        load_dataset("mushroom")


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("office-caltech10", {"domain": "imagenet"}, "must be one of amazon, caltech, dslr, webcam, got 'imagenet'"),
        ("office-caltech10", {"features": "decaf6"}, r"\(decaf6\) must be one of dslr, webcam, got 'amazon'"),
        ("office-caltech10", {"features": "sift"}, "must be one of surf, surf-z-scores, decaf6, got 'sift'"),
        ("usps-mnist", {"domain": "svhn"}, "must be one of usps, mnist, got 'svhn'"),
        ("coil20", {"domain": "coil3"}, "must be one of coil1, coil2, got 'coil3'"),
        ("amazon-reviews", {"domain": "toys"}, "must be one of books, dvd, electronics, kitchen, got 'toys'"),
        ("mushroom", {"domain": "flat"}, "must be one of tapering, enlarging, got 'flat'"),
        ("newsgroup-pairs", {"pair": "a.vs.b"}, "must be one of comp.vs.sci, rec.vs.talk, got 'a.vs.b'"),
        ("newsgroup-pairs", {"domain": "task3"}, "must be one of task1, task2, got 'task3'"),
    ],
)
def test_unknown_domains_are_refused(name, options, sentence):
    with pytest.raises(DataError, match=sentence):
        load_dataset(name, **options)


def test_sparse_variables_of_matlab_are_read(tmp_path):
    table = np.arange(12.0).reshape(3, 4) % 3
    scipy.io.savemat(tmp_path / "a.mat", {"x": scipy.sparse.csc_array(table)})
    assert (read_mat(tmp_path / "a.mat")["x"] == table).all()
