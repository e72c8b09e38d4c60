"""Features beyond what their type can compute with, and tensors without numbers: one sentence, and no answer."""

import numpy as np
import pytest
import torch
from make import episode
from torch import nn

from fewshot import FewShotClassifier
from fewshot.contract import SupportSet
from fewshot.datasets.collection import Collection
from fewshot.episodes import EpisodeSpec
from fewshot.errors import DataError, EpisodeError, FewShotError, ShapeError
from fewshot.evaluation.evaluate import evaluate
from fewshot.learners.index import load_learner
from fewshot.plumbing.number_range import require_range, require_told_apart

NAMES = [
    "nearest-mean",
    "k-nearest-neighbours",
    "matching-attention",
    "mahalanobis",
    "ridge",
    "r2d2",
    "svm",
    "logistic-regression",
    "soft-k-means",
    "tied-em",
    "pt-map",
    "tim-adm",
    "tim-gd",
    "alpha-tim",
    "laplacian-shot",
    "label-propagation",
    "bd-cspn",
    "baseline",
    "baseline-pp",
    "prototype-fine-tune",
]


def asked(name, change, kind=torch.float32, change_query=None):
    support, query, _ = episode((3, 2, 3), 6, spread=2.0)
    x, q = change(support.x).to(kind), (change_query or change)(query).to(kind)
    given = SupportSet(x[None], support.y[None], 3, seed=torch.tensor([0]))
    with torch.no_grad():
        return load_learner(name).adapt(given)(q[None])


@pytest.mark.parametrize("name", NAMES)
def test_what_float32_cannot_square_is_refused(name):
    for factor in (1e20, 1e30):
        with pytest.raises(
            EpisodeError, match=r"features must be at most 1e\+18 in float32, got .* in the support; scale"
        ):
            asked(name, lambda x, f=factor: x * f)
    with pytest.raises(
        EpisodeError, match=r"features must not all be below 1e-12, got at most .* in the support; scale them"
    ):
        asked(name, lambda x: x * 1e-20)
    with pytest.raises(EpisodeError, match=r"features must be at most 1e\+18 in float32, got .* in the queries"):
        asked(name, lambda x: x, change_query=lambda x: x * 1e30)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("kind", "offset"), [(torch.float32, 1e8), (torch.float32, 1e12), (torch.float64, 1e17)])
def test_an_offset_that_swallows_the_rest_is_refused(name, kind, offset):
    with pytest.raises(EpisodeError, match=r"items must differ by more than float.. rounds .*; subtract the offset"):
        asked(name, lambda x: x + offset, kind)


@pytest.mark.parametrize("name", ["nearest-mean", "mahalanobis", "svm", "pt-map", "tim-adm", "soft-k-means"])
def test_what_only_float64_can_square_is_answered_in_float64(name):
    plain = asked(name, lambda x: x, torch.float64).argmax(-1)
    assert (asked(name, lambda x: x * 1e30, torch.float64).argmax(-1) == plain).float().mean() > 0.9


@pytest.mark.parametrize("name", ["ridge", "r2d2"])
@pytest.mark.parametrize("factor", [1e14, 1e18, 1e30])
def test_a_penalty_that_rounding_outgrows_is_refused(name, factor):
    """R2-D2 has a column of ones, which is below the rounding of others; both have directions in which items do not differ."""
    with pytest.raises(
        EpisodeError, match=r"features must be small against the root of the penalty, got .* where it is 1; "
    ):
        asked(name, lambda x: x * factor, torch.float64)


def test_what_can_be_computed_with_passes():
    require_range(torch.zeros(2, 3), "support")
    require_range(torch.tensor([[1e18, -1e-30], [torch.nan, torch.inf]]), "support")
    require_range(torch.tensor([[1e99]]).double(), "support")
    require_told_apart(torch.tensor([[torch.inf], [1.0]]), 1)  # is told of elsewhere
    require_told_apart(torch.ones(4, 3), 1)  # equal items, which an offset need not have made
    require_told_apart(torch.full((1, 3), 1e9), 1)  # one item differs from none
    require_told_apart(torch.tensor([[1e9, 0.0], [1e9, 1.0]]), 1)  # the second feature tells them apart
    require_told_apart(torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0)) + 1e5, 2)
    mixed = torch.stack([torch.eye(2), torch.eye(2) + 2**26])
    with pytest.raises(EpisodeError, match="got differences of at most 0 at a size of"):
        require_told_apart(mixed, 2)


META = torch.empty(20, 4, device="meta")
ROWS, LABELS = torch.randn(20, 4, generator=torch.Generator().manual_seed(0)), np.arange(20) % 4


class SaysNothing(nn.Module):
    def adapt(self, support):
        return lambda query: torch.zeros(*query.shape[:2], support.n_way, device="meta")


def whole():
    return SupportSet(ROWS[None], torch.tensor(LABELS)[None], 4)


@pytest.mark.parametrize(
    ("make", "error", "what"),
    [
        (lambda: Collection.from_arrays(META, LABELS), DataError, "items"),
        (lambda: Collection.from_arrays([META[0]] * 20, LABELS), DataError, "items"),
        (lambda: Collection(META, LABELS, ("a", "b", "c", "d")), DataError, "items"),
        (lambda: Collection.from_arrays(ROWS, torch.tensor(LABELS).to("meta")), DataError, "labels"),
        (lambda: SupportSet(META[None], torch.tensor(LABELS)[None].to("meta"), 4), EpisodeError, "labels"),
        (
            lambda: SupportSet(ROWS[None], torch.tensor(LABELS)[None], 4, unlabelled=META[None]),
            EpisodeError,
            "unlabelled items",
        ),
        (
            lambda: SupportSet(ROWS[None], torch.tensor(LABELS)[None], 4, descriptors=META[None, :4]),
            EpisodeError,
            "descriptors",
        ),
        (lambda: load_learner("ridge").adapt(whole())(META[None]), EpisodeError, "queries"),
        (lambda: load_learner("r2d2").to("meta").adapt(whole()), EpisodeError, "'log_penalty'"),
        (
            lambda: evaluate(SaysNothing(), Collection.from_arrays(ROWS, LABELS), EpisodeSpec(2, 1, 2), 4),
            ShapeError,
            "scores",
        ),
        (lambda: FewShotClassifier(backbone=None).fit(META, LABELS), DataError, "items"),
        (lambda: FewShotClassifier(backbone=None).fit(ROWS, LABELS).predict(META), DataError, "items"),
    ],
)
def test_tensors_without_numbers_are_refused(make, error, what):
    with pytest.raises(
        error, match=rf"{what} must hold numbers, got a tensor of shape \(.*\) on the meta device; load"
    ):
        make()
    assert issubclass(error, FewShotError)
