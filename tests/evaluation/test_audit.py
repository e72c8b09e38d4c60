"""The audit: planted copies across splits are found, each item once; what merely looks alike is not."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics.pairwise import cosine_similarity
from torch import nn

from fewshot import load_backbone
from fewshot.datasets.collection import Collection
from fewshot.errors import DataError, FewShotError, ShapeError
from fewshot.evaluation.audit.copies import CALIBRATING, COPIES
from fewshot.evaluation.audit.splits import SAMPLE, audit, planted_threshold
from fewshot.figures.pair_sheet import pair_sheet
from fewshot.tables.audit import Audit
from fewshot.tables.record_tables import plain


class Layout(nn.Module):
    """Colours of 36 fields of an image, without their mean: they tell smooth photographs apart."""

    name = "layout"

    def preprocess(self, pixels):
        return pixels.float() / 255

    def forward(self, x):
        z = nn.functional.adaptive_avg_pool2d(x, 6).flatten(1)
        return z - z.mean(1, keepdim=True)


def photos(n, channels=3, side=42, seed=0):
    """Smooth random photographs, uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, 6, 6, 3), dtype=np.uint8)
    images = [np.asarray(Image.fromarray(c).resize((side, side), Image.Resampling.BICUBIC)) for c in coarse]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)[:, :channels].contiguous()


def planted(channels=3):
    """Sixty photographs in three splits; the test split has copies of training items in the first rows."""
    images = photos(60, channels)
    for row, (kind, source) in enumerate([("equal", 3), ("re-encoded", 7), ("shifted", 7), ("mirrored", 9)], start=40):
        original = images[source : source + 1]
        images[row] = original[0] if kind == "equal" else COPIES[kind](original)[0]
    images[30] = COPIES["re-encoded"](images[45:46])[0]  # of validation and test
    names = [f"{i:02}.png" for i in range(60)]
    splits = {"train": np.arange(30), "val": np.arange(30, 40), "trainval": np.arange(40), "test": np.arange(40, 60)}
    return Collection(images, np.arange(60) // 5, tuple("abcdefghijkl"), "planted", item_names=names, splits=splits)


@pytest.fixture(scope="module")
def found():
    return audit(planted(), Layout(), cache=False)


def between(found, split, other):
    return next(b for b in found.between if (b.split, b.other) == (split, other))


def test_copies_are_found_with_their_originals(found):
    pairs = {(p.item, p.other): p for p in between(found, "test", "train").pairs}
    assert set(pairs) == {("40.png", "03.png"), ("41.png", "07.png"), ("42.png", "07.png")}
    assert [p.item for p in pairs.values() if p.equal] == ["40.png"] and between(found, "test", "train").equal == 1
    assert [(p.item, p.other) for p in between(found, "test", "val").pairs] == [("45.png", "30.png")]


def test_splits_are_taken_two_by_two_unless_one_holds_the_other(found):
    assert [(b.split, b.other) for b in found.between] == [
        ("val", "train"), ("test", "train"), ("test", "val"), ("test", "trainval"),
    ]  # fmt: skip


def test_every_item_counts_once(found):
    assert between(found, "test", "trainval").found == 4 and found.found == 4
    assert found.line() == f"near-duplicates across splits: 4 of 20 test items (cosine ≥ {found.threshold:.3g}, layout)"
    assert len(found.all_pairs()) == 4


def test_counts_equal_those_of_scikit_learn(found):
    collection = planted()
    features = Layout()(collection.items.float() / 255).numpy()
    for b in found.between:
        rows, others = collection.splits[b.split], collection.splits[b.other]
        cosines = cosine_similarity(features[rows], features[others])
        assert b.found == (cosines.max(1) >= found.threshold).sum() and b.items == len(rows)
        assert b.near_pairs == (cosines >= found.threshold).sum()
        assert b.largest == pytest.approx(cosines.max(), abs=1e-5)
    own = cosine_similarity(features)
    own[collection.labels[:, None] != collection.labels] = -1
    np.fill_diagonal(own, -1)
    assert found.same_class == pytest.approx((own.max(1) >= found.threshold).mean())
    assert found.repeated == 1


def test_a_mirrored_copy_is_found_by_a_backbone_that_sees_no_sides():
    class Symmetric(Layout):
        def forward(self, x):
            return super().forward(x) + super().forward(x.flip(-1))

    pairs = between(audit(planted(), Symmetric(), cache=False), "test", "train").pairs
    assert ("43.png", "09.png") in {(p.item, p.other) for p in pairs}


@pytest.mark.parametrize("channels", [1, 3])
def test_the_threshold_finds_the_planted_copies_and_no_more(channels):
    collection = Collection(photos(200, channels), np.arange(200) // 10, tuple(map(str, range(20))))
    threshold, shares = planted_threshold(collection, Layout())
    assert set(shares) == set(COPIES) and all(shares[kind] >= 0.95 for kind in CALIBRATING)
    rows = np.sort(np.random.Generator(np.random.Philox(0)).permutation(200)[:SAMPLE])
    images = collection.items[rows]
    cosines = {
        kind: np.diag(cosine_similarity(*(Layout()(x.float() / 255).numpy() for x in (images, COPIES[kind](images)))))
        for kind in CALIBRATING
    }
    assert min((c >= threshold + 0.001).mean() for c in cosines.values()) < 0.95  # a little higher, and too few
    assert planted_threshold(collection, Layout()) == (threshold, shares)
    assert 0.5 < threshold < 1 and shares["mirrored"] < 0.1


def test_copies_are_near_and_not_equal():
    images = photos(4)
    for kind, copy in COPIES.items():
        copied = copy(images)
        assert copied.shape == images.shape and copied.dtype == torch.uint8 and not torch.equal(copied, images), kind
    torch.testing.assert_close(COPIES["shifted"](images)[..., 1:, 1:], images[..., :-1, :-1], rtol=0, atol=0)
    torch.testing.assert_close(COPIES["mirrored"](COPIES["mirrored"](images)), images, rtol=0, atol=0)


def test_without_splits_the_collection_is_compared_with_itself():
    rows = Collection.from_arrays(np.eye(8, dtype=np.float32)[[0, 1, 2, 3, 4, 0, 0]], [0, 0, 0, 1, 1, 1, 1])
    found = audit(rows, load_backbone("pixels"), 0.9, cache=False)
    (b,) = found.between
    assert (b.found, b.near_pairs, b.equal, found.repeated) == (3, 3, 2, 2)
    assert found.line() == "near-duplicates within the collection: 3 of 7 items (cosine ≥ 0.9, pixels)"
    assert b.pairs[0].item == "0/0"


def test_splits_that_overlap_share_their_rows():
    rows = Collection.from_arrays(
        np.eye(6, dtype=np.float32), [0, 0, 1, 1, 2, 2], splits={"train": np.arange(4), "test": np.arange(3, 6)}
    )
    (b,) = audit(rows, load_backbone("pixels"), 0.9, cache=False).between
    assert (b.found, b.equal, b.pairs[0].row, b.pairs[0].other_row) == (1, 1, 3, 3)


def test_what_cannot_be_audited_is_told():
    rows = Collection.from_arrays(np.eye(4, dtype=np.float32), [0, 0, 1, 1])
    with pytest.raises(DataError, match="copies can be planted for uint8 images only, got other items; give a thresh"):
        audit(rows, load_backbone("pixels"), cache=False)
    with pytest.raises(DataError, match=r"a threshold must be a cosine, between -1 and 1, got 2\.0"):
        audit(rows, load_backbone("pixels"), 2.0, cache=False)


def test_a_backbone_that_tells_nothing_apart_is_refused():
    class Blind(Layout):
        def forward(self, x):
            return super().forward(x) + 10

    with pytest.raises(FewShotError, match="must tell copies from other items, got 100% of all pairs as near"):
        audit(planted(), Blind(), cache=False)
    assert audit(planted(), Blind(), 0.9, cache=False).found == 20


def test_it_survives_the_disk_and_is_no_record(found, tmp_path):
    content = json.loads(found.save(tmp_path / "audit.json").read_text("utf-8"))
    assert Audit.model_validate(content) == found
    assert content["audit"] == 1 and "schema" not in content  # a folder of records passes it over


def test_tables_say_what_was_found_and_what_it_means(found):
    text = plain(found.table()) + plain(found.pair_table(2))
    for part in (found.line(), "95% of planted copies", "% mirrored", "of their own class", "a screening", "2 more"):
        assert part in text


def test_a_backbone_in_train_mode_is_judged_in_eval_mode_and_put_back():
    backbone = nn.Sequential(Layout(), nn.Dropout(0.5)).train()
    backbone.preprocess = Layout().preprocess
    assert audit(planted(), backbone, cache=False).found == 4 and backbone.training


def test_a_sheet_shows_the_pairs():
    images = photos(5).numpy()
    figure = pair_sheet(images, images[::-1], [("a", "b", f"cosine {k}") for k in range(5)])
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == 10 and shown[0].texts[1].get_text() == "cosine 0"
    with pytest.raises(ShapeError, match="a sheet needs pairs of images"):
        pair_sheet(images[:0], images[:0], [])
    with pytest.raises(ShapeError, match="a sheet needs pairs of images"):
        pair_sheet(images, images[:4], [("a", "b", "c")] * 5)
