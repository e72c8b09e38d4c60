"""TIM-GD, alpha-TIM and TIM-ADM: automatic differentiation with torch's Adam, and the alternation in NumPy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make import episode, episodes
from scipy.special import softmax
from slips import Slipped
from torch.nn.functional import cosine_similarity, cross_entropy, one_hot
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.transductive.alpha_tim import AlphaTIM
from fewshot.learners.transductive.tim_adm import TIMADM
from fewshot.learners.transductive.tim_gd import TIMGD
from fewshot.testing import check_learner


def lengths_1(z):
    return z / z.square().sum(1, keepdim=True).sqrt()


def entropy(p, alpha=1.0):
    """Of each row: Shannon's, or (1 − Σ p^alpha) / (alpha − 1)."""
    return -(p * p.log()).sum(-1) if alpha == 1 else (1 - p.pow(alpha).sum(-1)) / (alpha - 1)


def gradient_oracle(
    support,
    query,
    weights=(0.1, 1.0, 0.1),
    alpha=1.0,
    temperature=15.0,
    classifier="l2",
    lr=1e-4,
    steps=1000,
    slip=None,
):
    """Eqs. 1 to 4 of Boudiaf et al. (2020), differentiated automatically, one episode."""
    x, q = lengths_1(support.x.double()), lengths_1(query.double())
    w = torch.stack([x[support.y == k].mean(0) for k in range(support.n_way)]).requires_grad_()

    def scores(z):
        if classifier == "cosine":
            return temperature * cosine_similarity(z[:, None], w, dim=-1)
        half = 1 if slip == "temperature not halved" else 2
        return -temperature / half * (z[:, None] - w).square().sum(-1)

    adam = torch.optim.SGD([w], lr=10 * lr) if slip == "plain gradient" else torch.optim.Adam([w], lr=lr)
    with torch.enable_grad():
        for _ in range(steps):
            p = scores(q).softmax(-1)
            ce = cross_entropy(scores(x), support.y, reduction="sum" if slip == "sum over the support" else "mean")
            of_x = one_hot(support.y, support.n_way) * scores(x).softmax(-1).pow(1 - alpha)
            ce = (1 - of_x.sum(-1)).div(alpha - 1).mean() if slip == "alpha cross-entropy" else ce
            mean = torch.cat([p, scores(x).softmax(-1)]).mean(0) if slip == "support in the marginal" else p.mean(0)
            marginal = p.log().mean(0).softmax(0) if slip == "geometric mean" else mean
            loss = weights[0] * ce - weights[1] * entropy(marginal, alpha) + weights[2] * entropy(p, alpha).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
        return scores(q).log_softmax(-1).detach()


def agree(learner, case, oracle=gradient_oracle, **options):
    support, query, _ = case
    expected = torch.as_tensor(oracle(support, query, **options))
    assert_close(learner.adapt(support)(query), expected, rtol=1e-6, atol=1e-6)


@settings(max_examples=10)
@given(episodes(), st.sampled_from(["l2", "cosine"]), st.sampled_from([1e-4, 1e-2]))
def test_gradient_steps_are_those_of_automatic_differentiation(case, classifier, lr):
    agree(TIMGD(classifier=classifier, lr=lr, steps=20), case, classifier=classifier, lr=lr, steps=20)
    other = {"temperature": 3.0, "classifier": classifier, "lr": lr, "steps": 20}
    agree(TIMGD(3.0, 1.0, 0.5, 0.3, classifier, lr, 20), case, weights=(1.0, 0.5, 0.3), **other)


@settings(max_examples=10)
@given(episodes(), st.sampled_from([0.5, 2.0, 5.0, 7.0]))
def test_alpha_entropies_are_those_of_automatic_differentiation(case, alpha):
    agree(AlphaTIM(alpha, steps=20, lr=1e-2), case, weights=(1, 1, 1), alpha=alpha, steps=20, lr=1e-2)


@pytest.mark.parametrize(("shots", "alpha"), [((1, 1, 1), 2.0), ((5, 5), 7.0), ((9, 3), 7.0), ((3, 1, 2), 5.0)])
def test_alpha_is_the_authors_for_the_shots(shots, alpha):
    case = episode(shots, spread=2.0)
    agree(AlphaTIM(steps=20), case, weights=(1, 1, 1), alpha=alpha, steps=20)


def test_alpha_1_is_tim():
    support, query, _ = episode((3, 1, 2), queries=9)
    same = AlphaTIM(1.0, 15.0, 0.1, 1.0, 0.1, steps=30).adapt(support)(query)
    assert_close(same, TIMGD(steps=30).adapt(support)(query), rtol=0, atol=0)


def test_the_published_steps_also_agree():
    case = episode((2, 1, 1), 4, queries=6, spread=2.0)
    agree(TIMGD(), case)


def alternation(support, query, weights=(0.1, 1.0, 0.1), temperature=15.0, steps=150, slip=None):
    """The authors' updates with features in full: eqs. 5 to 7 of Boudiaf et al. (2020)."""
    x, q = (lengths_1(z.double()).numpy() for z in (support.x, query))
    y = np.eye(support.n_way)[support.y.numpy()]
    w = y.T @ x / y.sum(0)[:, None]
    ce, marginal, conditional = weights

    def p_of(z):
        return softmax(-temperature / 2 * ((z[:, None] - w) ** 2).sum(-1), axis=1)

    a, r = ce / (1 + conditional), len(x) / len(q)
    r = 1.0 if slip == "queries not averaged" else r
    for _ in range(steps):
        ps, pq = p_of(x), p_of(q)
        sharp = pq ** (1 if slip == "not sharpened" else 1 + conditional)
        assigned = sharp / (1 if slip == "no balance" else sharp.sum(0) ** (marginal / (1 + marginal)))
        assigned = assigned / assigned.sum(1, keepdims=True)
        drag = 0 if slip == "means of assignments" else 1
        of_x = a * (y.T @ x + drag * (w * ps.sum(0)[:, None] - ps.T @ x))
        of_q = r * (assigned.T @ q + drag * (w * pq.sum(0)[:, None] - pq.T @ q))
        w = (of_x + of_q) / (a * y.sum(0) + r * assigned.sum(0))[:, None]
    return np.log(p_of(q))


@settings(max_examples=15)
@given(episodes(), st.sampled_from([(0.1, 1.0, 0.1), (1.0, 0.5, 0.3), (0.5, 0.0, 0.0)]), st.integers(0, 20))
def test_alternations_are_those_of_the_transcription(case, weights, steps):
    agree(TIMADM(15.0, *weights, steps), case, alternation, weights=weights, steps=steps)


def test_the_published_alternations_also_agree():
    agree(TIMADM(), episode((2, 1, 1), 4, queries=6, spread=2.0), alternation)


def objective(support, query, scores, temperature=15.0):
    """Information that the queries gain, by their probabilities: higher is better."""
    p = scores.exp()
    return (entropy(p.mean(-2)) - 0.1 * entropy(p).mean(-1)).item()


@pytest.mark.parametrize("learner", [TIMGD(lr=1e-3, steps=200), TIMADM()], ids=["gd", "adm"])
def test_information_is_gained(learner):
    support, query, _ = episode((1, 1, 1), 8, queries=30, spread=2.0)
    before = objective(support, query, TIMGD(steps=0).adapt(support)(query))
    assert objective(support, query, learner.adapt(support)(query)) > before + 0.05


# Planted wrong formulas ------------------------------------------------------------------------------

HARD = episode((3, 1, 2), queries=12, spread=2.0)
ALPHA = {"weights": (1.0, 1.0, 1.0), "alpha": 5.0}
SLIPS = [
    (gradient_oracle, {}, {"weights": (0.1, 1.0, 1.0)}),
    (gradient_oracle, {}, {"slip": "temperature not halved"}),
    (gradient_oracle, {}, {"slip": "sum over the support"}),
    (gradient_oracle, {}, {"slip": "support in the marginal"}),
    (gradient_oracle, {}, {"slip": "geometric mean"}),
    (gradient_oracle, {}, {"slip": "plain gradient"}),
    (gradient_oracle, ALPHA, {"alpha": 7.0}),
    (gradient_oracle, ALPHA, {"weights": (0.1, 1.0, 0.1)}),
    (gradient_oracle, ALPHA, {"slip": "alpha cross-entropy"}),
    (alternation, {}, {"slip": "queries not averaged"}),
    (alternation, {}, {"slip": "not sharpened"}),
    (alternation, {}, {"slip": "no balance"}),
    (alternation, {}, {"slip": "means of assignments"}),
]


@pytest.mark.parametrize(
    ("learner", "oracle", "options"),
    [
        (TIMGD(steps=20), gradient_oracle, {"steps": 20}),
        (AlphaTIM(5.0, steps=20), gradient_oracle, ALPHA | {"steps": 20}),
        (TIMADM(steps=20), alternation, {"steps": 20}),
    ],
)
def test_the_frame_of_the_wrong_formulas_is_right(learner, oracle, options):
    agree(learner, HARD, oracle, **options)
    agree(Slipped(oracle, **options), HARD, oracle, **options)
    check_learner(learner)


@pytest.mark.slip
@pytest.mark.parametrize(("oracle", "right", "slip"), SLIPS, ids=lambda v: getattr(v, "__name__", str(v)))
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(oracle, right, slip):
    check_learner(Slipped(oracle, **{**right, **slip, "steps": 4}))
    with pytest.raises(AssertionError):
        agree(Slipped(oracle, **{**right, **slip, "steps": 20}), HARD, oracle, **right, steps=20)


# easyfsl --------------------------------------------------------------------------------------------


def easyfsls(support, query, temperature=10.0, steps=50):
    """easyfsl 1.5.0: cosines, weights (1, 1, 0.1), temperature 10; features need no length, prototypes keep theirs."""
    x, q = support.x, query
    w = torch.stack([x[support.y == k].mean(0) for k in range(support.n_way)]).requires_grad_()
    adam = torch.optim.Adam([w], lr=1e-4)
    with torch.enable_grad():
        for _ in range(steps):
            cosines = [temperature * cosine_similarity(z[:, None], w, dim=-1) for z in (x, q)]
            p = cosines[1].softmax(1)
            loss = cross_entropy(cosines[0], support.y) - entropy(p.mean(0)) + 0.1 * entropy(p).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
    return temperature * cosine_similarity(q[:, None], w, dim=-1).detach()


def test_easyfsl_is_reached_by_its_deviations_and_not_without():
    support, query, _ = episode((3, 1, 2), queries=12, spread=2.0)
    support = support.map(lambda x: x / x.norm(dim=-1, keepdim=True))
    theirs = easyfsls(support, query).log_softmax(-1)
    deviations = {"support_weight": 1.0, "temperature": 10.0, "classifier": "cosine"}
    assert_close(TIMGD(**deviations, steps=50).adapt(support)(query), theirs, rtol=1e-6, atol=1e-6)
    for left_out in deviations:
        fewer = {k: v for k, v in deviations.items() if k != left_out}
        with pytest.raises(AssertionError):
            assert_close(TIMGD(**fewer, steps=50).adapt(support)(query), theirs, rtol=1e-4, atol=1e-4)


# Edges ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("learner", [TIMGD(steps=30), AlphaTIM(steps=30), TIMADM()], ids=["gd", "alpha", "adm"])
def test_a_batch_is_its_episodes_and_types_stay(learner):
    support, query, _ = episode((3, 1, 2), episodes=100)
    scores = learner.adapt(support)(query)
    alone = torch.stack([learner.adapt(support[k])(query[k]) for k in range(0, 100, 20)])
    assert_close(scores[::20], alone, rtol=1e-9, atol=1e-9)
    single = learner.adapt(support.map(lambda x: x.float()))(query.float())
    assert single.dtype == torch.float32
    assert_close(single, scores.float(), rtol=1e-2, atol=2e-2)
    with torch.no_grad():
        assert not learner.adapt(support)(query).requires_grad
    assert_close(scores.exp().sum(-1), torch.ones_like(scores[..., 0]))


def test_nothing_is_differentiated_through():
    support, query, _ = episode((2, 1))
    asked = SupportSet(support.x.requires_grad_(), support.y, 2)
    assert not TIMGD(steps=3).adapt(asked)(query).requires_grad


def test_a_known_number():
    """By hand, no step: a query at 45 degrees between (1, 0) and (0, 1), then one at the first of them."""
    support = SupportSet(torch.eye(2, dtype=torch.float64), torch.tensor([0, 1]), 2)
    query = torch.tensor([[3.0, 3.0], [2.0, 0.0]], dtype=torch.float64)
    for learner in (TIMGD(steps=0), AlphaTIM(steps=0), TIMADM(steps=0)):
        p = learner.adapt(support)(query).exp()
        assert_close(p[0], torch.tensor([0.5, 0.5], dtype=torch.float64))
        assert_close(p[1, 0].item(), 1 / (1 + math.exp(-15)))


def test_errors_say_what_must_hold():
    with pytest.raises(FewShotError, match=r"alpha, temperature and lr must be above 0, got 1.0, 0.0, 0.0001"):
        TIMGD(temperature=0.0)
    with pytest.raises(FewShotError, match=r"alpha, temperature and lr must be above 0, got -1.0, 15.0"):
        AlphaTIM(-1.0)
    with pytest.raises(FewShotError, match=r"weights must be 0 or more, got \(-1.0, 1.0, 0.1\)"):
        TIMGD(support_weight=-1.0)
    with pytest.raises(FewShotError, match="classifier must be 'l2' or 'cosine', got 'dot'"):
        TIMGD(classifier="dot")
    with pytest.raises(FewShotError, match=r"temperature must be above 0, got nan"):
        TIMADM(temperature=math.nan)
    with pytest.raises(FewShotError, match=r"support_weight must be above 0, got 0.0"):
        TIMADM(support_weight=0.0)
    with pytest.raises(FewShotError, match="steps must be a whole number of at least 0, got -1"):
        TIMADM(steps=-1)
    for learner in (TIMGD(), AlphaTIM(), TIMADM()):
        with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
            learner.adapt(SupportSet(torch.zeros(1, 2), torch.tensor([0]), 2))


@pytest.mark.parametrize("learner", [TIMGD(steps=60, lr=1.0), AlphaTIM(steps=60, lr=1.0)], ids=["gd", "alpha"])
def test_steps_that_are_far_too_large_leave_numbers(learner):
    """A class that no query wants has probability 0, whose logarithm is none."""
    support, query, _ = episode((1,) * 5, 64, queries=15, episodes=30, spread=3.0, dtype=torch.float32)
    assert learner.adapt(support)(query).isfinite().all()
