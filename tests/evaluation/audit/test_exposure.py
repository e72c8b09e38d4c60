"""Which of the queried classes the weights have seen: the list for Caltech-101, and what records and tables say."""

import json

import numpy as np
import pytest
import yaml
from records import record
from torch import nn

from fewshot import load_backbone
from fewshot.datasets.class_splits import load_class_split
from fewshot.datasets.collection import Collection
from fewshot.embedded import Embedded
from fewshot.episodes import EpisodeSpec
from fewshot.evaluation.audit.exposure import exposure
from fewshot.evaluation.evaluate import evaluate
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.plumbing.files import packaged
from fewshot.records.record import BackboneInfo, Exposure, Record, SeenClasses
from fewshot.records.seen import seen_cell, seen_sentence
from fewshot.tables.facts import facts_table
from fewshot.tables.record_tables import results_table

SPEC = EpisodeSpec(way=3, shot=1, query=2)


class Rows(nn.Module):
    """Features as they are, with a word on pretraining."""

    def __init__(self, pretraining=None):
        super().__init__()
        if pretraining is not None:
            self.pretraining = pretraining

    def forward(self, x):
        return x


def named(names, origin="caltech101"):
    y = np.repeat(np.arange(len(names)), 6)
    x = np.random.default_rng(0).normal(size=(len(y), 4)).astype(np.float32)
    return Collection(x, y, tuple(names), "features", origin)


def listed():
    return yaml.safe_load(packaged("data", "exposure", "imagenet1k-caltech101.yaml").read_text("utf-8"))


def test_the_list_has_classes_of_caltech_only_each_once():
    content, split = listed(), load_class_split("caltech101")
    classes = {name for part in split.parts.values() for name in part}
    assert content["source"] and not set(content["same"]) & set(content["akin"])
    assert {*content["same"], *content["akin"]} < classes
    assert not {"buddha", "wheelchair", "Faces", "yin_yang"} & {*content["same"], *content["akin"]}


def test_the_list_has_label_names_of_imagenet_only():
    from timm.data import ImageNetInfo

    info, content = ImageNetInfo(), listed()
    names = {info.index_to_description(k).split(", ")[0] for k in range(info.num_classes())}
    assert {name for level in ("same", "akin") for names in content[level].values() for name in names} <= names


def test_equal_names_are_in_the_list():
    """A class of Caltech whose very name is a label of ImageNet was seen; the one exception is a fish."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    labels = {label for k in range(1000) for label in info.index_to_description(k).lower().split(", ")}
    classes = {name for part in load_class_split("caltech101").parts.values() for name in part}
    equal = {name for name in classes if {name.lower().replace("_", " "), name.lower().rstrip("s")} & labels}
    assert len(equal) > 30 and equal <= set(listed()["same"])


@pytest.mark.parametrize(
    ("pretraining", "names", "origin", "expected"),
    [
        ("ImageNet-1k", ["llama", "emu", "buddha"], "caltech101", ("ImageNet-1k", 1, 1)),
        ("LAION-2B, ImageNet-1k", ["llama", "barrel", "lamp"], "caltech101", ("ImageNet-1k", 3, 0)),
        ("ImageNet-1k", ["llama", "emu"], "elsewhere", None),
        ("WebLI", ["llama", "emu"], "caltech101", None),
        ("nothing", ["llama", "emu"], "caltech101", None),
        (None, ["llama", "emu"], "caltech101", None),
    ],
)
def test_classes_asked_are_looked_up_by_their_origin(pretraining, names, origin, expected):
    found = exposure(Rows(pretraining), named(names, origin))
    assert (found and (found.data, found.same, found.akin)) == expected


def test_the_test_classes_of_caltech_are_counted_from_the_list():
    split, content = load_class_split("caltech101"), listed()
    for part, classes in split.parts.items():
        found = exposure(Rows("ImageNet-1k"), named(classes))
        assert found.same == sum(name in content["same"] for name in classes), part
        assert found.akin == sum(name in content["akin"] for name in classes), part


def test_a_record_holds_it_and_survives_the_disk(tmp_path):
    made = evaluate(Embedded(Rows("ImageNet-1k"), NearestMean()), named(["llama", "emu", "buddha", "ferry"]), SPEC, 5)
    assert made.backbone.pretraining == "ImageNet-1k" and made.exposure == Exposure(data="ImageNet-1k", same=1, akin=2)
    assert Record.load((made.save(tmp_path / "r.json"), tmp_path / "r.json")[1]).exposure == made.exposure
    silent = evaluate(Embedded(Rows(), NearestMean()), named(["llama", "emu", "ferry"]), SPEC, 5)
    assert silent.backbone.pretraining is None and silent.exposure is None
    assert evaluate(NearestMean(), named(["llama", "emu", "ferry"]), SPEC, 5).exposure is None


def test_records_from_before_are_read(tmp_path):
    content = record().as_json()
    del content["exposure"], content["backbone"]["pretraining"]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(content))
    assert Record.load(path).exposure is None and Record.load(path).backbone.pretraining is None


def said(pretraining=None, **known):
    return record(backbone=BackboneInfo(name="b", pretraining=pretraining), **known)


@pytest.mark.parametrize(
    ("pretraining", "known", "cell"),
    [
        (None, {}, ""),
        ("nothing", {}, "nothing"),
        ("WebLI", {}, "not known (WebLI)"),
        ("ImageNet-1k", {"exposure": Exposure(data="ImageNet-1k", same=2, akin=1)}, "2 of 5 classes (ImageNet-1k)"),
        ("nothing", {"pretraining_classes": SeenClasses(count=64, hash="h", overlap=0)}, "0 of 5 classes"),
        (
            "ImageNet-1k",
            {
                "exposure": Exposure(data="ImageNet-1k", same=2, akin=1),
                "pretraining_classes": SeenClasses(count=64, hash="h", overlap=0),
            },
            "0 of 5 classes; 2 of 5 classes (ImageNet-1k)",
        ),
    ],
)
def test_cells_say_what_is_known(pretraining, known, cell):
    assert seen_cell(said(pretraining, **known)) == cell


def test_the_column_is_there_where_something_was_seen_or_may_have_been():
    plain = {"a": record(), "b": said("nothing")}
    assert "seen before" not in results_table(plain).columns
    table = results_table(plain | {"c": said("WebLI")})
    assert [row[-1] for row in table.rows] == ["–", "nothing", "not known (WebLI)"]
    assert table.columns[-1] == "seen before"


def test_show_tells_it_in_full():
    rows = dict(facts_table(said("ImageNet-1k", exposure=Exposure(data="ImageNet-1k", same=2, akin=1))).rows)
    assert rows["pretraining"] == "ImageNet-1k"
    assert rows["seen before"] == (
        "2 of the 5 classes queried here are among those of ImageNet-1k; akin to one there: 1"
    )
    assert seen_sentence(record()) == "" and "seen before" not in dict(facts_table(record()).rows)


def test_the_packaged_conv4_has_not_seen_the_test_characters(data_root):
    from fewshot import load_dataset

    data_root("omniglot")
    novel = load_dataset("omniglot", rotations="none").split("test").subset(np.arange(20 * 5))
    made = evaluate(Embedded(load_backbone("conv4-omniglot"), NearestMean()), novel, SPEC, 5)
    assert seen_cell(made) == "0 of 5 classes"
    assert made.backbone.pretraining == "Omniglot's training characters"
