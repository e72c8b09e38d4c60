"""Pairs of examples, and SetFit on all-MiniLM-L6-v2: counts, balance, what training must do, what it must leave."""

import random
from collections import Counter
from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import cosine_similarity
from torch.testing import assert_close

from fewshot import SupportSet, load_backbone
from fewshot.contract import prepare
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.text.pair_training import train_on_pairs
from fewshot.learners.text.pairs import count_pairs, draw_pairs
from fewshot.learners.text.setfit import SetFit

LABELS = np.array([0, 1, 1, 2, 0, 1, 1])


def test_eight_examples_of_two_classes_give_640_pairs():
    labels = np.arange(2).repeat(8)
    assert count_pairs(labels, "iterations", 20) == 640
    same = [kind for _, _, kind in draw_pairs(labels, "iterations", 640, 0)]
    assert len(same) == 640 and sum(same) == 320


@given(st.lists(st.integers(0, 3), min_size=2, max_size=9), st.integers(0, 99))
def test_pairs_are_of_the_kind_that_they_say(labels, seed):
    labels = np.array(labels)
    sizes = Counter(labels.tolist())
    for strategy in ("iterations", "oversampling"):
        for first, second, same in draw_pairs(labels, strategy, 40, seed):
            assert same == (labels[first] == labels[second])
            assert first != second or (sizes[labels[first]] == 1 and same)


def test_every_example_leads_equally_often():
    leads = Counter((first, same) for first, _, same in draw_pairs(LABELS, "iterations", 2 * 5 * len(LABELS), 3))
    assert set(leads.values()) == {5} and len(leads) == 2 * len(LABELS)


def test_every_pair_of_a_kind_is_equally_likely_where_all_pairs_are_asked():
    total = 60_000
    found = Counter(
        (min(first, second), max(first, second)) for first, second, same in draw_pairs(LABELS, "oversampling", total, 0)
    )
    alike = [(i, j) for i in range(7) for j in range(i + 1, 7) if LABELS[i] == LABELS[j]]
    other = [(i, j) for i in range(7) for j in range(i + 1, 7) if LABELS[i] != LABELS[j]]
    for pairs in (alike, other):
        expected = total / 2 / len(pairs)
        assert max(abs(found[pair] - expected) for pair in pairs) < 5 * np.sqrt(expected)
    assert count_pairs(LABELS, "oversampling", 20) == 2 * max(len(alike), len(other))


@pytest.mark.slip
def test_leads_in_turn_would_be_seen_where_all_pairs_are_equally_likely():
    """The paper's pairs are not uniform: the lone example of class 2 leads as often as all others."""
    found = Counter(first for first, _, same in draw_pairs(LABELS, "iterations", 7000, 0) if same)
    assert found[3] == 500


TEXTS = ["I lost my card", "how much money do I have", "my card was stolen", "show my balance", "the card is gone"]
Y = torch.tensor([0, 1, 0, 1, 0])
ASKED = ["somebody took my card", "what is on my account"]


def array(items):
    return np.array(items, np.dtypes.StringDType())


@pytest.fixture(scope="module")
def backbone():
    """The model without dropout, so that a step can be computed again."""
    network = load_backbone("sentence-transformers:all-MiniLM-L6-v2")
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return network


def support(texts=TEXTS, y=Y, seed=5):
    return SupportSet(array(texts)[None], y[None], 2, seed=torch.tensor([seed]))


def embed(network, texts):
    with torch.no_grad():
        return network(prepare(network, array(texts)))


def test_without_training_it_is_logistic_regression_on_the_embeddings(backbone):
    learner = SetFit(backbone, iterations=1, learning_rate=1e-30)
    found = learner.adapt(support())(array(ASKED)[None])[0].softmax(-1)
    fitted = LogisticRegression(C=1.0).fit(embed(backbone, TEXTS).numpy(), Y.numpy())
    assert_close(
        found.numpy(), fitted.predict_proba(embed(backbone, ASKED).numpy()), atol=1e-3, rtol=0, check_dtype=False
    )


def weights(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def one_step(network, pairs, slip=None):
    """The first step of AdamW on the squared error of cosines, by hand; gradients are cut at length 1."""
    network = deepcopy(network).train()
    first, second = ([TEXTS[pair[k]] for pair in pairs] for k in (0, 1))
    wanted = torch.tensor([float(same) for *_, same in pairs])
    wanted = {"signs": 2 * wanted - 1, "swapped": 1 - wanted}.get(slip, wanted)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-5, weight_decay=0.0)
    with torch.enable_grad():
        cosine = cosine_similarity(*(network(prepare(network, array(t))) for t in (first, second)))
        loss = ((cosine - wanted).abs() if slip == "absolute" else (cosine - wanted) ** 2).mean()
        loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    return weights(network)


@pytest.fixture(scope="module")
def first_step(backbone):
    """Weights after one step of the learner, and its pairs."""
    trained = deepcopy(backbone)
    train_on_pairs(trained, array(TEXTS), Y.numpy(), pairs="iterations", total=8, batch=8, learning_rate=2e-5, seed=5)
    return weights(trained), list(draw_pairs(Y.numpy(), "iterations", 8, 5))


def test_a_step_is_that_of_the_paper(backbone, first_step):
    before, (after, pairs) = weights(backbone), first_step
    moved, expected = after - before, one_step(backbone, pairs) - before
    # Adam's first step is the rate times a sign, which rounding decides where a gradient is next to nothing
    assert float(((moved - expected).abs() > 1e-6).float().mean()) < 0.01 and float(moved.abs().max()) > 1e-5


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["signs", "swapped", "absolute"])
def test_a_step_with_a_slip_would_be_seen(backbone, first_step, slip):
    before, (after, pairs) = weights(backbone), first_step
    wrong = one_step(backbone, pairs, slip) - before
    assert float(((after - before - wrong).abs() > 1e-6).float().mean()) > 0.05


def test_training_draws_classes_together_and_leaves_the_rest_as_it_was(backbone, no_shape_hook):
    # the shape hook itself draws from the global generator of Python
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state()  # noqa: NPY002
    before, learner = weights(backbone), SetFit(backbone, iterations=6, learning_rate=1e-4)
    with torch.no_grad():
        classify = learner.adapt(support())
        scores = classify(array(ASKED)[None])
        again = learner.adapt(support())(array(ASKED)[None])
    assert scores.argmax(-1).tolist() == [[0, 1]] and not scores.requires_grad
    assert_close(scores, again)
    assert_close(weights(backbone), before, rtol=0, atol=0)
    assert random.getstate() == states[0] and np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
    assert torch.equal(torch.random.get_rng_state(), states[2])

    trained = deepcopy(backbone)
    train_on_pairs(trained, array(TEXTS), Y.numpy(), pairs="iterations", total=60, batch=16, learning_rate=1e-4, seed=5)

    def gap(network):
        cosine = embed(network, TEXTS) @ embed(network, TEXTS).T
        alike = Y[:, None] == Y
        return float(cosine[alike].mean() - cosine[~alike].mean())

    assert gap(trained) > gap(backbone) + 0.1


def test_a_class_without_example_is_refused(backbone):
    with pytest.raises(EpisodeError, match=r"every class needs a support example, got none for classes \[1\]"):
        SetFit(backbone, iterations=1).adapt(support(y=torch.zeros(5, dtype=torch.long)))


def test_options_are_checked(no_shape_hook, backbone):
    with pytest.raises(FewShotError, match="pairs must be one of iterations, oversampling, got 'all'"):
        SetFit(backbone, pairs="all")
    with pytest.raises(FewShotError, match="iterations must be a whole number of at least 1, got 0"):
        SetFit(backbone, iterations=0)
    with pytest.raises(FewShotError, match="learning_rate must be above 0, got 0"):
        SetFit(backbone, learning_rate=0)
