import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestCentroid
from torch import nn

from fewshot.contract import per_episode, with_known
from fewshot.datasets.collection import Collection
from fewshot.embedded import Embedded
from fewshot.episodes import EpisodeSampler, EpisodeSpec, FixedEpisodes
from fewshot.errors import EpisodeError, LeakageError, StatisticsError
from fewshot.evaluation.evaluate import evaluate
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.records.record import Record

SPEC = EpisodeSpec(way=3, shot=2, query=4)


def made(seed=0, classes=12, spread=1.0, **known):
    """Shuffled classes of unequal size in eight dimensions."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(classes).repeat(rng.integers(8, 15, classes)))
    return Collection.from_arrays(rng.normal(size=(len(y), 8)) + spread * rng.normal(size=(classes, 8))[y], y, **known)


def slow_accuracies(collection, spec, episodes, seed):
    """Episode by episode with scikit-learn's nearest centroid, in float64."""
    sampler, x = EpisodeSampler(collection.labels, spec, seed), np.asarray(collection.items, np.float64)
    out = []
    for i in range(episodes):
        e = sampler[i]
        model = NearestCentroid().fit(x[e.support], collection.labels[e.support])
        out.append((model.predict(x[e.query]) == collection.labels[e.query]).mean())
    return np.array(out)


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_equals_scikit_learn_episode_by_episode(batch):
    collection = made()
    record = evaluate(NearestMean(), collection, SPEC, 40, seed=3, batch=batch)
    expected = slow_accuracies(collection, SPEC, 40, 3)
    np.testing.assert_allclose(record.accuracies, expected, rtol=1e-12)
    assert record.accuracy == pytest.approx(expected.mean())
    half = 1.96 * expected.std(ddof=1) / 40**0.5
    assert record.summary.high - record.summary.low == pytest.approx(2 * half, rel=0.06)


def test_answers_hold_true_classes_rows_and_predictions():
    collection = made()
    record = evaluate(NearestMean(), collection, SPEC, 10, keep_scores=True)
    answers = record.load_answers()
    np.testing.assert_array_equal(answers.true, collection.labels[answers.rows])
    np.testing.assert_array_equal(answers.correct, record.correct)
    scores, classes = answers.scores.reshape(10, 12, 3), answers.episode_classes()
    np.testing.assert_array_equal(answers.predicted, np.take_along_axis(classes, scores.argmax(2), 1).ravel())
    probabilities = np.exp(scores - scores.max(2, keepdims=True))
    np.testing.assert_allclose(answers.confidence, (probabilities.max(2) / probabilities.sum(2)).ravel(), rtol=1e-5)


def test_record_survives_the_disk(tmp_path):
    record = evaluate(NearestMean(), made(), SPEC, 10).save(tmp_path / "r.json")
    read = Record.load(tmp_path / "r.json")
    assert read.as_json() == record.as_json()
    np.testing.assert_array_equal(read.load_answers(tmp_path).rows, record.load_answers().rows)


class Transductive:
    """Subtracts the mean of the queries: each answer depends on its neighbours."""

    def adapt(self, support):
        inner = NearestMean().adapt(support)
        return lambda query: inner(query - query.mean(1, keepdim=True))


def test_hidden_transduction_is_refused():
    with pytest.raises(LeakageError, match="must not change with its neighbours"):
        evaluate(Transductive(), made(), SPEC, 10)


class OneEpisode:
    """Written for one episode, without `per_episode`: its masks mix all episodes of a batch."""

    def adapt(self, support):
        means = torch.stack([support.x[support.y == k].mean(0) for k in range(support.n_way)])
        return lambda query: -torch.cdist(query, means)


class OfTheFirst:
    """Noise from the seed of the first episode for all; the first by itself is right."""

    transductive = True

    def adapt(self, support):
        inner, noise = NearestMean().adapt(support), torch.randn(8, generator=support[0].generator())
        return lambda query: inner(query + noise)


class SaysWhatItKnows:
    """Scores are right; how known a query is hangs on the other episodes."""

    def adapt(self, support):
        inner = NearestMean().adapt(support)
        return with_known(lambda query: inner(query), lambda query: inner(query).amax(-1) + support.x.mean())


@pytest.mark.parametrize("learner", [OneEpisode(), OfTheFirst(), SaysWhatItKnows()], ids=lambda x: type(x).__name__)
def test_episodes_that_mix_are_refused(learner):
    with pytest.raises(
        LeakageError, match=r"^an episode must score the same alone as in a batch, .* with @per_episode$"
    ):
        evaluate(learner, made(), SPEC, 10)


def test_one_episode_mended_and_noise_of_its_own_pass():
    class Mended(OneEpisode):
        adapt = per_episode(OneEpisode.adapt)

    class Own(OfTheFirst):
        adapt = per_episode(lambda self, one: NearestMean().adapt(one.map(lambda x: x + self.noise(one, x))))

        def noise(self, one, x):
            return torch.randn(x.shape, generator=one.generator(), dtype=x.dtype)

    assert evaluate(Mended(), made(), SPEC, 10).correct == evaluate(NearestMean(), made(), SPEC, 10).correct
    assert evaluate(Own(), made(), SPEC, 10).learner.transductive


def test_scores_that_are_infinite_in_both_calls_are_the_same():
    class Excluding:
        def adapt(self, support):
            inner = NearestMean().adapt(support)
            return lambda query: inner(query).masked_fill(
                inner(query) < inner(query).amax(-1, keepdim=True), -torch.inf
            )

    assert evaluate(Excluding(), made(), SPEC, 10).correct == evaluate(NearestMean(), made(), SPEC, 10).correct


class Centring(nn.Module):
    """Features of an item less the mean of its call, when many are embedded: no batch norm, and not of its item alone."""

    def forward(self, x):
        return x - x.mean(0) if len(x) > 1 else x


def test_a_backbone_that_looks_at_other_items_is_refused():
    with pytest.raises(LeakageError, match="must not change with its neighbours, got features that change"):
        evaluate(Embedded(Centring(), NearestMean()), made(), SPEC, 10)


def test_a_large_episode_is_scored_by_itself_with_the_same_answers():
    rng = np.random.default_rng(0)
    y = np.arange(5).repeat(30)
    x = (rng.normal(size=(5, 20_000))[y] + 8 * rng.normal(size=(150, 20_000))).astype(np.float32)
    wide = Collection.from_arrays(x, y)  # 30 items of 80 kB an episode
    spec = EpisodeSpec(5, 1, 5)
    assert evaluate(NearestMean(), wide, spec, 4).correct == evaluate(NearestMean(), wide, spec, 4, batch=4).correct


def test_declared_transduction_passes():
    learner = Transductive()
    learner.transductive = True
    record = evaluate(learner, made(), SPEC, 10)
    assert record.learner.transductive


def test_batch_norm_without_running_statistics_is_refused():
    backbone = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8, track_running_stats=False))
    with pytest.raises(LeakageError, match="running batch-norm statistics"):
        evaluate(Embedded(backbone, NearestMean()), made(), SPEC, 10)


def test_batch_norm_in_train_mode_is_put_to_eval_and_back():
    backbone = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
    learner = Embedded(backbone, NearestMean()).train()
    backbone[0].eval()
    before = {k: v.clone() for k, v in learner.state_dict().items()}
    evaluate(learner, made(), SPEC, 10)
    assert [m.training for m in backbone] == [False, True, True]
    for name, value in learner.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_embedding_once_changes_no_answer():
    backbone = nn.Sequential(nn.Linear(8, 5), nn.ReLU())

    class Anew:
        """The same, embedded anew in every episode."""

        def adapt(self, support):
            return Embedded(backbone, NearestMean()).adapt(support)

    once = evaluate(Embedded(backbone, NearestMean()), made(), SPEC, 30)
    assert once.correct == evaluate(Anew(), made(), SPEC, 30).correct


def test_seen_classes_are_refused_or_said():
    learner = Embedded(nn.Identity(), NearestMean())
    learner.classes_seen = ("arrays:3", "arrays:99", "other:1")
    with pytest.raises(LeakageError, match="got 1 of 12 that it was trained on, such as 'arrays:3'"):
        evaluate(learner, made(), SPEC, 10)
    record = evaluate(learner, made(), SPEC, 10, allow_seen=True)
    assert (record.pretraining_classes.count, record.pretraining_classes.overlap) == (3, 1)
    fresh = made(name="elsewhere")
    assert evaluate(learner, fresh, SPEC, 10).pretraining_classes.overlap == 0


def test_queries_from_a_second_collection_are_matched_by_name():
    first, second = made(), made(seed=9)
    shuffled = Collection(
        second.items, 11 - second.labels, tuple(reversed(second.class_names)), "second"
    )  # other ids, same names
    a = evaluate(NearestMean(), first, SPEC, 20, queries=second)
    b = evaluate(NearestMean(), first, SPEC, 20, queries=shuffled)
    assert a.correct == b.correct
    with pytest.raises(EpisodeError, match="same class names"):
        evaluate(NearestMean(), first, SPEC, 20, queries=made(classes=13))


def test_fixed_episodes_and_irregular_shapes():
    collection = made()
    sampler = EpisodeSampler(collection.labels, EpisodeSpec(way=(2, 4), shot=(1, 2), query=3), 1)
    fixed = FixedEpisodes([sampler[i] for i in range(12)], "a list")
    listed = evaluate(NearestMean(), collection, episodes=fixed)
    drawn = evaluate(NearestMean(), collection, sampler.spec, 12, seed=1)
    assert listed.correct == drawn.correct
    assert drawn.queries == [3 * len(sampler[i].classes) for i in range(12)]


def test_open_interval_needs_thirty_disjoint_episodes():
    record = evaluate(NearestMean(), made(), SPEC, 10, open_interval=True)
    assert any("disjoint episodes" in note for note in record.notes)
    large = made(classes=100)
    record = evaluate(NearestMean(), large, SPEC, 200, open_interval=True)
    assert {i.estimand for i in record.intervals} == {"new images of these classes", "new classes"}


def test_queries_of_open_classes_do_not_count():
    record = evaluate(NearestMean(), made(spread=20.0), EpisodeSpec(3, 2, 4, open_way=1, open_query=4), 10)
    assert record.accuracy == 1 and record.queries == 12 and record.correct == [12] * 10


def test_no_queries_no_evaluation():
    for spec in (EpisodeSpec(3, 2, 0), EpisodeSpec(3, 2, 0, open_way=1, open_query=4)):
        with pytest.raises(EpisodeError, match="needs queries"):
            evaluate(NearestMean(), made(), spec, 10)


def test_one_episode_has_no_interval():
    with pytest.raises(StatisticsError, match="at least 2 episodes, got 1"):
        evaluate(NearestMean(), made(), SPEC, 1)


def test_uint8_items_are_divided_by_255_without_a_backbone():
    collection = made()
    pixels = Collection.from_arrays(
        (np.asarray(collection.items) * 20 + 128).clip(0, 255).astype(np.uint8), collection.labels
    )
    record = evaluate(NearestMean(), pixels, SPEC, 20)
    np.testing.assert_allclose(record.accuracies, slow_accuracies(pixels, SPEC, 20, 0), rtol=1e-12)


def test_scores_that_are_no_numbers_are_named():
    class Broken:
        def adapt(self, support):
            return lambda query: -torch.cdist(query, query[:, : support.n_way]) * torch.nan

    rng = np.random.default_rng(0)
    collection = Collection.from_arrays(rng.standard_normal((40, 3)), np.arange(4).repeat(10))
    with pytest.raises(EpisodeError, match="scores must be numbers, got nan; look for nan"):
        evaluate(Broken(), collection, EpisodeSpec(2, 1, 3), 10)


class Lengths(nn.Module):
    """Embeds names by their lengths, once they are prepared; dropout shows whether it is in eval mode."""

    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.9)

    def preprocess(self, names):
        return torch.tensor([[float(len(name))] for name in names.tolist()])

    def forward(self, lengths):
        return self.drop(lengths) * torch.ones(8)


class ToDescriptor:
    """Minus the distance to each descriptor."""

    def adapt(self, support):
        return lambda query: -torch.cdist(query, support.descriptors.to(query))


@pytest.mark.parametrize("texts", [True, False])
def test_a_side_embeds_the_descriptors_of_the_classes(texts):
    names = np.array(["a" * (k + 1) for k in range(12)], np.dtypes.StringDType())
    numbers = np.arange(1.0, 13.0, dtype=np.float32)[:, None]
    x = numbers.repeat(5, 0) * np.ones(8, np.float32)
    given = Collection.from_arrays(x, np.arange(12).repeat(5), descriptors=names if texts else numbers)
    side = Lengths() if texts else nn.Linear(1, 8, bias=False)
    if not texts:
        nn.init.ones_(side.weight)
    learner = Embedded(nn.Identity(), ToDescriptor(), side=side)
    assert evaluate(learner, given, EpisodeSpec(way=5, shot=0, query=3), 10, cache=False).accuracy == 1.0
    assert side.training
