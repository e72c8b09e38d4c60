"""Density ratios against two Gaussians whose ratio is known, and rules by name."""

import numpy as np
import pytest

from fewshot.errors import StatisticsError, UnknownNameError
from fewshot.statistics.choosing.density_ratio import density_ratio
from fewshot.statistics.choosing.index import LOWER_IS_BETTER, ON_SOURCE, ON_TARGET, best, find_rule


def gaussians(seed=0, s=20000, t=8000):
    """N(0, I) and N(m, I): the ratio at x is exp(m x - m² / 2)."""
    rng, move = np.random.default_rng(seed), np.array([0.8, -0.4])
    return rng.normal(size=(s, 2)), rng.normal(size=(t, 2)) + move, rng.normal(size=(500, 2)), move


def test_the_ratio_of_two_gaussians():
    source, target, rows, move = gaussians()
    truth = np.exp(rows @ move - move @ move / 2)
    found = density_ratio(source, target, rows)
    assert np.abs(np.log(found / truth)).max() < 0.15
    assert density_ratio(source, target, source).mean() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("slip", ["upside down", "sizes forgotten", "a probability"])
def test_wrong_ratios_differ(slip):
    source, target, rows, move = gaussians()
    truth, found = np.exp(rows @ move - move @ move / 2), density_ratio(source, target, rows)
    odds = found * len(target) / len(source)
    wrong = {"upside down": 1 / found, "sizes forgotten": odds, "a probability": odds / (1 + odds)}[slip]
    assert np.abs(np.log(wrong / truth)).max() > 0.5


def test_units_of_columns_do_not_matter():
    source, target, rows, _ = gaussians(s=300, t=200)
    unit = np.array([1000.0, 0.01])
    np.testing.assert_allclose(density_ratio(source * unit, target * unit, rows * unit), density_ratio(source, target, rows), rtol=1e-4)  # fmt: skip


def test_rules_by_name_take_the_best():
    assert set(LOWER_IS_BETTER) == {"entropy", *ON_SOURCE}
    for name in ON_TARGET | ON_SOURCE:
        assert callable(find_rule(name))
        assert best(name, {"a": 2.0, "b": 1.0, "c": 1.0}) == ("b" if name in LOWER_IS_BETTER else "a")


def test_a_choice_by_labels_of_the_target_is_refused(no_shape_hook):
    for name in ("oracle", "target accuracy"):
        with pytest.raises(StatisticsError, match="a choice by labels of the target is refused, for nobody has them"):
            best(name, {"a": 1.0})
    with pytest.raises(UnknownNameError, match="entropy"):
        find_rule("entropi")
    with pytest.raises(StatisticsError, match="needs a candidate"):
        best("entropy", {})
    with pytest.raises(StatisticsError, match="must have the same columns, got 2, 3 and 2"):
        density_ratio(np.ones((3, 2)), np.ones((3, 3)), np.ones((3, 2)))
