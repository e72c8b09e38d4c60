"""Tied EM: a transcription with SciPy's densities that forms every matrix, and scikit-learn's mixture."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from make import episode, episodes
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture
from slips import Slipped
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.learners.transductive.tied_em import TiedEM
from fewshot.testing import check_learner


def m_step(z, r, pull, shrinkage, n, slip=None):
    """Means of the items, and their covariance: the mode under a prior that counts as n γ / (1 − γ) items."""
    means = [(r[:, k, None] * z).sum(0) / r[:, k].sum() for k in range(r.shape[1])]
    scatter = np.zeros((z.shape[1],) * 2)
    for i in range(len(z)):
        for k, mean in enumerate(means):
            scatter += r[i, k] * np.outer(z[i] - mean, z[i] - mean)
    scatter = np.diag(np.diag(scatter)) if slip == "diagonal" else scatter
    weight = r.sum()
    if slip == "start without the prior's weight":
        n = weight
    q = (1 - shrinkage) * scatter + shrinkage * n * pull * np.eye(z.shape[1])
    return means, q / ((1 - shrinkage) * weight + shrinkage * n)


def oracle(support, query, shrinkage=0.5, prior="uniform", steps=20, slip=None, trace=None):
    """Log-probabilities of one episode; ``trace`` collects the penalised log-likelihood before every M-step."""
    x, q, y = support.x.double().numpy(), query.double().numpy(), support.y.numpy()
    z, n_way, n, s = np.concatenate([x, q]), support.n_way, len(x) + len(q), len(x)
    pull = z.var(0).mean()
    given = np.eye(n_way)[y]
    log_prior = np.full(n_way, -np.log(n_way))
    means, cov = m_step(x, given, pull, shrinkage, n, slip)
    for step in range(steps + 1):
        density = np.stack([multivariate_normal(m, cov).logpdf(z).reshape(n) for m in means], 1)
        if slip == "no half":
            density = 2 * density
        joint = density[s:] + log_prior
        if trace is not None:
            trace.append(penalised(density[:s], y, joint, log_prior, cov, pull, shrinkage, prior))
        if step == steps:
            break
        r = np.concatenate([given, np.exp(joint - logsumexp(joint, axis=1, keepdims=True))])
        if slip == "support not held":
            r = np.exp(density + log_prior - logsumexp(density + log_prior, axis=1, keepdims=True))
        if slip == "hard":
            r = np.eye(n_way)[r.argmax(1)]
        if slip == "queries alone":
            means, cov = m_step(q, r[s:] + 1e-9, pull, shrinkage, len(q))
        else:
            means, cov = m_step(z, r, pull, shrinkage, n, slip)
        if prior == "estimated":
            log_prior = np.log((r[s:].sum(0) + 1) / (len(q) + n_way))
    return joint - logsumexp(joint, axis=1, keepdims=True)


def penalised(support, y, joint, log_prior, cov, pull, shrinkage, prior):
    """Log-likelihood of the support given its classes and of the queries, and the logarithms of both priors."""
    value = support[np.arange(len(y)), y].sum() + logsumexp(joint, axis=1).sum()
    if shrinkage < 1:
        items = (len(y) + len(joint)) * shrinkage / (1 - shrinkage)
        value -= items / 2 * (np.linalg.slogdet(cov)[1] + pull * np.trace(np.linalg.inv(cov)))
    return value + (log_prior.sum() if prior == "estimated" else 0.0)


def agree(learner, case, **options):
    support, query, _ = case
    assert_close(
        learner.adapt(support)(query), torch.from_numpy(oracle(support, query, **options)), rtol=1e-7, atol=1e-7
    )


PRIORS = st.sampled_from(["uniform", "estimated"])


@given(episodes(), st.sampled_from([0.02, 0.3, 0.5, 1.0]), PRIORS, st.sampled_from([0, 1, 2, 9]))
def test_log_probabilities_are_those_of_the_transcription(case, shrinkage, prior, steps):
    agree(TiedEM(shrinkage, prior, steps), case, shrinkage=shrinkage, prior=prior, steps=steps)


@pytest.mark.parametrize("dim", [2, 30, 200])
def test_so_they_are_with_more_features_than_items(dim):
    agree(TiedEM(), episode((3, 1, 2), dim, queries=12, spread=6.0))


@given(episodes(spread=3.0), st.sampled_from([0.05, 0.5, 0.9]), PRIORS)
def test_the_penalised_likelihood_never_falls(case, shrinkage, prior):
    trace = []
    oracle(*case[:2], shrinkage, prior, steps=12, trace=trace)
    assert len(trace) == 13
    assert np.diff(trace).min() > -1e-8 * np.abs(trace).max()


def test_it_is_scikit_learns_mixture_where_the_support_is_sure_of_its_classes_anyway():
    """Many overlapping queries, and support items far out on the side of their classes, hardly shrunken."""
    rng = np.random.default_rng(0)
    turn = np.array([[2.0, 0.3], [0.0, 0.7]])
    centres = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 3.0]])
    q = centres[rng.choice(3, 600, p=[0.5, 0.3, 0.2])] + rng.normal(size=(600, 2)) @ turn
    x = np.array([[-3.0, -2.0], [8.0, -2.0], [-1.0, 6.0]])
    mixture = GaussianMixture(3, covariance_type="tied", means_init=x, tol=1e-10, max_iter=2000, reg_covar=0.0)
    theirs = mixture.fit(np.concatenate([x, q])).predict_proba(q)
    support = SupportSet(torch.from_numpy(x), torch.arange(3), 3)
    ours = TiedEM(1e-6, "estimated", 200).adapt(support)(torch.from_numpy(q)).exp().numpy()
    assert (theirs.max(1) < 0.9).mean() > 0.05  # not all is clear
    np.testing.assert_allclose(ours, theirs, atol=2e-2)


@given(episodes())
def test_with_full_shrinkage_and_no_step_it_is_the_nearest_mean(case):
    support, query, _ = case
    variance = torch.cat([support.x, query]).var(0, correction=0).mean().item()
    plain = NearestMean(temperature=2 * variance).adapt(support)(query).log_softmax(-1)
    assert_close(TiedEM(1.0, steps=0).adapt(support)(query), plain)


@given(episodes(), st.floats(0.1, 10), st.floats(-50, 50))
def test_neither_scale_nor_origin_nor_axes_matter(case, scale, offset):
    support, query, _ = case
    dim = query.shape[-1]
    axes = torch.linalg.qr(torch.randn(dim, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
    moved = TiedEM(steps=5).adapt(support.map(lambda x: scale * x @ axes + offset))(scale * query @ axes + offset)
    assert_close(moved, TiedEM(steps=5).adapt(support)(query), rtol=1e-6, atol=1e-6)


OPTIONS = [{}, {"prior": "estimated"}, {"steps": 0}, {"shrinkage": 1.0}, {"shrinkage": 0.05}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_keeps_the_contract(options):
    check_learner(TiedEM(**options))


SLIPS = [
    {"slip": "diagonal"},
    {"slip": "no half"},
    {"slip": "hard"},
    {"slip": "support not held"},
    {"slip": "queries alone"},
    {"slip": "start without the prior's weight"},
    {"steps": 3},
    {"shrinkage": 0.6},
]


def test_the_frame_of_the_wrong_formulas_is_right():
    case = episode((3, 1, 2), queries=12, spread=3.0)
    agree(Slipped(oracle, steps=4), case, steps=4)
    agree(TiedEM(steps=4), case, steps=4)


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS, ids=str)
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(slip):
    wrong = Slipped(oracle, **{"steps": 4, **slip})
    check_learner(wrong)
    with pytest.raises(AssertionError):
        agree(wrong, episode((3, 1, 2), queries=12, spread=3.0), steps=4)


# Edges ----------------------------------------------------------------------------------------------


def test_a_batch_is_its_episodes_and_types_stay():
    support, query, _ = episode((3, 1, 2), episodes=300)
    scores = TiedEM().adapt(support)(query)
    alone = torch.stack([TiedEM().adapt(support[k])(query[k]) for k in range(0, 300, 50)])
    assert_close(scores[::50], alone, rtol=1e-8, atol=1e-8)
    single = TiedEM().adapt(support.map(lambda x: x.float()))(query.float())
    assert single.dtype == torch.float32
    assert_close(single.exp(), scores.float().exp(), rtol=0, atol=1e-2)


def test_an_estimated_prior_follows_unbalanced_queries():
    """Classes that overlap, 57 queries of the first and 3 of the second; labels are only counted here."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [57, 3])
    q = torch.from_numpy(rng.normal(size=(60, 2)) + 2.5 * labels[:, None])
    support = SupportSet(torch.tensor([[0.0, 0.0], [2.5, 2.5]], dtype=torch.float64), torch.tensor([0, 1]), 2)
    shares = {
        prior: TiedEM(prior=prior).adapt(support)(q).exp().mean(0)[0].item() for prior in ("uniform", "estimated")
    }
    assert shares["uniform"] < 0.93 < shares["estimated"]


def test_a_single_query_and_equal_items_are_answered():
    support, query, _ = episode((2, 1, 1), queries=1)
    assert_close(TiedEM().adapt(support)(query), torch.from_numpy(oracle(support, query)), rtol=1e-7, atol=1e-7)
    same = TiedEM().adapt(support.map(torch.zeros_like))(torch.zeros_like(query)).exp()
    assert_close(same, torch.full_like(same, 1 / 3))
    lone = SupportSet(torch.zeros(1, 2, dtype=torch.float64), torch.zeros(1, dtype=torch.long), 1)
    assert TiedEM(prior="estimated").adapt(lone)(torch.ones(1, 2, dtype=torch.float64)).tolist() == [[0.0]]


def test_a_known_number():
    """By hand: one example a class at −1 and 1, queries at −3 and 3; τ = 5, and the start has Q = (2·0 + 4·5) / 6."""
    support = SupportSet(torch.tensor([[-1.0], [1.0]], dtype=torch.float64), torch.tensor([0, 1]), 2)
    query = torch.tensor([[-3.0], [3.0]], dtype=torch.float64)
    p = 1 / (1 + np.exp(-6 / (10 / 3)))
    assert_close(TiedEM(steps=0).adapt(support)(query)[1, 1].exp().item(), p)
    mean = (1 + 3 * p - 3 * (1 - p)) / 2  # one step; two items a class, and Q is the mean of their variance and τ
    q = (5 - mean**2) / 2 + 5 / 2
    after = TiedEM(steps=1).adapt(support)(query)[1, 1].exp().item()
    assert_close(after, 1 / (1 + np.exp(-6 * mean / q)))
    assert round(after, 4) == 0.925


def test_errors_say_what_must_hold():
    for shrinkage in (0.0, 1.1, float("nan")):
        with pytest.raises(FewShotError, match=f"shrinkage must be above 0 and at most 1, got {shrinkage}"):
            TiedEM(shrinkage)
    with pytest.raises(FewShotError, match="prior must be 'uniform' or 'estimated', got 'counted'"):
        TiedEM(prior="counted")
    with pytest.raises(FewShotError, match="steps must be a whole number of at least 0, got -1"):
        TiedEM(steps=-1)
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        TiedEM().adapt(SupportSet(torch.zeros(1, 2), torch.tensor([0]), 2))
