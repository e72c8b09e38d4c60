"""The battery passes good learners and catches planted faults, each with its own sentence."""

import random
import time
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from torch import nn

from fewshot.backbones.conv4 import Conv4
from fewshot.contract import per_episode
from fewshot.embedded import Embedded
from fewshot.errors import EpisodeError, FewShotError, NotFittedError
from fewshot.functional import class_means, squared_distances
from fewshot.learners.adapters import from_function, from_sklearn
from fewshot.learners.linear.logistic_regression import LogisticRegression
from fewshot.learners.metric.modified_hausdorff import ModifiedHausdorff
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.learners.metric.protonet import ProtoNet
from fewshot.testing import check_learner


def prototypes(support):
    return class_means(support.x, support.y, support.n_way)


def nearest(query, means):
    return -squared_distances(query, means)


@dataclass(frozen=True)
class NearestMedian:
    @per_episode
    def adapt(self, support):
        m = [support.x[support.y == k] for k in range(support.n_way)]
        if any(len(rows) == 0 for rows in m):
            raise EpisodeError("every class needs an example")
        m = torch.stack([rows.median(0).values for rows in m])
        return lambda query: -torch.cdist(query, m)


@dataclass(frozen=True)
class Centred:
    """Takes base classes."""

    centre: torch.Tensor | None = None

    def with_base(self, base):
        return replace(self, centre=base.x.flatten(0, 1).mean(0))

    def adapt(self, support):
        if self.centre is None:
            raise NotFittedError("base classes first")
        means = prototypes(support) - self.centre
        return lambda query: nearest(query - self.centre, means)


@dataclass(frozen=True)
class LeastSquares:
    """Zero-shot: a linear law from descriptors to items, learned from base classes."""

    law: torch.Tensor | None = None

    def with_base(self, base):
        side = torch.gather(base.descriptors[0], 0, base.y[0, :, None].expand(-1, base.descriptors.shape[-1]))
        return LeastSquares(torch.linalg.lstsq(side, base.x[0]).solution)

    def adapt(self, support):
        if self.law is None:
            raise NotFittedError("base classes first")
        means = support.descriptors @ self.law
        return lambda query: nearest(query, means)


class CentredQueries:
    """Transductive: shifts queries to the support's mean."""

    transductive = True

    def adapt(self, support):
        means = prototypes(support)

        def classify(query):
            if query.shape[-2] < 2:
                raise EpisodeError("needs two queries or more")
            return nearest(query - query.mean(-2, keepdim=True) + means.mean(-2, keepdim=True), means)

        return classify


class RandomProjection:
    """Stochastic, by the episode's seed."""

    @per_episode
    def adapt(self, support):
        law = torch.randn(8, 6, generator=support.generator(), dtype=torch.float64).to(support.x)
        means = class_means(support.x @ law, support.y, support.n_way)
        return lambda query: nearest(query @ law, means)


class FineTune(nn.Module):
    """Optimises a head on the support, under the evaluator's no_grad."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    @per_episode
    def adapt(self, support):
        class_means(support.x, support.y, support.n_way)
        w = torch.zeros(support.x.shape[-1], support.n_way, dtype=support.x.dtype)
        with torch.enable_grad():
            for _ in range(20):
                w = w.detach().requires_grad_()
                loss = nn.functional.cross_entropy(support.x @ w * self.scale.detach(), support.y)
                w = w - 0.3 * torch.autograd.grad(loss, w)[0]
        return lambda query: query @ w.detach()


def words(items):
    """Short texts: one word for the sign of each coordinate."""
    text = [[" ".join(f"{'up' if v > 0 else 'down'}{k}" for k, v in enumerate(row)) for row in one] for one in items]
    return np.array(text, np.dtypes.StringDType()).reshape(items.shape[:2])


def pixels(items):
    return (items * 20 + 128).clamp(0, 255).to(torch.uint8)


def strokes(items):
    return (items > 0).to(torch.uint8) * 255


text_pipeline = make_pipeline(TfidfVectorizer(), SklearnLogisticRegression())
GOOD = {
    "nearest mean": (NearestMean(), {}),
    "cosine": (NearestMean("cosine", 0.1), {}),
    "another seed, two classes": (NearestMean(), {"seed": 5, "shots": (2, 3)}),
    "median": (NearestMedian(), {}),
    "logistic regression": (LogisticRegression(), {}),
    "base classes": (Centred(), {}),
    "zero-shot": (LeastSquares(), {"shots": (0, 0, 0), "side_shape": (4,), "absent_class": "handled"}),
    "transductive": (CentredQueries(), {}),
    "stochastic": (RandomProjection(), {"class_symmetric": True}),
    "optimises": (FineTune(), {}),
    "backbone": (ProtoNet(Conv4()), {"item_shape": (1, 16, 16)}),
    "uint8": (ProtoNet(Conv4()), {"item_shape": (1, 16, 16), "render": pixels}),
    "strokes": (ModifiedHausdorff(), {"item_shape": (1, 5, 5), "render": strokes}),
    "a function": (from_function(lambda x, y, q: nearest(q, class_means(x, y, 3))), {}),
    "nearest neighbour": (from_sklearn(KNeighborsClassifier(1)), {}),
    "text": (from_sklearn(text_pipeline), {"render": words}),
}  # fmt: skip


@pytest.mark.parametrize(("learner", "options"), GOOD.values(), ids=GOOD)
def test_good_learners_pass(learner, options):
    check_learner(learner, **options)


# Planted faults: nearest class means, each spoilt in one way -----------------------------------


class Honest:
    """What the faults spoil; it passes, so nothing but the fault can make them fail."""

    def adapt(self, support):
        means = self.means(support)
        return lambda query: self.score(query, means)

    def means(self, support):
        return prototypes(support)

    def score(self, query, means):
        return nearest(query, means)


class RunningMean(Honest):
    """State leaks from one episode to the next."""

    def __init__(self):
        self.memory = 0

    def means(self, support):
        self.memory = prototypes(support).mean() * 0.1 + self.memory * 0.9
        return prototypes(support) + self.memory


class HiddenMemory(Honest):
    """The same leak, in a place where no attribute shows it."""

    def means(self, support, memory={}):  # noqa: B006
        memory["calls"] = memory.get("calls", 0) + 1
        return prototypes(support) * (1 + 0.01 * memory["calls"])


class SharedClassifier(Honest):
    """The classifier reads the last support instead of its own."""

    last: list = []  # noqa: RUF012

    def adapt(self, support):
        self.last[:] = [prototypes(support)]
        return lambda query: nearest(query, self.last[0])


class BatchNorm(Honest):
    """Statistics of the queries through a batch norm without running ones."""

    def score(self, query, means):
        norm = nn.BatchNorm1d(query.shape[-1], affine=False, track_running_stats=False)
        return nearest(norm(query.flatten(0, 1)).reshape(query.shape), means)


class QueryMean(Honest):
    """Claims to be inductive, centres the queries of a call."""

    def score(self, query, means):
        return nearest(query - 0.1 * query.mean(1, keepdim=True), means)


class MixedEpisodes(Honest):
    """Centres over all episodes of the batch."""

    def means(self, support):
        return prototypes(support) + 0.1 * prototypes(support).mean(0, keepdim=True)


class FirstAppearance(Honest):
    """Columns in the order in which labels appear."""

    @per_episode
    def adapt(self, support):
        means = prototypes(support)[list(dict.fromkeys(support.y.tolist()))]
        return lambda query: nearest(query, means)


class SortedColumns(Honest):
    """Columns sorted by something else than the label."""

    def means(self, support):
        means = prototypes(support)
        return torch.gather(means, 1, means[..., :1].argsort(1).expand(means.shape))


class ZeroPrototype(Honest):
    """A class without examples gets a prototype at zero."""

    def means(self, support):
        member = nn.functional.one_hot(support.y, support.n_way).to(support.x)
        return member.mT @ support.x / member.sum(1).clamp(min=1).unsqueeze(-1)


class NanPrototype(Honest):
    """A class without examples gets 0 / 0."""

    def means(self, support):
        member = nn.functional.one_hot(support.y, support.n_way).to(support.x)
        return member.mT @ support.x / member.sum(1).unsqueeze(-1)


class LabelsByPosition(Honest):
    """Ignores the labels: takes the support as sorted by class."""

    def means(self, support):
        prototypes(support)
        return torch.stack([part.mean(1) for part in support.x.tensor_split(support.n_way, 1)], 1)


class LabelsByRepeat(Honest):
    """Right on unequal shots; with equal shots it takes the support as sorted."""

    def means(self, support):
        counts = support.y.flatten().bincount()
        if (counts != counts[0]).any():
            return prototypes(support)
        return support.x.unflatten(1, (support.n_way, -1)).mean(2)


class OnlyEqualShots(Honest):
    """Cannot do unequal shots."""

    @per_episode
    def adapt(self, support):
        rows = torch.stack([support.x[support.y == k] for k in range(support.n_way)])
        return lambda query: nearest(query, rows.mean(1))


class Trains(nn.Module):
    """Moves its own weights while adapting."""

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(8))

    def adapt(self, support):
        with torch.no_grad():
            self.shift += 1e-9
        means = prototypes(support)
        return lambda query: nearest(query, means)


class LeavesGradients(nn.Module):
    """Calls backward, which leaves gradients on its parameters."""

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(8))

    def adapt(self, support):
        with torch.enable_grad():
            (support.x + self.shift).square().sum().backward()
        means = prototypes(support)
        return lambda query: nearest(query, means)


class InPlace(Honest):
    """Normalises the caller's support in place; only the first call changes anything."""

    def means(self, support):
        support.x.div_(support.x.norm(dim=-1, keepdim=True))
        return prototypes(support)


class GlobalSeed(Honest):
    """Seeds the global generator, always alike, so that its own answers never change."""

    def means(self, support):
        torch.manual_seed(0)
        return prototypes(support) + 0.01 * torch.randn(support.x.shape[-1])


class GlobalNumpy(Honest):
    def means(self, support):
        return prototypes(support) + 0.01 * np.random.randn()  # noqa: NPY002


class GlobalPython(Honest):
    def means(self, support):
        return prototypes(support) + 0.01 * random.random()


class Unseeded(Honest):
    """A generator of its own, seeded by the clock."""

    def means(self, support):
        noise = np.random.default_rng(time.perf_counter_ns()).normal(size=support.x.shape[-1])
        return prototypes(support) + 0.01 * torch.from_numpy(noise).to(support.x)


class SeedOfTheBatch(Honest):
    """Uses the first episode's seed for all."""

    def means(self, support):
        noise = torch.randn(8, generator=support[0].generator(), dtype=torch.float64).to(support.x)
        return prototypes(support) + 0.01 * noise


class ReversedSign(Honest):
    """Returns distances: lower is better."""

    def score(self, query, means):
        return -nearest(query, means)


class HalfPrecision(Honest):
    """Answers in float32 whatever comes."""

    def score(self, query, means):
        return nearest(query, means).float()


class NaNs(Honest):
    """Squared distances whose root has rounding below zero."""

    def score(self, query, means):
        return (nearest(query, means) + 1).sqrt()


class Graph(nn.Module):
    """Opens gradients and does not detach."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def adapt(self, support):
        with torch.enable_grad():
            means = prototypes(support) * self.scale

        def classify(query):
            with torch.enable_grad():
                return nearest(query, means)

        return classify


class GradLeftOn(Honest):
    def means(self, support):
        torch.set_grad_enabled(True)
        return prototypes(support)


class TooManyColumns(Honest):
    """A column for classes that are not there."""

    def score(self, query, means):
        return nn.functional.pad(nearest(query, means), (0, 1), value=-1e3)


class FitsItself(Centred):
    """``with_base`` changes the learner and returns it."""

    def with_base(self, base):
        object.__setattr__(self, "centre", base.x.flatten(0, 1).mean(0))
        return self


class FitsItselfAndCopies(Centred):
    """``with_base`` returns a new learner, but changes the old one as well."""

    def with_base(self, base):
        object.__setattr__(self, "centre", base.x.flatten(0, 1).mean(0))
        return FitsItselfAndCopies(self.centre)


class UnknownClaim(Honest):
    scores = "probability"


class LooseClaim(Honest):
    transductive = "no"


class RefusesByNaN(Honest):
    """Transductive; a single query gets NaN instead of an answer or a refusal."""

    transductive = True

    def score(self, query, means):
        return nearest((query - query.mean(1, keepdim=True)) / query.var(1, correction=0, keepdim=True), means)


class ByQueryNumber(Honest):
    """The first query of a call gets another answer."""

    transductive = True

    def score(self, query, means):
        scores = nearest(query, means).clone()
        scores[:, 0] *= 1.1
        return scores


@dataclass
class Counter(Honest):
    """Counts its calls."""

    calls: list = field(default_factory=list)

    def means(self, support):
        self.calls.append(1)
        return prototypes(support)


class Labels(Honest):
    """Says which class, not how likely each is."""

    def score(self, query, means):
        return nearest(query, means).argmax(-1)


class ScoresAtOnce(Honest):
    """Returns an array where a function of the queries is due."""

    def adapt(self, support):
        return prototypes(support)


class Careless(Honest):
    """Does not look whether a class has examples."""

    @per_episode
    def adapt(self, support):
        medians = torch.stack([support.x[support.y == k].median(0).values for k in range(support.n_way)])
        return lambda query: nearest(query, medians)


FAULTS = {
    Labels: r"scores must be a tensor of floats, got Tensor of torch.int64 \(3, 7\); return a score of every class",
    ScoresAtOnce: r"adapt must return a function .*, got Tensor of torch.float32 \(3, 3, 8\); return lambda query",
    Careless: r"class 0 has no support example, and IndexError was raised: median.*; call fewshot.functional.require_every",
    RunningMean: "adapt must leave the learner as it was, but these changed: memory",
    Counter: "these changed: calls",
    HiddenMemory: "must not change the scores|adapting twice must give the same scores, but scores differ by",
    SharedClassifier: "adapting to other episodes must not change a classifier",
    BatchNorm: "an episode must score the same alone|alone as among others",
    QueryMean: "transductive is False, so a query must score the same alone as among others, but scores differ by",
    MixedEpisodes: "an episode must score the same alone as in a batch",
    FirstAppearance: "the order of the support must not change the scores",
    SortedColumns: "renaming the classes must permute the columns",
    ZeroPrototype: "class 0 has no support example, and no EpisodeError was raised",
    NanPrototype: "class 0 has no support example, and scores are NaN or infinite",
    LabelsByPosition: "the order of the support must not change the scores",
    LabelsByRepeat: "the order of the support must not change the scores",
    OnlyEqualShots: "raised RuntimeError while checking that .*: stack expects each tensor to be equal size",
    Trains: "these changed: _parameters",
    LeavesGradients: "these changed: _parameters",
    InPlace: "the caller's arrays must stay as they were, but these changed: x",
    GlobalSeed: "global random state must stay untouched, but changed: torch",
    GlobalNumpy: "but changed: numpy",
    GlobalPython: "but changed: random",
    Unseeded: "must not change the scores, but|adapting twice",
    SeedOfTheBatch: "an episode must score the same alone as in a batch",
    ReversedSign: "separable classes must be told apart",
    HalfPrecision: r"scores must have the type of the items, torch.float64, got torch.float32",
    NaNs: "that are NaN or infinite|differ by nan",
    Graph: "under no_grad scores must carry no graph",
    GradLeftOn: "gradients must be off again",
    TooManyColumns: r"scores must have shape \(e, q, n_way\) = \(3, 7, 3\), got \(3, 7, 4\)",
    FitsItself: "with_base must return a new learner",
    FitsItselfAndCopies: "with_base must leave the old learner as it was, but these changed: centre",
    UnknownClaim: "scores must be 'log-probability' or 'rank', got 'probability'",
    LooseClaim: "transductive must be True or False, got 'no'",
    RefusesByNaN: "must answer a single query with finite scores, or refuse it",
    ByQueryNumber: "scores must follow their queries into another order",
}


def test_the_unspoilt_learner_passes():
    check_learner(Honest())


@pytest.mark.slip
@pytest.mark.parametrize(("fault", "sentence"), FAULTS.items(), ids=lambda f: getattr(f, "__name__", ""))
def test_planted_faults_are_caught(fault, sentence):
    with pytest.raises(AssertionError, match=f"^{fault.__name__}.*({sentence})"):
        check_learner(fault())


def test_a_fault_that_only_the_whole_path_shows():
    conv = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten())
    with pytest.raises(AssertionError, match="Embedded: an episode must score the same alone"):
        check_learner(Embedded(conv, NearestMean()), item_shape=(1, 6, 6))


def test_each_flag_turns_off_its_check_and_no_other():
    check_learner(ReversedSign(), learns=False)
    with pytest.raises(AssertionError, match="separable classes must be told apart"):
        check_learner(SortedColumns(), class_symmetric=False)
    with pytest.raises(AssertionError, match="renaming the classes"):
        check_learner(FirstAppearance(), order_invariant=False)
    check_learner(ByQueryNumber(), order_invariant=False)


class LargestShot(Honest):
    """Sums divided by the largest count: a wrong formula that keeps every symmetry."""

    def means(self, support):
        prototypes(support)
        member = nn.functional.one_hot(support.y, support.n_way).to(support.x)
        return member.mT @ support.x / member.sum(1).max()


def test_the_battery_does_not_replace_an_oracle():
    check_learner(LargestShot())


def test_a_class_that_is_absent_may_be_handled_if_declared():
    check_learner(ZeroPrototype(), absent_class="handled")
    with pytest.raises(AssertionError, match="absent_class is 'handled', but class 0 without examples raised"):
        check_learner(NearestMean(), absent_class="handled")
    with pytest.raises(FewShotError, match="absent_class must be 'raises' or 'handled', got 'ignored'"):
        check_learner(NearestMean(), absent_class="ignored")


def test_a_class_or_a_name_is_no_learner(no_shape_hook):
    with pytest.raises(FewShotError, match="must be an object, got the class NearestMean; make an object of it"):
        check_learner(NearestMean)
    with pytest.raises(FewShotError, match=r"must have adapt\(support\), got 'nearest-mean' without it"):
        check_learner("nearest-mean")


def test_the_battery_leaves_the_learner_and_the_global_state_alone(no_shape_hook):  # beartype draws from random
    learner = Trains()
    before = (torch.get_rng_state(), str(np.random.get_state()), random.getstate())  # noqa: NPY002
    with pytest.raises(AssertionError):
        check_learner(learner)
    assert not learner.shift.any()
    assert learner.training
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (str(np.random.get_state()), random.getstate())  # noqa: NPY002


def test_the_tolerance_is_relative_to_the_largest_score():
    class Jitter(Honest):
        def score(self, query, means):
            return nearest(query, means) * (1 + 1e-4 * (query.shape[1] == 1))

    with pytest.raises(AssertionError, match=r"differ by .*e-0.* of the largest \(allowed 1e-05\)"):
        check_learner(Jitter())
    check_learner(Jitter(), tolerance=1e-3)
