"""Draws of a training set with the whole test part asked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from fewshot.episodes import training_draws
from fewshot.errors import EpisodeError


def parts(sizes=(9, 5, 7), asked=(4, 1, 3), seed=0):
    """Labels in mixed order, with class ids that have a gap, and rows of two parts."""
    rng = np.random.default_rng(seed)
    given = rng.permutation(np.repeat(np.arange(len(sizes)) * 2, sizes))
    test = rng.permutation(np.repeat(np.arange(len(asked)) * 2, asked))
    labels = np.concatenate([given, [99], test])  # one class belongs to neither part
    return labels, {"train": np.arange(len(given)), "test": len(given) + 1 + np.arange(len(test))}


@given(st.integers(1, 5), st.integers(0, 50))
def test_every_draw_has_so_many_of_each_class_and_asks_all(shot, seed):
    labels, splits = parts(seed=seed)
    draws = training_draws(labels, splits, "train", "test", shot, 3, seed)
    for k in range(3):
        one = draws[k]
        assert len(set(one.support.tolist())) == len(one.support) == 3 * shot
        assert set(one.support.tolist()) <= set(splits["train"].tolist())
        assert_array_equal(one.classes[one.support_y], labels[one.support])
        assert np.bincount(one.support_y).tolist() == [shot] * 3
        assert sorted(one.query.tolist()) == splits["test"].tolist()
        assert_array_equal(one.classes[one.query_y], labels[one.query])


def test_draws_differ_are_named_by_the_seed_and_nested_in_the_shots():
    labels, splits = parts()
    few, more = (training_draws(labels, splits, "train", "test", shot, 4, 7) for shot in (2, 4))
    assert len({tuple(sorted(few[k].support.tolist())) for k in range(4)}) > 1
    assert all(set(few[k].support.tolist()) < set(more[k].support.tolist()) for k in range(4))
    again = training_draws(labels, splits, "train", "test", 2, 4, 7)
    assert again.manifest(0, 4) == few.manifest(0, 4)
    assert training_draws(labels, splits, "train", "test", 2, 4, 8).manifest(0, 4) != few.manifest(0, 4)


def test_examples_are_drawn_uniformly():
    labels, splits = parts((6, 6), (1, 1))
    draws = training_draws(labels, splits, "train", "test", 2, 3000, 0)
    counts = np.bincount(np.concatenate([draws[k].support for k in range(3000)]), minlength=12)
    # each item is in a draw with chance 1/3; four standard deviations
    assert np.abs(counts - 1000).max() < 4 * np.sqrt(3000 * 2 / 9)


def test_errors_of_draws():
    labels, splits = parts()
    with pytest.raises(EpisodeError, match=r"draws need the split 'val', got \['train', 'test'\]"):
        training_draws(labels, splits, "val", "test", 1, 2)
    with pytest.raises(EpisodeError, match="6 examples of every class need as many items in 'train', got 5 of class 2"):
        training_draws(labels, splits, "train", "test", 6, 2)
    splits["train"] = splits["train"][labels[splits["train"]] != 4]
    with pytest.raises(EpisodeError, match="classes of 'test' must have items in 'train', got none for class 4"):
        training_draws(labels, splits, "train", "test", 1, 2)
