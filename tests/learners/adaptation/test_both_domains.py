"""Learners fitted to both domains: rows of the source that were held out go the way of those that were learned from."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import torch
from domain_cases import DistancesHead, class_distances, domains
from torch.testing import assert_close

from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.adaptation.both_domains import fit_both
from fewshot.learners.adaptation.coral import CORAL
from fewshot.learners.adaptation.coral_published import PublishedCORAL
from fewshot.learners.adaptation.gfk import GFK
from fewshot.learners.adaptation.jda import JDA
from fewshot.learners.adaptation.kmm import KMM
from fewshot.learners.adaptation.optimal_transport import OptimalTransport
from fewshot.learners.adaptation.pca import JointPCA
from fewshot.learners.adaptation.source_only import SourceOnly
from fewshot.learners.adaptation.subspace_alignment import SubspaceAlignment
from fewshot.learners.adaptation.tca import TCA
from fewshot.learners.metric.nearest_mean import NearestMean

LEARNERS = {
    "source-only": SourceOnly(head=DistancesHead()),
    "joint-pca": JointPCA(3, head=DistancesHead()),
    "subspace-alignment": SubspaceAlignment(3, head=DistancesHead()),
    "gfk": GFK(2, head=DistancesHead()),
    "tca": TCA(3, head=DistancesHead()),
    "jda": JDA(3, head=DistancesHead()),
    "coral": CORAL(head=DistancesHead()),
    "optimal-transport": OptimalTransport("emd", head=DistancesHead()),
}


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("scaling", ["", "z-score"])
def test_rows_that_were_learned_from_are_nearest_to_themselves(name, scaling):
    support, query, _ = domains()
    fitted = fit_both(replace(LEARNERS[name], scaling=scaling), support)
    assert_close(fitted.source_scores(support.x)[range(18), support.y], torch.zeros(18).double(), atol=1e-9, rtol=0)
    own = replace(LEARNERS[name], scaling=scaling).adapt(support)(query)
    assert_close(fitted.target_scores(query), own)


def coral_rows(x, target, rows, slip=""):
    """Algorithm 1 of Sun et al. by dense roots, with each domain's z-scores of its own."""
    mean, spread = (target if slip == "scaled as the target" else x).mean(0), x.std(0)
    if slip == "scaled as the target":
        spread = target.std(0)
    a, b = (v - v.mean(0) for v in (x, target))
    a, b = a / x.std(0), b / target.std(0)
    cs, ct = (np.cov(v.T) + np.eye(v.shape[1]) for v in (a, b))
    if slip == "scaled by itself":
        mean, spread = rows.mean(0), rows.std(0)
    scaled = (rows - mean) / spread
    map_ = np.linalg.inv(scipy.linalg.sqrtm(cs)) @ scipy.linalg.sqrtm(ct)
    return a @ map_, scaled if slip == "not mapped" else scaled @ map_


@pytest.mark.parametrize("slip", ["", "scaled as the target", "scaled by itself", "not mapped"])
def test_held_out_rows_against_dense_tables(slip):
    support, _, _ = domains()
    held, _, _ = domains(seed=5)
    x, target, rows = support.x.numpy(), support.unlabelled.numpy(), held.x.numpy()
    learned, mapped = coral_rows(x, target, rows, slip)
    wanted = torch.from_numpy(class_distances(learned, support.y.numpy(), mapped, 3))
    found = fit_both(CORAL(scaling="z-score", head=DistancesHead()), support).source_scores(held.x)
    assert torch.allclose(found, wanted, rtol=1e-9, atol=1e-9) == (slip == "")


def test_transported_rows_move_as_their_nearest():
    support, _, _ = domains()
    held = support.x + 1e-3
    fitted = fit_both(OptimalTransport("emd", head=DistancesHead()), support)
    moved = fitted.source_features(support.x)
    assert not torch.allclose(moved, support.x)
    assert_close(fitted.source_features(held), moved + 1e-3)


def test_weighted_learners_answer_for_rows_as_they_are():
    support, query, _ = domains(shots=(20, 20, 20), target=60, shift=0.1)
    fitted = fit_both(KMM(10.0, bound=2.0), support)
    assert_close(fitted.source_scores(query), fitted.target_scores(query))


def test_what_is_no_learner_between_domains(no_shape_hook):
    support, _, _ = domains()
    with pytest.raises(FewShotError, match="only a learner that adapts to a target without labels is fitted to both"):
        fit_both(NearestMean(), support)
    with pytest.raises(EpisodeError, match="needs rows of the target, got none"):
        fit_both(PublishedCORAL(), replace(support, unlabelled=None))
