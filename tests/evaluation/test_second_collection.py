"""Support from one collection, queries and pool from another: what the record names, who is compared, guarded, verified."""

import json

import numpy as np
import pytest
import torch
import yaml
from cli import as_json, call, refused

from fewshot import Collection, Embedded, EpisodeSpec, NearestMean, choose, compare, evaluate, load_learner, verify
from fewshot.errors import EpisodeError, FewShotError, LeakageError, RecordError
from fewshot.recipes.run import run_recipe
from fewshot.records.record import Record
from fewshot.tasks.target import make_sampler

SPEC = EpisodeSpec(way=3, shot=2, query=4)
Y = np.arange(6).repeat(20)
CENTRES = np.random.default_rng(0).normal(size=(6, 5))


def drawn(spread=0.5, seed=1, offset=0.0):
    noise = np.random.default_rng(seed).normal(size=(len(Y), 5))
    return (CENTRES[Y] + spread * noise + offset).astype(np.float32)


def domain(name, spread=0.5, seed=1, offset=0.0, labels=Y, **known):
    return Collection.from_arrays(drawn(spread, seed, offset), labels, name=name, **known)


@pytest.fixture(scope="module")
def photos():
    return domain("photos")


@pytest.fixture(scope="module")
def drawings():
    return domain("drawings/test", seed=2)


@pytest.fixture(scope="module")
def record(photos, drawings):
    return evaluate(NearestMean(), photos, SPEC, 30, seed=4, queries=drawings)


def test_the_record_names_both_collections(record, photos, drawings, tmp_path):
    support, target = record.sources
    assert (support.part, support.name, support.hash, support.origin) == ("support", "photos", photos.hash, "photos")
    assert (target.part, target.name, target.split, target.hash) == ("queries", "drawings", "test", drawings.hash)
    assert record.target == target and target.origin == "drawings/test" and (target.classes, target.items) == (6, 120)
    record.save(tmp_path / "a.json")
    assert Record.load(tmp_path / "a.json").sources == record.sources
    assert json.loads((tmp_path / "a.json").read_text())["schema"] == 2


def test_a_record_of_one_collection_is_written_as_before(photos):
    told = evaluate(NearestMean(), photos, SPEC, 4).as_json()
    assert told["schema"] == 1 and "sources" not in told
    assert list(told)[:6] == ["schema", "recipe", "settings", "learner", "backbone", "data"]


def test_a_newer_record_is_refused_in_a_sentence(record, tmp_path):
    """As version 0.1.0 refuses schema 2."""
    (tmp_path / "a.json").write_text(json.dumps(record.as_json() | {"schema": 3}))
    with pytest.raises(RecordError, match="must be a record of schema 2 or older, got 3; update fewshot to read it"):
        Record.load(tmp_path / "a.json")


def test_the_accuracy_is_that_of_an_own_loop(record, photos, drawings):
    sampler = make_sampler(photos, SPEC, 4, drawings)
    for i in (0, 7, 29):
        e = sampler[i]
        means = np.stack([photos.items[e.support[e.support_y == k]].mean(0) for k in range(3)])
        nearest = ((drawings.items[e.query][:, None] - means) ** 2).sum(-1).argmin(1)
        assert record.correct[i] == (nearest == e.query_y).sum()


def test_records_are_compared_only_where_the_queries_are_the_same(record, photos, drawings):
    others = {
        "elsewhere": domain("noise", 3.0),
        "other items of that name": domain("drawings/test", 3.0),
        "no second one": None,
    }
    for queries in others.values():
        other = evaluate(NearestMean(), photos, SPEC, 30, seed=4, queries=queries)
        assert other.episodes.manifest != record.episodes.manifest
        with pytest.raises(RecordError, match=r"only on the same queries, got those of .* in b and of 'drawings' \("):
            compare({"a": record, "b": other}, reference="a")
    cosine = evaluate(NearestMean("cosine"), photos, SPEC, 30, seed=4, queries=drawings)
    assert len(compare({"a": record, "b": cosine}, reference="a")) == 1


class Around:
    def __init__(self, inner):
        self.inner = inner

    def adapt(self, support):
        return self.inner.adapt(support)


@pytest.mark.parametrize("wrap", [lambda learner: learner, Around], ids=["itself", "around"])
def test_classes_of_both_collections_are_guarded(photos, drawings, wrap):
    for seen, said in ((drawings.qualified_names()[:2], "drawings/test:0"), (photos.qualified_names()[:2], "photos:0")):
        backbone = torch.nn.Identity()
        backbone.classes_seen = seen
        learner = wrap(Embedded(backbone, NearestMean()))
        with pytest.raises(LeakageError, match=f"got 2 of 6 that it was trained on, such as '{said}'"):
            evaluate(learner, photos, SPEC, 4, queries=drawings)
        allowed = evaluate(learner, photos, SPEC, 4, queries=drawings, allow_seen=True)
        assert allowed.pretraining_classes.overlap == 2


def test_options_that_classes_of_the_target_chose_are_refused(photos, drawings):
    chosen = choose(NearestMean, {"metric": ["cosine"]}, domain("drawings", origin="drawings/test"), SPEC, 4)
    with pytest.raises(LeakageError):
        evaluate(NearestMean(), photos, SPEC, 4, queries=drawings, chosen=chosen)


def test_an_honest_record_holds_and_a_forged_one_does_not(record, photos, drawings):
    sampler = make_sampler(photos, SPEC, 4, drawings)
    assert verify(record, NearestMean(), photos, sampler, queries=drawings).holds
    forged = record.model_copy(update={"correct": [c - 1 for c in record.correct]})
    assert len(verify(forged, NearestMean(), photos, sampler, queries=drawings).different) == 30


def test_verifying_needs_the_very_queries(record, photos, drawings):
    sampler, plain = make_sampler(photos, SPEC, 4, drawings), evaluate(NearestMean(), photos, SPEC, 4)
    with pytest.raises(RecordError, match=r"queries hash \w{16}, got \w{16}"):
        verify(record, NearestMean(), photos, sampler, queries=domain("drawings/test", seed=3))
    with pytest.raises(RecordError, match=r"queries must be given .*, got none; its queries are of 'drawings'"):
        verify(record, NearestMean(), photos, sampler)
    with pytest.raises(RecordError, match=r"queries must be given .*, got 'drawings/test'; leave it out"):
        verify(plain, NearestMean(), photos, make_sampler(photos, SPEC, 0, None), queries=drawings)


class Pooled:
    """Notes its pools, and answers by the nearest mean of the support and, where it is near, of the pool."""

    transductive = True

    def __init__(self):
        self.pools = []

    def adapt(self, support):
        self.pools.append(support.unlabelled)
        return lambda query: NearestMean().adapt(support)(
            query - support.unlabelled.mean(1, keepdim=True) + support.x.mean(1, keepdim=True)
        )


def test_the_pool_is_the_target_s_and_holds_no_query(photos):
    learner, far = Pooled(), domain("far", seed=2, offset=100.0)
    spec = EpisodeSpec(3, 2, 4, unlabelled=5)
    record = evaluate(learner, photos, spec, 20, queries=far)
    assert all(float(pool.min()) > 90 for pool in learner.pools) and record.accuracy > 0.8
    sampler = make_sampler(photos, spec, 0, far)
    assert verify(record, learner, photos, sampler, queries=far, episodes=20).holds
    for i in range(20):
        assert not set(sampler[i].unlabelled) & set(sampler[i].query)
        assert sorted(far.labels[sampler[i].unlabelled]) == sorted(np.repeat(sampler[i].classes, 5))


def test_room_for_queries_of_unequal_numbers_leaves_the_pool_its_items(photos):
    few = domain("few", seed=2).subset(np.flatnonzero(np.arange(len(Y)) % 20 < 8), "few")
    sampler = make_sampler(photos, EpisodeSpec(3, 2, 3, unlabelled=4, dirichlet=1.0), 0, few)
    for i in range(40):
        counts = np.bincount(sampler[i].query_y, minlength=3)
        assert counts.sum() == 9 and counts.max() <= 4
        assert not set(sampler[i].unlabelled) & set(sampler[i].query)


def test_classes_must_match_by_name(photos):
    other = domain("other", labels=np.array(list("abcdef"))[Y])
    with pytest.raises(EpisodeError, match="need the same class names, got only in the second"):
        evaluate(NearestMean(), photos, SPEC, 4, queries=other)
    turned = domain("turned", labels=Y)
    order = np.argsort(turned.labels, kind="stable")[::-1]
    again = Collection(turned.items[order], 5 - turned.labels[order], turned.class_names[::-1], "turned")
    records = [evaluate(NearestMean(), photos, SPEC, 30, queries=one) for one in (turned, again)]
    assert min(r.accuracy for r in records) > 0.75


@pytest.fixture
def files(tmp_path, monkeypatch, own_cache):
    monkeypatch.chdir(tmp_path)
    split = np.where(Y < 2, "train", "test")
    np.savez("photos.npz", x=drawn(), y=Y, split=split)
    np.savez("drawings.npz", x=drawn(seed=2), y=Y, split=split)
    np.savez("plain.npz", x=drawn(seed=2)[Y > 1], y=Y[Y > 1])
    np.savez("noise.npz", x=drawn(3.0, seed=2), y=Y, split=split)
    return tmp_path


RUN = (
    "evaluate",
    "--data",
    "photos.npz",
    "--learner",
    "nearest-mean",
    "--way",
    3,
    "--shot",
    2,
    "--query",
    4,
    "--episodes",
    30,
)


@pytest.mark.parametrize(("queries", "split"), [("drawings.npz", "test"), ("plain.npz", None)])
def test_by_command(files, queries, split):
    first = as_json(*RUN, "--queries", queries)
    told = {source["part"]: (source["name"], source["split"], source["items"]) for source in first["sources"]}
    assert told == {"support": ("photos.npz", "test", 80), "queries": (queries, split, 80)}
    again = call(*RUN, "--queries", queries)
    assert "already done" in again.stderr and f"photos.npz/test → {queries}" in again.stdout
    (path,) = files.glob("fewshot-results/*/*.json")
    call("verify", path)
    assert "2" in call("show", path).stdout
    call("report", path, "--out", "page.html")
    assert f"--queries {queries}" in (files / "page.html").read_text()


def test_a_command_sees_that_the_queries_changed(files):
    first = as_json(*RUN, "--queries", "drawings.npz")
    (path,) = files.glob("fewshot-results/*/*.json")
    np.savez("drawings.npz", x=drawn(seed=5), y=Y, split=np.where(Y < 2, "train", "test"))
    assert call("verify", path, code=2)
    assert as_json(*RUN, "--queries", "drawings.npz")["sources"][1]["hash"] != first["sources"][1]["hash"]


def test_a_command_refuses_queries_of_other_classes_and_splits(files):
    np.savez("other.npz", x=drawn(), y=Y + 7)
    assert "need the same class names" in refused(*RUN, "--queries", "other.npz")
    assert "'nothing.npz'" in refused(*RUN, "--queries", "nothing.npz")
    np.savez("split.npz", x=drawn(), y=Y, split=np.where(Y < 2, "train", "val"))
    assert "test" in refused(*RUN, "--queries", "split.npz")


def test_without_queries_settings_and_names_stay_as_they_were(files):
    record = as_json(*RUN)
    assert "queries" not in record["settings"] and "sources" not in record
    as_json(*RUN, "--queries", "drawings.npz")
    assert len(list(files.glob("fewshot-results/*/*.json"))) == 2


def recipe(queries, **evaluation):
    evaluation = {"episodes": 30, "query": 4, "rows": [{"way": 3, "shot": 2}], **evaluation}
    if queries:
        evaluation["queries"] = queries
    return yaml.safe_dump({
        "name": "own", "data": "photos.npz", "evaluation": evaluation,
        "learners": [{"learner": "nearest-mean"}, {"label": "cosine", "learner": "nearest-mean", "learner_options": {"metric": "cosine"}}],
    })  # fmt: skip


def test_by_recipe(files):
    (files / "own.yaml").write_text(recipe("drawings.npz"))
    records = run_recipe("./own.yaml")
    spoken = []
    assert run_recipe("./own.yaml", announce=spoken.append) == records and "already done" in spoken[0]
    by_hand = as_json(*RUN, "--queries", "drawings.npz", "--backbone", "none")
    assert records[0].correct == by_hand["correct"] and records[0].target.hash == by_hand["sources"][1]["hash"]
    assert (records[0].target.name, records[0].target.split) == ("drawings.npz", "test")
    assert len(compare(dict(zip("ab", records, strict=True)), "a")) == 1
    call("verify", *files.glob("fewshot-results/own/*.json"))
    (files / "own.yaml").write_text(recipe("noise.npz"))
    assert run_recipe("./own.yaml")[0].accuracy < records[0].accuracy


def test_a_recipe_refuses_what_does_not_go_with_queries(files):
    for text, said in (
        (recipe("drawings.npz", episodes="fixed"), "fixed"),
        (recipe("drawings.npz", split="train", ask="test"), "ask"),
        (recipe("", queries_options={"a": 1}), "queries_options"),
        (recipe("absent.npz"), "absent.npz"),
    ):
        (files / "own.yaml").write_text(text)
        with pytest.raises(FewShotError, match=said):
            run_recipe("./own.yaml")


def test_learners_with_a_backbone_embed_both(photos, drawings):
    network = torch.nn.Linear(5, 4)
    learner = load_learner("protonet", backbone=network)
    inside = evaluate(learner, photos, SPEC, 30, queries=drawings, cache=False)
    outside = evaluate(
        NearestMean(), photos.embed(network, cache=False), SPEC, 30, queries=drawings.embed(network, cache=False)
    )
    assert inside.correct == outside.correct
