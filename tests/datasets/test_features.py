from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from fewshot.datasets.collection import Collection
from fewshot.errors import DataError


class Linear(nn.Module):
    """A backbone whose fingerprint names weights and preprocessing; it counts the items it sees."""

    def __init__(self, seed=0, shift=0.0):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.9))
        with torch.no_grad():
            self.net[0].weight.copy_(torch.randn(4, 3, generator=torch.Generator().manual_seed(seed)))
            self.net[0].bias.zero_()
        self.shift, self.seen = shift, 0

    def preprocess(self, items):
        return items + self.shift

    def forward(self, x):
        self.seen += len(x)
        return self.net(x)

    def fingerprint(self):
        return f"{self.net[0].weight.tolist()} {self.shift}"


def rows(seed=0):
    x = np.random.default_rng(seed).normal(size=(11, 3)).astype(np.float32)
    return Collection.from_arrays(x, np.arange(11) % 3, name="rows", splits={"test": np.arange(4)})


def cache_files(folder):
    return sorted(p for p in folder.rglob("*") if p.is_file())


def test_features_are_those_of_eval_mode_item_by_item(own_cache):
    backbone, data = Linear(shift=0.5), rows()
    weight = backbone.net[0].weight.detach().double().numpy()
    expected = (data.items.astype(float) + 0.5) @ weight.T / np.sqrt(1 + 1e-5)  # fresh batch norm in eval mode
    for batch in (1, 4, 512):
        features = data.embed(backbone, batch=batch, cache=False).items
        np.testing.assert_allclose(features.numpy(), expected, rtol=1e-5, atol=1e-6)
    assert cache_files(own_cache) == []


def test_the_rest_of_the_collection_stays(own_cache):
    embedded = rows().embed(Linear())
    assert embedded.labels.tolist() == rows().labels.tolist()
    assert embedded.split("test").take(np.array([[0, 3]])).shape == (1, 2, 4)
    assert embedded.hash != rows().hash


def test_every_part_of_a_module_is_left_as_it_was(own_cache):
    backbone = Linear().train()
    backbone.net[1].eval()  # a frozen batch norm
    rows().embed(backbone)
    assert [m.training for m in backbone.modules()] == [True, True, True, False, True]
    broken = nn.Sequential(nn.Linear(2, 2)).train()
    with pytest.raises(RuntimeError):
        rows().embed(broken)
    assert broken.training


def test_embedded_once_then_read_from_the_cache(own_cache):
    backbone = Linear()
    first = rows().embed(backbone)
    again = rows().embed(backbone)
    assert backbone.seen == 11
    assert torch.equal(first.items, again.items)
    assert len(cache_files(own_cache)) == 1


@pytest.mark.parametrize(
    ("data", "backbone"),
    [(rows(1), Linear()), (rows(), Linear(seed=1)), (rows(), Linear(shift=0.1))],
    ids=["data", "weights", "preprocessing"],
)
def test_the_cache_is_keyed_by(own_cache, data, backbone):
    """What is changed alone makes a file of its own, and features of its own."""
    base = rows().embed(Linear())
    changed = data.embed(backbone)
    assert backbone.seen == 11
    backbone.seen = 0
    assert not torch.allclose(base.items, changed.items)
    assert len(cache_files(own_cache)) == 2
    assert torch.equal(rows().embed(Linear()).items, base.items)


def test_without_a_fingerprint_nothing_is_kept(own_cache):
    rows().embed(lambda x: x * 2)
    assert cache_files(own_cache) == []


@pytest.mark.parametrize("spoil", [lambda b: b"", lambda b: b[:20], lambda b: b[:-7], lambda b: b"garbage" * 10])
def test_a_torn_cache_is_rebuilt(own_cache, spoil):
    first = rows().embed(Linear())
    (file,) = cache_files(own_cache)
    whole = file.read_bytes()
    file.write_bytes(spoil(whole))
    backbone = Linear()
    assert torch.equal(rows().embed(backbone).items, first.items)
    assert backbone.seen == 11
    assert file.read_bytes() == whole


def test_uint8_is_divided_by_255_and_texts_come_as_they_are(own_cache):
    pixels = Collection.from_arrays(np.full((2, 3), 51, np.uint8), [0, 1])
    torch.testing.assert_close(pixels.embed(lambda x: x).items, torch.full((2, 3), 0.2))
    texts = Collection.from_arrays(["a", "bbb"], [0, 1])
    assert texts.embed(lambda t: torch.tensor([[float(len(s))] for s in t.tolist()])).items.tolist() == [[1.0], [3.0]]


def test_features_that_are_not_finite_are_refused_and_not_kept(own_cache):
    class Broken(Linear):
        def forward(self, x):
            return super().forward(x) / (x[:, :1] != x[5 % len(x), 0])

    with pytest.raises(DataError, match="features must be finite, got NaN or infinity in row 5"):
        rows().embed(Broken())
    assert cache_files(own_cache) == []


def test_features_of_a_part_come_from_those_of_the_whole(own_cache):
    calls = []

    class Counting:
        def __call__(self, items):
            calls.append(len(items))
            return 2 * items

        def fingerprint(self):
            return "counting"

    x = torch.arange(12.0).reshape(6, 2)
    whole = Collection(x, np.array([0, 0, 1, 1, 2, 2]), ("a", "b", "c"), splits={"test": np.array([5, 2, 3])})
    whole.embed(Counting())
    part = whole.split("test").subset(np.array([2, 0]))
    assert part.embed(Counting()).items.tolist() == (2 * x[[3, 5]]).tolist() and calls == [6]
    changed = replace(part, items=part.items + 1)
    assert changed.embed(Counting()).items.tolist() == (2 * x[[3, 5]] + 2).tolist() and calls == [6, 2]
    assert part.embed(Counting(), cache=False).items.tolist() == (2 * x[[3, 5]]).tolist() and calls == [6, 2, 2]
