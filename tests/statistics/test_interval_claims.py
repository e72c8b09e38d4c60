"""What the documentation claims about intervals, on episodes drawn from stored images.

Twenty Gaussian classes of 200 stored images, 5-way 5-shot 15-query nearest
centroid. Episodes re-use the images, as almost every published evaluation does.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fewshot.statistics.mean_accuracy import closed_interval
from fewshot.statistics.new_classes import class_interval
from fewshot.statistics.paired import paired_difference

WAY, SHOT, QUERY, CLASSES, IMAGES, DIM = 5, 5, 15, 20, 200, 16


def draw_means(rng):
    return rng.normal(size=(CLASSES, DIM)) * rng.lognormal(-0.3, 0.3, size=(CLASSES, 1))


def draw_images(rng, means):
    return means[:, None] + rng.normal(size=(CLASSES, IMAGES, DIM))


def evaluate(rng, images, episodes):
    """Right answers (2, episodes) by Euclidean and by cosine distance, and the classes."""
    classes = np.argsort(rng.random((episodes, CLASSES)), axis=1)[:, :WAY]
    items = np.argpartition(rng.random((episodes, WAY, IMAGES)), SHOT + QUERY, axis=2)[..., : SHOT + QUERY]
    x = images[classes[..., None], items]  # (e, way, shot + query, dim)
    centroid, query = x[:, :, :SHOT].mean(2), x[:, :, SHOT:]
    dot = np.einsum("ekqd,end->ekqn", query, centroid)
    square = (centroid**2).sum(-1)[:, None, None]
    truth = np.arange(WAY)[:, None]
    scores = (2 * dot - square, dot / np.sqrt(square))  # both up to a constant per query
    return np.stack([(s.argmax(-1) == truth).sum((1, 2)) for s in scores]), classes


@pytest.fixture(scope="module")
def benchmark():
    rng = np.random.default_rng(0)
    means = draw_means(rng)
    correct, classes = evaluate(rng, draw_images(rng, means), 1500)
    return means, correct, classes


def half_width_that_covers(means_of, seed, draws=30, episodes=600):
    """1.96 standard deviations of the benchmark's mean over redrawn data, sampler noise taken out."""
    rng = np.random.default_rng(seed)
    found = [evaluate(rng, draw_images(rng, means_of(rng)), episodes)[0][0] for _ in range(draws)]
    accuracies = np.array(found) / (WAY * QUERY)
    noise = (accuracies.var(axis=1, ddof=1) / episodes).mean()
    return 1.96 * np.sqrt(max(accuracies.mean(1).var(ddof=1) - noise, 0))


def test_a_closed_interval_is_too_narrow_for_new_images_and_classes(benchmark):
    means, correct, classes = benchmark
    closed = closed_interval(correct[0], WAY * QUERY).half_width
    images = half_width_that_covers(lambda _: means, seed=1)
    new_classes = half_width_that_covers(draw_means, seed=2)
    assert images > 1.3 * closed
    assert new_classes > 8 * closed
    honest = class_interval(correct[0] / (WAY * QUERY), classes)
    assert 0.6 * new_classes < honest.half_width < 1.8 * new_classes


def test_the_closed_interval_shrinks_to_nothing_with_episodes(benchmark):
    correct = benchmark[1][0]
    few, many = (closed_interval(correct[:n], WAY * QUERY).half_width for n in (100, 1500))
    assert 3 < few / many < 5  # the root of 15 is 3.9, with the same 4000 images


def test_pairing_makes_the_interval_several_times_narrower(benchmark):
    euclidean, cosine = benchmark[1] / (WAY * QUERY)
    assert np.corrcoef(euclidean, cosine)[0, 1] > 0.8
    paired = paired_difference(euclidean, cosine).half_width
    separate = [closed_interval(c, WAY * QUERY).half_width for c in benchmark[1]]
    assert np.hypot(*separate) > 2.5 * paired


def test_the_coverage_tables_of_the_page_are_those_of_the_record():
    script = Path(__file__).parents[2] / "benchmarks" / "coverage.py"
    subprocess.run([sys.executable, script, "--check"], check=True)
