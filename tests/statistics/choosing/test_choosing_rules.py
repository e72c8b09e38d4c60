"""Rules for choosing without target labels: each by a slow loop, at values worked by hand, and against wrong formulas."""

import math

import numpy as np
import pytest
from scipy.stats import entropy as scipys_entropy

from fewshot.errors import StatisticsError
from fewshot.statistics.choosing.deep_embedded_validation import deep_embedded_validation
from fewshot.statistics.choosing.entropy import entropy
from fewshot.statistics.choosing.information_maximisation import information_maximisation
from fewshot.statistics.choosing.soft_neighbourhood_density import soft_neighbourhood_density
from fewshot.statistics.choosing.source_risk import source_risk
from fewshot.statistics.choosing.weighted_risk import weighted_risk

RNG = np.random.default_rng(0)
LOSSES, WEIGHTS = RNG.random(30), RNG.exponential(size=30)
P = RNG.dirichlet([0.4, 0.7, 1.0], 25)


def dev_oracle(losses, weights, slip=None):
    """Eqs. 8 to 11 of You et al. (2019), sums written out."""
    n = len(losses)
    wl = [w * loss for w, loss in zip(weights, losses, strict=True)]
    mean_wl, mean_w = sum(wl) / n, sum(weights) / n
    cov = sum((a - mean_wl) * (w - mean_w) for a, w in zip(wl, weights, strict=True)) / (n - 1)
    var = sum((w - mean_w) ** 2 for w in weights) / (n if slip == "variance of n" else n - 1)
    if slip == "covariance with the losses":
        cov = np.cov(losses, weights)[0, 1]
    eta = cov / var if slip == "sign" else -cov / var
    return mean_wl + eta * mean_w - (0 if slip == "no constant" else eta)


def snd_oracle(f, temperature=0.05, slip=None):
    f = [row / math.sqrt(sum(v * v for v in row)) for row in f] if slip != "no length" else list(f)
    found = []
    for i, row in enumerate(f):
        near = [
            other @ row / (1 if slip == "no temperature" else temperature)
            for j, other in enumerate(f)
            if j != i or slip == "itself"
        ]
        p = np.exp(np.array(near) - max(near))
        found.append(scipys_entropy(p / p.sum()))
    return np.mean(found)


def test_risks_are_means():
    assert source_risk(LOSSES) == pytest.approx(LOSSES.mean())
    assert weighted_risk(LOSSES, WEIGHTS) == pytest.approx(
        sum(w * loss for w, loss in zip(WEIGHTS, LOSSES, strict=True)) / 30
    )
    assert weighted_risk(LOSSES, np.ones(30)) == pytest.approx(source_risk(LOSSES))


def test_deep_embedded_validation_is_the_sums_written_out():
    assert deep_embedded_validation(LOSSES, WEIGHTS) == pytest.approx(dev_oracle(LOSSES, WEIGHTS))


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["variance of n", "covariance with the losses", "sign", "no constant"])
def test_wrong_formulas_of_deep_embedded_validation_fail(slip):
    assert deep_embedded_validation(LOSSES, WEIGHTS) != pytest.approx(dev_oracle(LOSSES, WEIGHTS, slip))


def test_a_constant_loss_is_found_without_any_error():
    """The weighted loss is then the weight times a constant: the control variate takes all its variance away."""
    assert deep_embedded_validation(np.full(30, 0.7), WEIGHTS) == pytest.approx(0.7)
    assert weighted_risk(np.full(30, 0.7), WEIGHTS) != pytest.approx(0.7, abs=0.01)


def test_weights_of_mean_one_leave_the_weighted_risk():
    normed = WEIGHTS / WEIGHTS.mean()
    assert deep_embedded_validation(LOSSES, normed) == pytest.approx(weighted_risk(LOSSES, normed))
    assert deep_embedded_validation(LOSSES, np.ones(30)) == pytest.approx(LOSSES.mean())


def test_the_control_variate_has_less_variance_and_the_same_mean():
    """The target is N(0.5, 1), the source N(0, 1), the loss x²: its risk is 1.25."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 300))
    w = np.exp(0.5 * x - 0.125)
    plain = [weighted_risk(a**2, b) for a, b in zip(x, w, strict=True)]
    dev = [deep_embedded_validation(a**2, b) for a, b in zip(x, w, strict=True)]
    assert np.mean(plain) == pytest.approx(1.25, abs=0.03)
    assert np.mean(dev) == pytest.approx(1.25, abs=0.04)
    assert np.var(dev) < 0.6 * np.var(plain)


def test_entropies_are_scipys():
    assert entropy(P) == pytest.approx(np.mean([scipys_entropy(row) for row in P]))
    apart = scipys_entropy(P.mean(0)) - np.mean([scipys_entropy(row) for row in P])
    assert information_maximisation(P) == pytest.approx(apart)


@pytest.mark.parametrize(
    ("p", "unsure", "informed"),
    [
        (np.eye(3), 0.0, math.log(3)),
        (np.full((4, 3), 1 / 3), math.log(3), 0.0),
        (np.tile([1.0, 0.0, 0.0], (4, 1)), 0.0, 0.0),
    ],
)
def test_values_by_hand(p, unsure, informed):
    assert entropy(p) == pytest.approx(unsure, abs=1e-12)
    assert information_maximisation(p) == pytest.approx(informed, abs=1e-12)


@pytest.mark.slip
@pytest.mark.parametrize(
    "wrong",
    [lambda p: -(p * np.log2(p)).sum(1).mean(), lambda p: scipys_entropy(p.mean(0)), lambda p: (1 - p.max(1)).mean()],
)
def test_wrong_entropies_fail(wrong):
    assert entropy(P) != pytest.approx(wrong(P))
    assert information_maximisation(P) != pytest.approx(wrong(P))


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_soft_neighbourhood_density_is_the_slow_loop(temperature, monkeypatch):
    whole = soft_neighbourhood_density(P, temperature)
    assert whole == pytest.approx(snd_oracle(P, temperature))
    monkeypatch.setattr("fewshot.statistics.choosing.soft_neighbourhood_density.ROWS", 7)
    assert soft_neighbourhood_density(P, temperature) == pytest.approx(whole)


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["no length", "no temperature", "itself"])
def test_wrong_densities_fail(slip):
    assert soft_neighbourhood_density(P) != pytest.approx(snd_oracle(P, slip=slip))


def test_density_by_hand():
    """Two clusters of three equal rows: each row has two neighbours of the same weight, so the entropy is ln 2."""
    f = np.repeat(np.eye(2), 3, 0)
    assert soft_neighbourhood_density(f, 0.01) == pytest.approx(math.log(2))
    assert soft_neighbourhood_density(np.ones((6, 2))) == pytest.approx(math.log(5))


def test_errors_say_what_must_hold(no_shape_hook):
    for call, sentence in [
        (lambda: source_risk(np.array([])), r"losses must have 1 axes and 1 rows or more, got shape \(0,\)"),
        (lambda: source_risk(np.array([1.0, np.nan])), "losses must be finite, got nan"),
        (lambda: weighted_risk(np.ones(3), np.ones(2)), "losses and weights must be of the same rows, got 3 and 2"),
        (
            lambda: weighted_risk(np.ones(2), np.array([1.0, -1.0])),
            "weights must be 0 or more, and some above, got -1 to 1",
        ),
        (
            lambda: deep_embedded_validation(np.ones(2), np.zeros(2)),
            "weights must be 0 or more, and some above, got 0 to 0",
        ),
        (lambda: entropy(np.array([[0.5, 0.6]])), "sum to 1 in each row, got 0.5 as the least and a sum of 1.1; send"),
        (lambda: information_maximisation(np.array([[1.5, -0.5]])), "probabilities must be 0 or more"),
        (lambda: soft_neighbourhood_density(np.eye(2)), "rows of the target must have 2 axes and 3 rows or more"),
        (lambda: soft_neighbourhood_density(np.zeros((3, 2))), "rows of the target must not be 0"),
        (lambda: soft_neighbourhood_density(np.eye(3), 0.0), "temperature must be above 0, got 0.0"),
    ]:
        with pytest.raises(StatisticsError, match=sentence):
            call()
