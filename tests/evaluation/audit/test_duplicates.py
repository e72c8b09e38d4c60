"""Near-duplicates between two parts, against scikit-learn's whole matrix of cosines."""

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity

from fewshot.evaluation.audit import duplicates
from fewshot.evaluation.audit.duplicates import byte_ids, equal_items, matches


def parts(m=37, n=23, dim=6, seed=0):
    """Positive features, as of a network that ends in ReLU, some of which stand in both parts."""
    rng = np.random.default_rng(seed)
    first, second = rng.exponential(size=(m, dim)), rng.exponential(size=(n, dim))
    second[::5] = 3 * first[: len(second[::5])] * (1 + 0.01 * rng.normal(size=(len(second[::5]), dim)))
    return torch.from_numpy(first), torch.from_numpy(second)


def compare_with_oracle(find, m=37, n=23):
    first, second = parts(m, n)
    cosines = cosine_similarity(second.numpy(), first.numpy())
    found = find(first, second, 0.97)
    np.testing.assert_allclose(found.cosine, cosines.max(1), rtol=1e-5)
    np.testing.assert_array_equal(found.nearest, cosines.argmax(1))
    assert found.pairs == (cosines >= 0.97).sum() and 3 < found.pairs < m * n / 4
    own = cosine_similarity(first.numpy())
    np.fill_diagonal(own, -np.inf)
    found = find(first, None, 0.9)
    np.testing.assert_allclose(found.cosine, own.max(1), rtol=1e-5)
    np.testing.assert_array_equal(found.nearest, own.argmax(1))
    assert found.pairs == (np.triu(own, 1) >= 0.9).sum() > 3


@pytest.mark.parametrize("cells", [1, 100, 37 * 23, 2**24])
def test_equals_the_whole_matrix_at_any_block_size(cells, monkeypatch):
    monkeypatch.setattr(duplicates, "CELLS", cells)
    compare_with_oracle(matches)


def uncounted(first, second, threshold):
    """Forgets to leave out an item's match with itself."""
    return matches(first, first if second is None else second, threshold)


def unnormalised(first, second, threshold):
    """Inner products in the place of cosines."""
    z1 = first.float()
    block = (z1 if second is None else second.float()) @ z1.T
    if second is None:
        block.fill_diagonal_(-torch.inf)
    best, rows = block.max(1)
    return duplicates.Matches(rows.numpy(), best.numpy(), int((block >= threshold).sum()))


def swapped(first, second, threshold):
    """Counts items of the first part instead."""
    return matches(first, None, threshold) if second is None else matches(second, first, threshold)


def twice(first, second, threshold):
    """Counts both directions of a pair."""
    found = matches(first, second, threshold)
    return duplicates.Matches(found.nearest, found.cosine, found.pairs * (1 if second is not None else 2))


@pytest.mark.slip
@pytest.mark.parametrize("wrong", [uncounted, unnormalised, swapped, twice])
def test_planted_errors_are_found(wrong):
    with pytest.raises(AssertionError):
        compare_with_oracle(wrong)


def test_memory_is_that_of_one_block(monkeypatch):
    monkeypatch.setattr(duplicates, "CELLS", 1000)
    largest = []
    whole = torch.Tensor.max
    monkeypatch.setattr(torch.Tensor, "max", lambda x, *a: (largest.append(x.numel()), whole(x, *a))[1])
    matches(torch.rand(300, 4), torch.rand(500, 4), 0.9)
    assert max(largest) <= 1000 and sum(largest) == 300 * 500


def test_zero_features_and_a_single_item():
    found = matches(torch.zeros(3, 4), torch.ones(2, 4), 0.5)
    assert found.cosine.tolist() == [0, 0] and found.pairs == 0
    alone = matches(torch.ones(1, 4), None, 0.5)
    assert alone.cosine[0] == -np.inf and alone.pairs == 0


def equal(first, second=None):
    """Both parts numbered together."""
    ids = byte_ids(first if second is None else np.concatenate([first, second]))
    return equal_items(ids, None) if second is None else equal_items(ids[: len(first)], ids[len(first) :])


def test_equal_items_are_those_with_the_same_bytes():
    rng = np.random.default_rng(0)
    first, second = (rng.integers(0, 256, (n, 1, 4, 4), dtype=np.uint8) for n in (5, 4))
    second[1], second[3] = first[4], first[0]
    second[2] = first[2]
    second[2, 0, 3, 3] ^= 1  # one bit
    assert equal(first, second).tolist() == [-1, 4, -1, 0]
    again = np.concatenate([first, first[1:2], first[1:2]])
    assert equal(again).tolist() == [-1] * 5 + [1, 1]
    np.testing.assert_array_equal(byte_ids(torch.from_numpy(again)), byte_ids(again))


def test_equal_texts():
    one, two = (np.array(t, np.dtypes.StringDType()) for t in (["one", "two", "ΟΝΕ"], ["two", "Two"]))
    assert equal(one, two).tolist() == [1, -1]
