"""Transforms against scikit-learn and NumPy, and in front of learners."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make import episode, episodes
from sklearn.covariance import shrunk_covariance
from sklearn.decomposition import PCA as SklearnPCA
from sklearn.preprocessing import PowerTransformer, normalize
from torch.testing import assert_close

from fewshot.contract import SupportSet, episode_loss
from fewshot.datasets.collection import Collection
from fewshot.episodes import EpisodeSpec
from fewshot.errors import EpisodeError, FewShotError, NotFittedError, UnknownNameError
from fewshot.evaluation.evaluate import evaluate
from fewshot.learners.index import load_learner
from fewshot.learners.metric.mahalanobis import Mahalanobis
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.learners.metric.simpleshot import SimpleShot
from fewshot.learners.transformed import Transformed
from fewshot.testing import check_learner
from fewshot.transforms import PCA, QR, TRANSFORMS, Centre, Normalise, Power, Whiten, make_transform


def features(n=50, dim=8, seed=0):
    """Rows with correlated columns far from the origin."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(n, dim)) @ rng.normal(size=(dim, dim)) + 5)


def gram(x):
    return x @ x.mT


# The pieces -----------------------------------------------------------------------------------------


def test_unit_length_is_scikit_learns():
    x = features()
    assert_close(Normalise()(x), torch.from_numpy(normalize(x.numpy())))
    assert Normalise()(torch.zeros(1, 3)).tolist() == [[0, 0, 0]]


@settings(max_examples=15)
@given(st.floats(-2, 2), st.floats(0.1, 2))
def test_powers_are_numpys(exponent, offset):
    x = features().abs()
    wanted = np.log(x.numpy() + offset) if exponent == 0 else np.power(x.numpy() + offset, exponent)
    assert_close(Power(exponent, offset)(x), torch.from_numpy(wanted))


def test_power_zero_is_the_logarithm_as_in_box_and_coxs_family():
    """(x^λ - 1) / λ tends to log x; scikit-learn's transformer has that form."""
    x = features().abs()[:, :1]
    theirs = PowerTransformer("box-cox", standardize=False).fit(x.numpy())
    theirs.lambdas_ = np.array([0.0])
    assert_close(Power(0.0)(x), torch.from_numpy(theirs.transform(x.numpy())))
    theirs.lambdas_ = np.array([0.5])
    assert_close((Power(0.5)(x) - 1) / 0.5, torch.from_numpy(theirs.transform(x.numpy())))


def test_powers_of_negative_features_are_refused():
    with pytest.raises(EpisodeError, match=r"features must be at least 0 for the power 0\.5, got -1; .*ReLU"):
        Power()(torch.tensor([[2.0, -1.0]]))
    with pytest.raises(EpisodeError, match="features must be above 0 for the power 0, got 0; "):
        Power(0.0)(torch.tensor([[2.0, 0.0]]))
    assert Power(0.5)(torch.tensor([[4.0, 0.0]])).tolist() == [[2, 0]]
    assert Power()(torch.zeros(2, 0, 3)).shape == (2, 0, 3)


def test_the_offset_makes_the_slope_at_zero_finite():
    x = torch.zeros(1, 1, requires_grad=True)
    Power(0.5, 1e-6)(x).sum().backward()
    assert_close(x.grad, torch.tensor([[500.0]]))


def test_centring_takes_the_mean_of_all_base_rows():
    base, x = features(), features(7, seed=1)
    assert_close(Centre().fit(base)(x), x - torch.from_numpy(base.numpy().mean(0)))


@pytest.mark.parametrize(("n", "dim"), [(50, 8), (6, 20)])
@pytest.mark.parametrize("keep", [1, 3, 5])
def test_principal_components_are_scikit_learns_up_to_sign(n, dim, keep):
    base, x = features(n, dim), features(7, dim, seed=1)
    theirs = torch.from_numpy(SklearnPCA(keep, svd_solver="full").fit(base.numpy()).transform(x.numpy()))
    ours = PCA(keep).fit(base)(x)
    assert_close(ours * (ours * theirs).sum(0).sign(), theirs)


def test_whitened_base_items_have_the_identity_as_covariance():
    base = features()
    white = Whiten().fit(base)(base).numpy()
    np.testing.assert_allclose(np.cov(white.T), np.eye(8), atol=1e-10)
    np.testing.assert_allclose(white.mean(0), 0, atol=1e-10)


def test_whitening_is_scikit_learns_up_to_a_rotation():
    base, x = features(), features(7, seed=1)
    theirs = SklearnPCA(whiten=True).fit(base.numpy()).transform(x.numpy())
    assert_close(gram(Whiten().fit(base)(x)), gram(torch.from_numpy(theirs)))


@pytest.mark.parametrize(("n", "dim"), [(50, 8), (6, 20)])
def test_shrunken_whitening_inverts_scikit_learns_covariance(n, dim):
    base, x = features(n, dim), features(7, dim, seed=1)
    covariance = shrunk_covariance(np.cov(base.numpy().T), 0.3)
    apart = x.numpy() - base.numpy().mean(0)
    matrix = Whiten(0.3).fit(base)
    assert_close(gram(matrix(x)), torch.from_numpy(apart @ np.linalg.inv(covariance) @ apart.T))
    assert_close(matrix.matrix, matrix.matrix.mT)


def test_a_singular_covariance_is_refused():
    with pytest.raises(FewShotError, match="full rank, got 6 base items that do not fill 20 features; set shrinkage"):
        Whiten().fit(features(6, 20))


@pytest.mark.parametrize("shape", [(5, 12), (12, 5), (3, 5, 12)])
def test_qr_keeps_lengths_and_angles(shape):
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert QR()(x).shape[-1] == min(shape[-2:])
    assert_close(gram(QR()(x)), gram(x))


def test_options_and_unfitted_transforms_are_refused(no_shape_hook):
    for dim in (0, 2.5):
        with pytest.raises(FewShotError, match=f"dim must be a whole number of at least 1, got {dim}"):
            PCA(dim)
    with pytest.raises(FewShotError, match="at most the number of base items and of features, 6, got 7"):
        PCA(7).fit(features(6, 20))
    with pytest.raises(FewShotError, match=r"shrinkage must be from 0 to 1, got 1\.5"):
        Whiten(1.5)
    for unfitted in (Centre(), PCA(2), Whiten()):
        with pytest.raises(NotFittedError, match=f"{type(unfitted).__name__} needs statistics of base classes"):
            unfitted(features())


@pytest.mark.parametrize("transform", [Centre(), PCA(3), Whiten(0.1)])
def test_types_stay_and_batches_are_their_episodes(transform):
    fitted, x = transform.fit(features()), features(12).reshape(3, 4, 8)
    assert fitted(x.float()).dtype == torch.float32
    assert_close(fitted(x), torch.stack([fitted(one) for one in x]))


# By name --------------------------------------------------------------------------------------------


def test_transforms_by_name():
    assert make_transform("centre") == Centre()
    assert make_transform({"power": 0.25}) == Power(0.25)
    assert make_transform({"power": {"exponent": 0.25, "offset": 1e-6}}) == Power(0.25, 1e-6)
    assert make_transform({"pca": 3}).dim == 3
    assert make_transform(torch.relu) is torch.relu
    assert all(make_transform(name) for name in TRANSFORMS)


def test_wrong_names_and_options_are_refused(no_shape_hook):
    with pytest.raises(
        UnknownNameError, match="the transform must be a known name, got 'center'; did you mean 'centre'"
    ):
        make_transform("center")
    with pytest.raises(FewShotError, match=r"transform 'power' cannot take {'lambda': 1}: .*unexpected keyword"):
        make_transform({"power": {"lambda": 1}})
    with pytest.raises(FewShotError, match="a transform must be a function, a name, or a name with its options, got 3"):
        make_transform(3)
    for wrong in ("x", None, True, math.nan, math.inf):
        with pytest.raises(FewShotError, match="of a power must be a finite number, got "):
            Power(wrong)
        with pytest.raises(FewShotError, match="offset of a power must be a finite number, got "):
            Power(0.5, wrong)


def test_a_head_that_is_no_learner_is_refused():
    with pytest.raises(FewShotError, match="a head must be a learner, or the name of one, got 3; take 'nearest-mean'"):
        Transformed("normalise", 3)


# In front of a learner ------------------------------------------------------------------------------


def base_of(dim=6):
    support, _, _ = episode((9, 2, 1, 4), dim, seed=1, episodes=1)
    return support


@settings(max_examples=15)
@given(episodes())
def test_centred_and_normalised_nearest_means_are_simpleshot(case):
    support, query, _ = case
    base = base_of(support.x.shape[-1])
    ours = Transformed([Centre(), Normalise()], NearestMean()).with_base(base).adapt(support)(query)
    assert_close(ours, SimpleShot().with_base(base).adapt(support)(query))


def test_each_transform_is_fitted_behind_those_before_it_and_the_head_behind_all():
    support, query, _ = episode((3, 1, 2))
    base = base_of()
    learner = Transformed([Normalise(), PCA(4), Whiten()], SimpleShot()).with_base(base)
    z = Normalise()(base.x[0])
    first = PCA(4).fit(z)
    second = Whiten().fit(first(z))

    def through(x):
        return second(first(Normalise()(x)))

    alone = SimpleShot(centre=second(first(z)).mean(0))
    assert_close(learner.adapt(support)(query), alone.adapt(support.map(through))(through(query)))


@pytest.mark.parametrize(
    "learner",
    [
        Transformed([Centre(), Normalise()], NearestMean()),
        Transformed([torch.exp, Power(0.5), "normalise"], SimpleShot("UN")),
        Transformed([PCA(5), Whiten(0.1)], Mahalanobis()),
        Transformed([Centre(), QR()], NearestMean()),
        Transformed("normalise", "simpleshot", {"transform": "CL2N"}),
    ],
)
def test_keeps_the_contract(learner):
    check_learner(learner)


def test_qr_changes_no_score_of_a_learner_that_looks_at_lengths_and_angles():
    support, query, _ = episode((3, 1, 2), 40, episodes=3)
    for head in (NearestMean(), NearestMean("cosine"), Mahalanobis("class")):
        assert_close(Transformed(QR(), head).adapt(support)(query), head.adapt(support)(query))


@dataclass(frozen=True)
class FromPool:
    """The mean of the pool moves all; a transductive learner with a loss of its own."""

    transductive = True
    scores = "rank"

    def adapt(self, support):
        shift = support.unlabelled.mean(-2, keepdim=True)
        return lambda query: NearestMean().adapt(support)(query - query.mean(-2, keepdim=True) + shift)

    def loss(self, support, query, labels):
        return 3 * episode_loss(NearestMean(), support, query, labels)


@pytest.mark.parametrize("transforms", [[Normalise()], [Normalise(), QR()]])
def test_the_pool_goes_along_and_claims_are_the_heads(transforms):
    support, query, labels = episode((3, 1, 2), 20, episodes=2)
    pool = torch.flip(query, (0,)) + 1
    whole = SupportSet(support.x, support.y, 3, unlabelled=pool, seed=support.seed)
    learner = Transformed(transforms, FromPool())
    assert (learner.transductive, learner.scores) == (True, "rank")
    alone = FromPool().adapt(whole.map(Normalise()))(Normalise()(query))
    assert_close(learner.adapt(whole)(query), alone)
    loss = episode_loss(NearestMean(), support.map(Normalise()), Normalise()(query), labels)
    assert_close(learner.loss(whole, query, labels), 3 * loss)


def test_one_episode_without_its_axis():
    support, query, _ = episode((3, 1, 2), 20, episodes=2)
    for transforms in ("normalise", ["normalise", "qr"]):
        learner = Transformed(transforms, NearestMean())
        assert_close(learner.adapt(support[1])(query[1]), learner.adapt(support)(query)[1])


def test_statistics_of_base_classes_come_before_qr():
    for late in ([QR(), Centre()], [QR(), Normalise(), PCA(2)]):
        with pytest.raises(FewShotError, match=r"statistics of base classes must be taken before QR, got (Centre|PCA)"):
            Transformed(late, NearestMean())
    with pytest.raises(FewShotError, match="got SimpleShot after it; change the order"):
        Transformed(QR(), SimpleShot())


def test_options_are_for_heads_that_are_named():
    assert load_learner("transformed", transforms="normalise", head="nearest-mean").head == NearestMean()
    learner = load_learner("transformed", transforms=[], head="nearest-mean", head_options={"metric": "cosine"})
    assert learner.head == NearestMean("cosine")
    with pytest.raises(FewShotError, match=r"head_options are for a head that is named, got NearestMean and {'metric'"):
        Transformed([], NearestMean(), {"metric": "cosine"})


def test_parameters_and_modes_of_a_trained_head_are_reached():
    head = load_learner("relation", dim=3)
    learner = Transformed(Normalise(), head)
    assert list(learner.parameters()) == list(head.parameters())
    assert not learner.eval().head.training


def test_a_learner_with_transforms_is_evaluated_and_recorded():
    y = np.arange(12).repeat(10)
    x = features(120, 8).numpy() / 4 + np.random.default_rng(1).normal(size=(12, 8))[y] * 3
    data = Collection.from_arrays(x.astype(np.float32), y)
    plain = evaluate(NearestMean(), data, EpisodeSpec(5, 2, 3), 20)
    reduced = evaluate(Transformed(QR(), NearestMean()), data, EpisodeSpec(5, 2, 3), 20)
    assert reduced.correct == plain.correct
    assert reduced.learner.name == "Transformed"
    assert set(reduced.learner.options) == {"transforms", "head"}
