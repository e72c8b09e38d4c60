"""CoOp: a tiny BERT of random weights; the context's gradient by central differences, the descent in NumPy."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hybrid_cases import differ, unit
from torch import nn
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from fewshot import load_backbone
from fewshot.backbones.texts import SentenceNetwork
from fewshot.contract import SupportSet, prepare
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.described.coop import CoOp
from fewshot.testing import check_learner

NAMES = ["bank card", "weather", "recipe", "a long way home"]
WORDS = np.dtypes.StringDType()


class Tower(nn.Module):
    """A text tower in float64 that is quick: letters, a context, one layer that mixes; no padding."""

    width = 5

    def __init__(self, dim=6):
        super().__init__()
        rng = np.random.default_rng(0)
        self.letters = torch.from_numpy(rng.normal(size=(128, self.width)))
        self.mix, self.out = (
            torch.from_numpy(rng.normal(size=s)) for s in ((self.width, self.width), (self.width, dim))
        )

    def one(self, name, context):
        tokens = torch.cat([context.to(self.letters), self.letters[[ord(c) for c in name]]])
        place = torch.arange(1, len(tokens) + 1).to(tokens).unsqueeze(-1)
        return torch.tanh(tokens @ self.mix + place.cos()).mean(0) @ self.out

    def prompted(self, texts, context):
        return torch.stack([self.one(name, context) for name in texts])


def case(shots=(3, 1, 0, 2), seed=0, episodes=1):
    rng, n = np.random.default_rng(seed), len(shots)
    y = rng.permuted(np.tile(np.repeat(np.arange(n), shots), (episodes, 1)), axis=1)
    x, query = (torch.from_numpy(rng.normal(size=(episodes, m, 6))) for m in (y.shape[1], 5))
    names = np.array([NAMES[:n]] * episodes, WORDS)
    return SupportSet(x, torch.from_numpy(y), n, names, seed=torch.arange(episodes) + 7), query


def slow(support, query, steps, lr=2e-3, momentum=0.9, decay=5e-4, scale=10.0, m=3, slip=None):
    """Scores of one episode; slopes of the loss by central differences."""
    tower, f, y = Tower(), unit(support.x), support.y.tolist()
    names = support.descriptors.tolist()
    start = torch.randn(m, Tower.width, generator=torch.Generator().manual_seed(int(support.seed))).double()
    v = (1.0 if slip == "deviation 1" else 0.02) * start.numpy().astype(np.float32).astype(float)

    def described(context):
        return unit(tower.prompted(names, torch.from_numpy(context)))

    def loss(context):
        logits = scale * f @ described(context).T
        return float(cross_entropy(torch.from_numpy(logits), torch.tensor(y)))

    speed = np.zeros_like(v)
    for k in range(steps):
        slope = np.zeros_like(v)
        for place in np.ndindex(v.shape):
            up, down = v.copy(), v.copy()
            up[place] += 1e-5
            down[place] -= 1e-5
            slope[place] = (loss(up) - loss(down)) / 2e-5
        if slip == "vectors of one value":
            slope = np.full_like(slope, slope.mean())
        slope += 0 if slip == "no decay" else decay * v
        speed = slope + (0 if slip == "no momentum" else momentum) * speed
        rate = lr * (1 + math.cos(math.pi * k / steps)) / 2
        v = v - (1e-5 if k == 0 and slip != "no warm-up" else lr if slip == "a constant rate" else rate) * speed
    return torch.from_numpy(scale * unit(query) @ described(v).T)


OPTIONS = {"context": 3, "scale": 10.0}


def test_scores_are_those_of_the_transcription():
    support, query = case(episodes=2)
    for steps in (0, 1, 6):
        scores = CoOp(Tower(), steps=steps, lr=0.05, **OPTIONS).adapt(support)(query)
        for k in range(2):
            assert_close(scores[k], slow(support[k], query[k], steps, 0.05), rtol=1e-4, atol=1e-4)


SLIPS = ["deviation 1", "vectors of one value", "no momentum", "no warm-up", "a constant rate"]


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS)
def test_another_descent_would_be_noticed(slip):
    support, query = case()
    right = CoOp(Tower(), steps=6, lr=0.05, **OPTIONS).adapt(support)(query)[0]
    assert differ(right, slow(support[0], query[0], 6, 0.05)) < 1e-4
    assert differ(right, slow(support[0], query[0], 6, 0.05, slip=slip)) > 3e-3


def test_the_loss_of_the_support_falls():
    support, _ = case((4, 3, 3, 2))
    losses = [
        float(cross_entropy(CoOp(Tower(), steps=n, lr=0.05, **OPTIONS).adapt(support)(support.x)[0], support.y[0]))
        for n in (0, 10, 40)
    ]
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0] - 0.05


def test_without_examples_the_names_stand_alone():
    support, query = case()
    empty = replace(support, x=support.x[:, :0], y=support.y[:, :0], seed=None)
    names = unit(Tower().prompted(NAMES, torch.zeros(0, 5)))
    assert_close(CoOp(Tower()).adapt(empty)(query)[0], torch.from_numpy(100 * unit(query[0]) @ names.T))


class OnNumbers(CoOp):
    """Names from numbers, which is what the battery makes."""

    def adapt(self, support):
        names = [[NAMES[0] + chr(97 + int(abs(1000 * row[0])) % 26) for row in one] for one in support.descriptors]
        return super().adapt(replace(support, descriptors=np.array(names, WORDS)))


@pytest.mark.parametrize("shots", [(3, 1, 2), (3, 0, 2), (0, 0, 0)])
def test_the_contract_is_kept(shots):
    learner = OnNumbers(Tower(), steps=3, **OPTIONS)
    check_learner(learner, shots=shots, item_shape=(6,), side_shape=(6,), absent_class="handled", learns=False)


def test_the_encoder_and_the_random_state_are_left_alone(minilm, no_shape_hook):
    state, weights = torch.get_rng_state(), {k: v.clone() for k, v in minilm.state_dict().items()}
    support, query = texts(minilm)
    with torch.no_grad():
        scores = CoOp(minilm, steps=2).adapt(support)(query)
    assert not scores.requires_grad and torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(v, weights[k]) for k, v in minilm.state_dict().items())
    assert all(p.grad is None for p in minilm.parameters())


# all-MiniLM-L6-v2 -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def minilm():
    return load_backbone("sentence-transformers:all-MiniLM-L6-v2")


def texts(encoder):
    items = np.array(["The machine kept my card.", "Will it rain tomorrow?", "How do I get a new PIN?"], WORDS)
    asked = np.array(["Fry the onions gently.", "Is it sunny in Rome?", "My card was refused."], WORDS)
    with torch.no_grad():
        x, query = (encoder(prepare(encoder, part))[None] for part in (items, asked))
    names = np.array([NAMES[:3]], WORDS)
    return SupportSet(x, torch.tensor([[0, 1, 0]]), 3, names, seed=torch.tensor([3])), query


def test_without_a_context_a_prompt_is_the_text(minilm):
    with torch.no_grad():
        assert_close(minilm.prompted(NAMES, torch.zeros(0, minilm.width)), minilm(NAMES), rtol=1e-4, atol=1e-6)


def test_vectors_of_words_as_context_are_those_words(minilm):
    """The oracle is the model itself on the whole sentence."""
    ids = minilm.model.tokenizer("a photo of a", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        table = minilm.get_submodule("model.0").model.get_input_embeddings().weight
        ours = minilm.prompted(NAMES, table[ids])
        assert_close(ours, minilm([f"a photo of a {name}" for name in NAMES]), rtol=1e-4, atol=1e-6)
        assert differ(ours, minilm(NAMES)) > 0.01


def test_it_learns_with_a_real_encoder(minilm):
    support, query = texts(minilm)
    with torch.no_grad():
        other = replace(support, y=1 - support.y)  # names that belong to other items must be talked round
        learners = [CoOp(minilm, steps=n, scale=10.0) for n in (0, 10)]
        losses = [float(cross_entropy(learner.adapt(other)(other.x)[0], other.y[0])) for learner in learners]
        zero_shot = CoOp(minilm).adapt(replace(support, x=support.x[:, :0], y=support.y[:, :0]))(query)
    assert losses[1] < losses[0] - 0.01
    assert zero_shot.argmax(-1).tolist() == [[2, 1, 0]]


def test_models_that_take_no_context_are_refused(minilm, no_shape_hook):
    static = nn.Sequential(nn.Identity())
    static.prompts, static.default_prompt_name = {}, None
    with pytest.raises(FewShotError, match="need a transformer that reads vectors of words, got Identity in 'static'"):
        SentenceNetwork(static, "static").prompted(NAMES, torch.zeros(0, 3))
    minilm.model.tokenizer.padding_side = "left"
    try:
        with pytest.raises(
            FewShotError, match="need texts that are padded on the right, got 'sentence-transformers:all"
        ):
            minilm.prompted(NAMES, torch.zeros(0, minilm.width))
    finally:
        minilm.model.tokenizer.padding_side = "right"


def test_what_is_missing_is_named(no_shape_hook):
    support, _ = case()
    with pytest.raises(
        FewShotError, match="CoOp needs an encoder of texts that takes context vectors, got Linear; load"
    ):
        CoOp(nn.Linear(2, 2)).adapt(support)
    with pytest.raises(EpisodeError, match="need a descriptor of each class, got none; give the collection"):
        CoOp(Tower()).adapt(replace(support, descriptors=None))
    with pytest.raises(EpisodeError, match="descriptors must be the names of the classes here, as texts, got numbers"):
        CoOp(Tower()).adapt(replace(support, descriptors=torch.zeros(1, 4, 2)))
    with pytest.raises(EpisodeError, match="a generator belongs to one episode with a seed"):
        CoOp(Tower()).adapt(replace(support, seed=None))
    with pytest.raises(EpisodeError, match="features must be finite"):
        CoOp(Tower()).adapt(support.map(lambda x: x * math.nan))
    with pytest.raises(FewShotError, match="CoOp cannot train a backbone through its support"):
        CoOp(Tower()).adapt(support.map(lambda x: x.requires_grad_()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": 0}, "context must be a whole number of at least 1, got 0"),
        ({"steps": -1}, "steps must be a whole number of at least 0, got -1"),
        (
            {"lr": 0.0},
            "lr and scale must be above 0, momentum 0 or more and below 1, and weight_decay 0 or more, got 0.0",
        ),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(FewShotError, match=message):
        CoOp(Tower(), **options)
