"""Nearest descriptor and prompts: against slow loops; slips would be seen."""

import numpy as np
import pytest
import torch
from described import new_classes
from scipy.spatial.distance import cdist
from torch import nn
from torch.testing import assert_close

from fewshot.backbones.prompts import Prompts
from fewshot.contract import SupportSet
from fewshot.datasets.collection import Collection
from fewshot.embedded import Embedded
from fewshot.errors import EpisodeError, FewShotError
from fewshot.evaluation.class_scores import Parts
from fewshot.evaluation.zero_shot import evaluate_zero_shot
from fewshot.learners.described.nearest_descriptor import NearestDescriptor
from fewshot.testing import check_learner

SLIPS = ("lengths of items", "lengths of descriptors", "distance")


def slow(support, query, slip=None, temperature=0.01):
    """Cosines in NumPy, one pair at a time in SciPy."""
    s, q = support.descriptors.numpy(), query.numpy()
    cosine = 1 - cdist(q, s, "cosine")
    if slip == "lengths of items":
        cosine = cosine * np.linalg.norm(q, axis=1)[:, None]
    if slip == "lengths of descriptors":
        cosine = cosine * np.linalg.norm(s, axis=1)
    return (-cdist(q, s, "sqeuclidean") if slip == "distance" else cosine) / temperature


def case(seed=1):
    return new_classes(4, length=6, dim=6, seed=seed)


def test_scores_are_cosines_over_the_temperature():
    support, query, _ = case()
    for temperature in (0.01, 0.5):
        expected = slow(support[0], query[0], temperature=temperature)
        assert_close(NearestDescriptor(temperature).adapt(support)(query)[0], torch.from_numpy(expected))


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_would_be_seen(slip):
    support, query, _ = case()
    with pytest.raises(AssertionError):
        assert_close(NearestDescriptor().adapt(support)(query)[0], torch.from_numpy(slow(support[0], query[0], slip)))


def test_descriptors_at_the_items_answer_rightly():
    support, query, labels = case()
    at = torch.stack([query[0][labels[0] == k][0] for k in range(4)])[None]
    asked = SupportSet(support.x, support.y, 4, descriptors=7 * at)
    assert NearestDescriptor().adapt(asked)(3 * at).argmax(-1).tolist() == [[0, 1, 2, 3]]


def test_the_contract_is_kept():
    # nothing is learned from base classes, and made items are not in the space of their descriptors
    check_learner(NearestDescriptor(), shots=(0, 0, 0), side_shape=(8,), absent_class="handled", learns=False)


def test_errors(no_shape_hook):
    support, _, _ = new_classes(3, length=5, dim=6)
    with pytest.raises(EpisodeError, match="classes must be described by 6 numbers, as the base classes were, got 5"):
        NearestDescriptor().adapt(support)
    with pytest.raises(FewShotError, match=r"temperature must be above 0, got 0\.0"):
        NearestDescriptor(0.0)


class Letters(nn.Module):
    """A text as the counts of its letters, plus one."""

    def preprocess(self, texts):
        return torch.tensor([[text.count(chr(97 + k)) + 1.0 for k in range(26)] for text in texts.tolist()])

    def forward(self, counts):
        return counts


def array(*texts):
    return np.array(texts, np.dtypes.StringDType())


def test_prompts_are_means_of_unit_embeddings_at_unit_length():
    templates = ("{}", "a photo of a {}", "{}, {{a pet}}".replace("{{a pet}}", "a pet"))
    found = Prompts(Letters(), templates)(array("cat", "dog"))
    for row, name in zip(found, ("cat", "dog"), strict=True):
        total = np.zeros(26)
        for template in templates:
            counts = np.array([(template.replace("{}", name)).count(chr(97 + k)) + 1.0 for k in range(26)])
            total += counts / np.sqrt((counts**2).sum())
        assert_close(row, torch.from_numpy(total / np.sqrt((total**2).sum())).float())


@pytest.mark.slip
def test_a_mean_of_raw_embeddings_would_be_seen():
    templates = ("{}", "a very long photo of a {} in the grass of a garden")
    raw = torch.stack([Letters().preprocess(array(t.replace("{}", "cat"))) for t in templates]).mean(0)
    wrong = raw / raw.norm()
    assert float((Prompts(Letters(), templates)(array("cat")) - wrong).abs().max()) > 1e-3


@pytest.mark.parametrize(
    ("templates", "got"), [((), "'no template'"), (("a cat",), "'a cat'"), (("{} {}",), "'{} {}'")]
)
def test_templates_need_one_place_for_the_name(templates, got):
    with pytest.raises(FewShotError, match="every template must have one {} for the name of the class, got " + got):
        Prompts(Letters(), templates)


def test_names_answer_texts_and_others_are_told_apart():
    """A whole evaluation from texts: three classes, and texts of none of them."""
    texts = ["aaa b", "aa", "bbb", "bb a", "ccc", "cc a", "zzz", "yyyz"]
    labels = ["a", "a", "b", "b", "c", "c", "none", "none"]
    splits = {"test": np.arange(6), "open": np.arange(6, 8)}
    data = Collection.from_arrays(texts, labels, descriptors=array("aaaa", "bbbb", "cccc", "none"), splits=splits)
    learner = Embedded(Letters(), NearestDescriptor(), Prompts(Letters()))
    record = evaluate_zero_shot(learner, data, Parts("", "test", open="open"))
    assert record.accuracy == 1 and record.unseen.classes == ["a", "b", "c"]
    told = {one.known_by: one for one in record.open_set}
    assert set(told) == {"largest score", "largest probability"}
    assert told["largest score"].auroc.mean == 1 and told["largest score"].fpr95.mean == 0
    assert told["largest score"].auroc.estimand == "new images of these classes"


def test_a_learner_with_a_side_needs_no_base_and_says_when_descriptors_are_missing():
    data = Collection.from_arrays(["a", "b"], ["x", "y"])
    learner = Embedded(Letters(), NearestDescriptor(), Prompts(Letters()))
    support = SupportSet(array("a", "b")[None], torch.tensor([[0, 1]]), 2)
    with pytest.raises(EpisodeError, match="zero-shot learners need a descriptor of each class, got none"):
        learner.adapt(support)
    assert data.descriptors is None
