import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import directed_hausdorff

from fewshot import SupportSet, evaluate
from fewshot.datasets.named.lake_runs import lake_episodes, load_lake_runs
from fewshot.errors import EpisodeError, ShapeError
from fewshot.learners.index import load_learner
from fewshot.learners.metric.modified_hausdorff import ModifiedHausdorff


def slow_distance(a, b):
    """The modified Hausdorff distance, pair of pixels by pair of pixels, in plain Python.

    Dubuisson and Jain (1994): d(A, B) is the mean over a in A of the distance to the nearest b in B,
    and the distance is the larger of d(A, B) and d(B, A). Pixels are centred on their mean, as in Lake's demo.
    """
    sets = []
    for image in (a, b):
        points = [(r, c) for r in range(len(image)) for c in range(len(image[0])) if image[r][c]]
        middle = [sum(p[axis] for p in points) / len(points) for axis in (0, 1)]
        sets.append([(p[0] - middle[0], p[1] - middle[1]) for p in points])

    def mean_nearest(one, other):
        return sum(min(((p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2) ** 0.5 for q in other) for p in one) / len(one)

    return max(mean_nearest(*sets), mean_nearest(*reversed(sets)))


def drawings(count, seed, size=7):
    """Images with differing amounts of ink, each with some."""
    rng = np.random.default_rng(seed)
    images = rng.random((count, size, size + 1)) < rng.uniform(0.05, 0.6, (count, 1, 1))
    images[np.arange(count), rng.integers(size, size=count), rng.integers(size, size=count)] = True
    return images


def episode(shots, queries, seed):
    """One unbalanced, shuffled episode of ink on paper as floats in [0, 1], with a channel axis."""
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(shots)), shots))
    images = drawings(len(y) + queries, seed)
    x = torch.from_numpy(images).float()[:, None]
    return SupportSet(x[None, : len(y)], torch.from_numpy(y)[None], len(shots)), x[None, len(y) :], images


def oracle(shots, queries, seed):
    support, _, images = episode(shots, queries, seed)
    y = support.y[0].tolist()
    known, asked = images[: len(y)], images[len(y) :]
    distances = [[slow_distance(q, k) for k in known] for q in asked]
    nearest = [
        [min(d for d, label in zip(row, y, strict=True) if label == c) for c in range(len(shots))] for row in distances
    ]
    return -torch.tensor(nearest, dtype=torch.float64)


EPISODES = st.tuples(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.integers(1, 4), st.integers(0, 2**31))


def check(score):
    """Raises unless the function gives the oracle's scores on three unbalanced episodes."""
    for shots, queries, seed in (((2, 1, 3), 4, 0), ((1, 1), 3, 1), ((1, 2, 1, 1), 2, 2)):
        support, query, _ = episode(shots, queries, seed)
        torch.testing.assert_close(
            score(support, query)[0].double(), oracle(shots, queries, seed), rtol=1e-5, atol=1e-5
        )


def right(support, query):
    return ModifiedHausdorff().adapt(support)(query)


@given(EPISODES)
def test_equals_the_slow_computation(drawn):
    shots, queries, seed = drawn
    support, query, _ = episode(shots, queries, seed)
    scores = right(support, query)
    assert scores.shape == (1, queries, len(shots))
    torch.testing.assert_close(scores[0].double(), oracle(shots, queries, seed), rtol=1e-5, atol=1e-5)


def test_the_check_passes_the_right_formula():
    check(right)


def variant(distance, combine=min):
    """Scores from a distance of two arrays of points, and a way to join the examples of a class."""

    def score(support, query):
        points = [[np.argwhere(i.numpy()[0] > 0.5).astype(float) for i in part[0]] for part in (query, support.x)]
        table = np.array([[distance(q, k) for k in points[1]] for q in points[0]])
        y = support.y[0].numpy()
        return -torch.tensor([[[combine(row[y == c]) for c in range(support.n_way)] for row in table]])

    return score


def nearest(a, b):
    return np.linalg.norm(a[:, None] - b, axis=-1).min(1)


def centred(a, b):
    return a - a.mean(0), b - b.mean(0)


def larger(a, b):
    a, b = centred(a, b)
    return max(nearest(a, b).mean(), nearest(b, a).mean())


WRONG = {
    "not centred": lambda a, b: max(nearest(a, b).mean(), nearest(b, a).mean()),
    "one direction": lambda a, b: nearest(*centred(a, b)).mean(),
    "mean of both directions": lambda a, b: (nearest(*centred(a, b)).mean() + nearest(*centred(b, a)).mean()) / 2,
    "smaller direction": lambda a, b: min(nearest(*centred(a, b)).mean(), nearest(*centred(b, a)).mean()),
    "plain Hausdorff": lambda a, b: max(directed_hausdorff(*centred(a, b))[0], directed_hausdorff(*centred(b, a))[0]),
    "squared distances": lambda a, b: max((nearest(*centred(a, b)) ** 2).mean(), (nearest(*centred(b, a)) ** 2).mean()),
    "centred by the box": lambda a, b: max(
        nearest(a - (a.min(0) + a.max(0)) / 2, b - (b.min(0) + b.max(0)) / 2).mean(),
        nearest(b - (b.min(0) + b.max(0)) / 2, a - (a.min(0) + a.max(0)) / 2).mean(),
    ),
}


def test_the_variants_differ_from_the_right_one_only_in_what_they_plant():
    check(variant(larger))


@pytest.mark.slip
@pytest.mark.parametrize("name", WRONG)
def test_planted_wrong_distances_are_caught(name):
    with pytest.raises(AssertionError, match="not close"):
        check(variant(WRONG[name]))


@pytest.mark.slip
@pytest.mark.parametrize("combine", [np.mean, max, lambda d: d[0]])
def test_planted_wrong_ways_to_use_several_shots_are_caught(combine):
    with pytest.raises(AssertionError, match="not close"):
        check(variant(larger, combine))


@given(EPISODES)
def test_shifting_a_drawing_changes_nothing(drawn):
    support, query, _ = episode(*drawn)
    pad = torch.nn.functional.pad
    moved = right(support.map(lambda x: pad(x, (0, 3, 2, 0))), pad(query, (4, 0, 0, 1)))
    torch.testing.assert_close(moved, right(support, query), rtol=1e-5, atol=1e-5)


@given(EPISODES)
def test_the_distance_is_symmetric_and_zero_for_equals(drawn):
    _, _, images = episode(*drawn)
    x = torch.from_numpy(images).float()[None, :, None]
    everyone = SupportSet(x, torch.arange(x.shape[1])[None], x.shape[1])
    scores = right(everyone, x)[0]
    torch.testing.assert_close(scores, scores.mT)
    torch.testing.assert_close(scores.diagonal(), torch.zeros(len(scores)))
    assert scores.max() <= 0


def test_uint8_colours_and_images_without_a_channel():
    support, query, _ = episode((2, 1), 3, 0)
    expected = right(support, query)
    torch.testing.assert_close(right(support.map(lambda x: (x * 255).byte()), (query * 255).byte()), expected)
    torch.testing.assert_close(right(support.map(lambda x: x[:, :, 0]), query[:, :, 0]), expected)
    coloured = [torch.cat([torch.zeros_like(x), x], 2) for x in (support.x, query)]
    torch.testing.assert_close(right(support.map(lambda _: coloured[0]), coloured[1]), expected)
    faint = ModifiedHausdorff(threshold=0.05).adapt(support.map(lambda x: x * 0.1))(query * 0.1)
    torch.testing.assert_close(faint, expected)


def test_no_queries():
    support, query, _ = episode((2, 1), 3, 0)
    assert right(support, query[:, :0]).shape == (1, 0, 2)


def test_errors():
    support, query, _ = episode((1, 1), 3, 0)
    with pytest.raises(EpisodeError, match=r"every class needs a support example, got none for classes \[1\]"):
        right(SupportSet(support.x, torch.zeros_like(support.y), 2), query)
    blank = support.x.clone()
    blank[0, 1] = 0
    with pytest.raises(ShapeError, match=r"every image needs ink above 0\.5, got none in image 1; leave it out"):
        right(support.map(lambda _: blank), query)
    with pytest.raises(ShapeError, match=r"items must be images \(channels, height, width\), got \(56,\)"):
        right(support.map(lambda x: x.flatten(2)), query)


def test_by_name():
    assert load_learner("modified-hausdorff", threshold=0.3) == ModifiedHausdorff(0.3)


@pytest.mark.slow
def test_lakes_published_error_rate(data_root):
    """38.8 % error over the 400 trials, as the released demo and Lake et al. (2015) say: 155 wrong answers."""
    data_root("omniglot")
    runs = load_lake_runs()
    record = evaluate(ModifiedHausdorff(), runs, episodes=lake_episodes(runs))
    assert 400 - sum(record.correct) == 155
    assert record.accuracy == pytest.approx(1 - 0.3875)
    assert (record.queries, record.episodes.way, record.episodes.shot, record.data.name) == (20, 20, 1, "lake-runs")
