"""Makers of classes with descriptors for tests; for learners of a ranking a slow one, one item and one class at a time, and checks."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError, NotFittedError
from fewshot.testing import check_learner

NONE = {"shots": (0, 0, 0), "side_shape": (5,)}


def described(shots, dim=6, length=4, seed=0, noise=0.3, law_seed=99):
    """One batch of one episode: unbalanced, shuffled items that are a linear function of the descriptor, plus noise."""
    rng = np.random.default_rng(seed)
    law = np.random.default_rng(law_seed).normal(size=(length, dim))
    side = rng.normal(size=(len(shots), length))
    y = rng.permutation(np.repeat(np.arange(len(shots)), shots))
    x = side[y] @ law + noise * rng.normal(size=(len(y), dim))
    return SupportSet(torch.from_numpy(x)[None], torch.from_numpy(y)[None], len(shots), torch.from_numpy(side)[None])


def base_of(shots=(7, 2, 1, 5, 3, 4), seed=0, **options):
    return described(shots, seed=seed, **options)


def new_classes(n_way=4, queries=6, seed=1, **options):
    """``(support, query, query_y)``: a support set without items, and what it asks."""
    asked = described((queries,) * n_way, seed=seed, **options)
    return replace(asked, x=asked.x[:, :0], y=asked.y[:, :0]), asked.x, asked.y


def separated(n_way=5, seed=3):
    """New classes whose descriptors are orthogonal, without noise: nothing but the relation must be learned."""
    support, _, _ = new_classes(n_way, length=n_way, dim=8, seed=seed)
    law = np.random.default_rng(99).normal(size=(n_way, 8))
    side = np.linalg.qr(np.random.default_rng(seed).normal(size=(n_way, n_way)))[0]
    labels = torch.arange(n_way)[None]
    return replace(support, descriptors=torch.from_numpy(side)[None]), torch.from_numpy(side @ law)[None], labels


@dataclass
class SlowRanking:
    """Gradient descent in NumPy, transcribed from the papers: subclasses say which classes count; slips change one line."""

    margin: float = 1.0
    learning_rate: float = 0.01
    epochs: int = 2
    batch: int = 1
    seed: int = 0
    matrix: np.ndarray | None = None

    scores = "rank"
    draws = False

    def weights(self, hinges, own, turn):
        """How much each wrong class counts; ``turn`` is when it is drawn, if at all."""
        raise NotImplementedError

    def unit(self, s):
        return s / np.linalg.norm(s, axis=-1, keepdims=True)

    def step(self, x, s_own, s_wrong):
        return np.outer(x, s_own - s_wrong)

    def hinge(self, right, wrong):
        return max(0.0, self.margin - right + wrong)

    def with_base(self, base):
        generator = torch.Generator().manual_seed(self.seed)
        x, y = base.x.double().flatten(0, -2).numpy(), base.y.flatten().tolist()
        s = self.unit(base.descriptors.double().reshape(base.n_way, -1).numpy())
        w = np.zeros((x.shape[1], s.shape[1]))
        for _ in range(self.epochs):
            order = torch.randperm(len(x), generator=generator).tolist()
            for start in range(0, len(x), self.batch):
                w = w + self.learning_rate * self.addition(w, x, y, s, order[start : start + self.batch], generator)
        return replace(self, matrix=w)

    def addition(self, w, x, y, s, rows, generator):
        turns = torch.rand(len(rows), len(s), generator=generator, dtype=torch.float64).numpy() if self.draws else rows
        total = np.zeros_like(w)
        for i, turn in zip(rows, turns, strict=True):
            right = x[i] @ w @ s[y[i]]
            hinges = [0.0 if j == y[i] else self.hinge(right, x[i] @ w @ s[j]) for j in range(len(s))]
            weights = self.weights(hinges, y[i], turn)
            for j in range(len(s)):
                if j != y[i] and hinges[j] > 0:
                    total += weights[j] * self.step(x[i], s[y[i]], s[j])
        return total

    def adapt(self, support):
        if self.matrix is None:
            raise NotFittedError("base classes first")
        s = torch.from_numpy(self.unit(support.descriptors.double().numpy()))
        matrix = torch.from_numpy(self.matrix)
        return lambda query: (query.double() @ matrix @ s.mT).to(query.dtype)


def descriptors_as_they_are(slow):
    """A slip of a transcription: descriptors keep their length."""
    return type("DescriptorsAsTheyAre", (slow,), {"unit": lambda self, s: s})


def right_class_only(slow):
    """A slip: draws items to the right descriptor and forgets to push them from the wrong one."""
    return type("RightClassOnly", (slow,), {"step": lambda self, x, s_own, s_wrong: np.outer(x, s_own)})


def first_drawn(hinges, own, turn):
    """``(class, draws)``: wrong classes in the order of their turns until one violates the margin; or nothing."""
    order = [j for j in np.argsort(turn) if j != own]
    for draws, j in enumerate(order, 1):
        if hinges[j] > 0:
            return j, draws
    return None


# Checks of a learner of a ranking ---------------------------------------------------------------------

SHOTS = st.lists(st.integers(1, 5), min_size=2, max_size=9).map(tuple)
DESCENT = st.fixed_dictionaries(
    {
        "margin": st.floats(0.05, 2),
        "learning_rate": st.floats(0.001, 1),
        "batch": st.integers(1, 7),
        "seed": st.integers(0, 2**31),
        "epochs": st.just(3),
    }
)


def same_matrix(learner, slow, shots):
    """Learner and transcription of the same options find the same W."""
    base = base_of(shots, seed=learner.seed)
    theirs = slow.with_base(base).matrix
    assert_close(learner.with_base(base).matrix, torch.from_numpy(theirs), rtol=1e-9, atol=1e-12)


def agree(learner, slow):
    """Learner and transcription give the same scores."""
    base, (support, query, _) = base_of(), new_classes()
    theirs = slow.with_base(base).adapt(support)(query)
    assert_close(learner.with_base(base).adapt(support)(query), theirs, rtol=1e-9, atol=1e-12)


def passes_the_battery_and_fails_the_oracle(wrong, slow, **options):
    """A planted wrong formula keeps every symmetry, and only the comparison with the right one tells."""
    check_learner(wrong(epochs=5, **options), **NONE)
    with pytest.raises(AssertionError):
        agree(wrong(epochs=5), slow(epochs=5))


def moves_nothing_without_a_violation(learner):
    """The right class is on top and no other exceeds what the margin allows."""
    excess = torch.tensor([[-torch.inf, 0.0, -1.0], [-2.0, -torch.inf, -0.5]])
    assert learner.weigh(excess, torch.Generator()).tolist() == [[0.0] * 3] * 2


def tells_new_classes_apart(learner):
    """A linear relation between items and descriptors is learned."""
    support, query, labels = separated()
    fitted = learner.with_base(base_of((9, 5, 2, 7) * 6, length=5, dim=8))
    assert fitted.adapt(support)(query).argmax(-1).tolist() == labels.tolist()


def batches_types_and_support_items_play_no_part(learner):
    """Two episodes at once, one by one, with examples, and in single precision."""
    fitted = learner.with_base(base_of())
    a, b = new_classes(seed=1), new_classes(seed=2)
    both = SupportSet(*(torch.cat([getattr(s, k) for s in (a[0], b[0])]) for k in ("x", "y")), 4)
    both = replace(both, descriptors=torch.cat([a[0].descriptors, b[0].descriptors]))
    scores = fitted.adapt(both)(torch.cat([a[1], b[1]]))
    for k, (support, query, _) in enumerate((a, b)):
        assert_close(fitted.adapt(support[0])(query[0]), scores[k])
    given = replace(a[0], x=a[1][:, :3], y=a[2][:, :3])
    assert_close(fitted.adapt(given)(a[1])[0], scores[0])
    single = fitted.adapt(a[0].map(lambda x: x.float()))(a[1].float())
    assert single.dtype == torch.float32
    assert_close(single[0], scores[0].float(), rtol=1e-4, atol=1e-5)


def draws_come_from_the_seed_alone(make):
    """Whatever the global state, which stays as it is."""

    def matrix(seed, state):
        torch.manual_seed(state)
        before = torch.get_rng_state()
        fitted = make(seed=seed).with_base(base_of()).matrix
        assert torch.equal(torch.get_rng_state(), before)
        return fitted

    assert torch.equal(matrix(0, 1), matrix(0, 2))
    assert not torch.allclose(matrix(0, 1), matrix(1, 1))


def errors_say_what_must_hold(make):
    """Of options, of base classes, of new ones; the shape checker must be off."""
    for name, value in (("margin", -1.0), ("margin", 0), ("learning_rate", 0.0), ("learning_rate", math.nan)):
        with pytest.raises(FewShotError, match=f"{name} must be above 0, got {value}"):
            make(**{name: value})
    for name, value in (("epochs", 2.5), ("epochs", 0), ("batch", 0), ("batch", -1)):
        with pytest.raises(FewShotError, match=f"{name} must be a whole number of at least 1, got {value}"):
            make(**{name: value})
    base, (support, _, _) = base_of(), new_classes()
    with pytest.raises(
        NotFittedError, match=rf"{make.__name__} learns from base classes, got none; call learner\.with"
    ):
        make().adapt(support)
    with pytest.raises(FewShotError, match=r"must stay finite, got nan or infinity with learning_rate 1e\+308; choose"):
        make(learning_rate=1e308).with_base(base)
    with pytest.raises(EpisodeError, match="a ranking needs at least two base classes, got 1"):
        make().with_base(base_of((3,)))
    with pytest.raises(EpisodeError, match="need a descriptor of each class, got none"):
        make().with_base(replace(base, descriptors=None))
    with pytest.raises(EpisodeError, match="descriptors must be finite, got nan or infinity"):
        make().with_base(replace(base, descriptors=base.descriptors / 0))
    fitted = make().with_base(base)
    with pytest.raises(EpisodeError, match="need a descriptor of each class, got none"):
        fitted.adapt(replace(support, descriptors=None))
    with pytest.raises(EpisodeError, match="must be described by 4 numbers, as the base classes were, got 3"):
        fitted.adapt(replace(support, descriptors=support.descriptors[..., :3]))
