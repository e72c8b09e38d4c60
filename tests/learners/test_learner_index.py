"""Learners by name: every name loads, wrong names and options are refused in one sentence."""

import importlib.metadata
import inspect
import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from fewshot.contract import Learner
from fewshot.embedded import Embedded
from fewshot.errors import FewShotError, UnknownNameError
from fewshot.learners.index import LEARNERS, load_learner, targets
from fewshot.learners.linear.logistic_regression import LogisticRegression
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.learners.metric.protonet import ProtoNet


def needed(name):
    """Options without which a learner cannot be made."""
    module, attribute = targets()[name].split(":")
    parameters = inspect.signature(getattr(importlib.import_module(module), attribute)).parameters
    backbone = nn.Linear(8, 8)
    backbone.dim = 8
    known = {"dim": 8, "head": NearestMean()}
    return {k: known.get(k, backbone) for k, p in parameters.items() if p.default is p.empty}


@pytest.mark.parametrize("name", LEARNERS)
def test_every_name_loads_a_learner(name):
    assert name == name.lower().replace("_", "-")
    learner = load_learner(name, **needed(name))
    assert isinstance(learner, Learner)
    assert getattr(learner, "transductive", False) == LEARNERS[name].transductive


@pytest.mark.parametrize("name", [name for name, entry in LEARNERS.items() if entry.family == "gradient"])
def test_the_list_tells_when_batch_norm_looks_at_the_queries(name):
    backbone = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
    backbone.dim = 8
    assert load_learner(name, backbone=backbone).transductive == LEARNERS[name].by_batch_norm


def test_options_are_the_fields():
    assert load_learner("nearest-mean") == NearestMean()
    assert load_learner("nearest-mean", metric="cosine", temperature=0.1) == NearestMean("cosine", 0.1)
    assert load_learner("logistic-regression", C=10.0) == LogisticRegression(10.0)


def test_protonet_is_a_backbone_with_nearest_means():
    backbone = nn.Linear(3, 2)
    learner = load_learner("protonet", backbone=backbone, metric="cosine", temperature=0.5)
    assert type(learner) is Embedded
    assert learner.backbone is backbone
    assert learner.head == NearestMean("cosine", 0.5)
    assert ProtoNet(backbone).head == NearestMean()
    assert list(learner.parameters()) == list(backbone.parameters())


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        (
            "nearest-mean",
            {"metrik": "cosine"},
            r"^options of learner 'nearest-mean' must be among 'metric', 'temperature', got 'metrik'$",
        ),
        ("protonet", {}, r"^learner 'protonet' needs 'backbone', got no option; pass it by name$"),
        ("protonet", {"metric": "cosine"}, r"needs 'backbone', got 'metric'"),
        ("logistic-regression", {"c": 1, "b": 2}, r"must be among 'C', got 'b', 'c'$"),
        ("nearest-mean", {"metric": "manhattan"}, r"metric must be 'squared-euclidean' or 'cosine', got 'manhattan'"),
    ],
)
def test_wrong_options_are_refused(name, options, sentence):
    with pytest.raises(FewShotError, match=sentence):
        load_learner(name, **options)


def test_a_backbone_is_an_object_not_a_name(no_shape_hook):
    with pytest.raises(FewShotError, match=r"backbone must be a module or a function, got 'conv4'; .* load_backbone"):
        load_learner("protonet", backbone="conv4")


def test_unknown_names_name_the_nearest():
    with pytest.raises(
        UnknownNameError, match="the learner must be a known name, got 'nearest-meen'; did you mean 'nearest-mean'"
    ):
        load_learner("nearest-meen")
    with pytest.raises(UnknownNameError, match=r"known: .*logistic-regression, .*protonet"):
        load_learner("zzz")


@dataclass(frozen=True)
class Plugin:
    factor: float = 1.0

    def adapt(self, support):
        return lambda query: torch.zeros(*query.shape[:2], support.n_way) * self.factor


def flexible(**anything):
    return Plugin(anything.get("factor", 1.0))


@pytest.fixture
def plugins(monkeypatch):
    points = [
        importlib.metadata.EntryPoint(name, f"plugin_of_a_test:{attribute}", "fewshot.learners")
        for name, attribute in [("my-learner", "Plugin"), ("flexible", "flexible"), ("nearest-mean", "Plugin")]
    ]
    monkeypatch.setattr("fewshot.plumbing.names.entry_points", lambda group: [p for p in points if p.group == group])
    module = type(sys)("plugin_of_a_test")
    module.Plugin, module.flexible = Plugin, flexible
    monkeypatch.setitem(sys.modules, "plugin_of_a_test", module)


def test_other_packages_offer_learners_by_entry_point(plugins):
    assert load_learner("my-learner", factor=2.0) == Plugin(2.0)
    with pytest.raises(FewShotError, match="options of learner 'my-learner' must be among 'factor', got 'faktor'"):
        load_learner("my-learner", faktor=2.0)
    assert load_learner("flexible", factor=3.0, whatever=1) == Plugin(3.0)
    with pytest.raises(UnknownNameError, match="did you mean 'my-learner'"):
        load_learner("my-lerner")


def test_the_class_of_an_object_is_told_how_it_gets_a_name(plugins):
    with pytest.raises(UnknownNameError, match=r"got 'NearestMedian', the class of an object without one; register it"):
        load_learner("NearestMedian")
    with pytest.raises(UnknownNameError, match="did you mean 'nearest-mean'"):
        load_learner("NearestMean")


def test_built_in_names_win(plugins):
    assert load_learner("nearest-mean") == NearestMean()


def test_loading_one_learner_imports_no_other():
    code = (
        "import sys; from fewshot.learners.index import load_learner; load_learner('nearest-mean'); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    ours = {name for name in loaded if name.startswith("fewshot.learners.")}
    assert ours == {"fewshot.learners.index", "fewshot.learners.metric", "fewshot.learners.metric.nearest_mean"}
