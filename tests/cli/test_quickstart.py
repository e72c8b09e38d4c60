"""The quickstart, run whole with few episodes, without data and without a network connection."""

import io
import json
import socket
from contextlib import redirect_stdout

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from sklearn.neighbors import NearestCentroid

from fewshot import EpisodeSampler, EpisodeSpec, Record, compare, load_dataset
from fewshot.cli import digits_benchmark as module
from fewshot.cli.digits_benchmark import METHODS, NETWORK, REFERENCE, SHOTS
from fewshot.cli.quickstart import quickstart

EPISODES = 20


def refuse(*arguments):
    raise AssertionError("the quickstart must not use the network")


def run(out, as_json, episodes=EPISODES):
    printed = io.StringIO()
    with redirect_stdout(printed):
        quickstart(out, as_json, episodes)
    return printed.getvalue()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A machine without data sets, without a cache and without a network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("FEWSHOT_DATA", raising=False)
        patch.setenv("FEWSHOT_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(socket.socket, "connect", refuse)
        yield


@pytest.fixture(scope="module")
def done(alone, tmp_path_factory):
    """``(folder, what was printed as JSON)``."""
    out = tmp_path_factory.mktemp("quickstart") / "new"
    return out, json.loads(run(out, as_json=True))  # one document and nothing else


def records(folder, shot):
    return {name: Record.load(folder / f"{shot}-shot" / f"{file}.json") for name, (file, *_) in METHODS.items()}


def row(document, method, shot):
    [found] = [r for r in document["rows"] if (r["method"], r["shot"]) == (method, shot)]
    return found


def test_every_method_and_shot_has_a_record_with_its_answers(done):
    folder, document = done
    assert {(r["method"], r["shot"]) for r in document["rows"]} == {(m, s) for m in METHODS for s in SHOTS}
    for shot in SHOTS:
        for name, record in records(folder, shot).items():
            answers = record.load_answers(folder / f"{shot}-shot")
            right = (answers.true == answers.predicted).reshape(EPISODES, 150).mean(1)
            accuracy = row(document, name, shot)["accuracy"]
            np.testing.assert_allclose(right.mean(), accuracy["mean"], rtol=1e-12)
            np.testing.assert_allclose(record.accuracies, right, rtol=1e-12)
            assert accuracy["low"] < accuracy["mean"] < accuracy["high"] and accuracy["level"] == 0.95
            assert row(document, name, shot)["record"] == str(folder / f"{shot}-shot" / f"{METHODS[name][0]}.json")


@pytest.mark.parametrize("shot", SHOTS)
def test_differences_are_those_of_compare(done, shot):
    folder, document = done
    by_name = records(folder, shot)
    assert row(document, REFERENCE, shot)["difference"] is None
    assert len({record.episodes.manifest for record in by_name.values()}) == 1
    for comparison in compare(by_name, REFERENCE):
        found = row(document, comparison.name, shot)["difference"]
        interval = comparison.difference
        assert found == {"mean": interval.estimate, "low": interval.low, "high": interval.high, "level": 0.95}


@pytest.mark.parametrize("shot", SHOTS)
def test_differences_against_scipy_and_not_unpaired(done, shot):
    folder, document = done
    by_name = records(folder, shot)
    b = by_name[REFERENCE].accuracies
    for name in set(METHODS) - {REFERENCE}:
        a, found = by_name[name].accuracies, row(document, name, shot)["difference"]
        paired = stats.ttest_rel(a, b).confidence_interval(0.95)
        np.testing.assert_allclose([found["low"], found["high"]], paired, rtol=1e-9)
        np.testing.assert_allclose(found["mean"], (a - b).mean(), rtol=1e-9)
        unpaired = stats.ttest_ind(a, b).confidence_interval(0.95)
        assert not np.allclose([found["low"], found["high"]], unpaired, rtol=1e-2)
        assert not np.allclose([found["low"], found["high"]], stats.ttest_rel(b, a).confidence_interval(0.95))


@pytest.mark.filterwarnings("ignore:self.within_class_std_dev_ has at least 1 zero")  # the digits' corners are white
@pytest.mark.parametrize("shot", [2, 5])  # scikit-learn's centroids need two examples
def test_raw_pixels_against_scikit_learn(done, shot):
    folder, _ = done
    data = load_dataset("digits")
    x = data.items.reshape(len(data), -1) / 255.0
    sampler = EpisodeSampler(data.labels, EpisodeSpec(10, shot, 15), seed=0)
    correct = []
    for k in range(EPISODES):
        e = sampler[k]
        predicted = NearestCentroid().fit(x[e.support], e.support_y).predict(x[e.query])
        correct.append(int((predicted == e.query_y).sum()))
    assert records(folder, shot)[REFERENCE].correct == correct


def test_the_network_saw_many_classes_but_no_digit(done):
    folder, document = done
    seen = records(folder, 1)[NETWORK].pretraining_classes
    assert document["network"] == {"training_classes": seen.count, "of_them_asked_here": 0}
    assert seen.count > 1000


def test_training_on_other_characters_helps_on_the_same_images(done):
    folder, _ = done
    for shot in SHOTS:
        by_name = {n: r for n, r in records(folder, shot).items() if n in (NETWORK, "strokes, nearest mean")}
        [comparison] = compare(by_name, "strokes, nearest mean")
        assert comparison.difference.low > 0.05


def test_pictures_are_there_and_not_blank(done):
    folder, document = done
    assert document["pictures"] == [str(folder / n) for n in ("accuracy-over-shots.png", "episode.png")]
    for path in document["pictures"]:
        with Image.open(path) as image:
            assert image.format == "PNG" and min(image.size) > 400
            assert np.asarray(image.convert("L")).std() > 10


def test_picture_shows_the_answers_of_the_record(done, monkeypatch):
    folder, _ = done
    seen = {}
    monkeypatch.setattr(
        module, "episode_picture", lambda *arguments: seen.update(zip("xypqan", arguments, strict=True))
    )
    record = records(folder, 1)[NETWORK].with_answers(
        records(folder, 1)[NETWORK].load_answers(folder / "1-shot")
    )  # fmt: skip
    module._first_episode(load_dataset("digits-strokes"), record)
    drawn, e = (
        load_dataset("digits-strokes"),
        EpisodeSampler(load_dataset("digits").labels, EpisodeSpec(10, 1, 15), 0)[0],
    )
    by_image = {drawn.items[r].tobytes(): int(drawn.labels[r]) for r in (*e.support, *e.query)}
    assert [by_image[x.tobytes()] for x in seen["x"]] == seen["y"].tolist() and seen["n"] == [str(k) for k in range(10)]
    assert [by_image[x.tobytes()] for x in seen["p"]] == seen["q"].tolist()
    answers = record.load_answers()
    answered = {drawn.items[r].tobytes(): p for r, p in zip(answers.rows[:150], answers.predicted[:150], strict=True)}
    assert [answered[x.tobytes()] for x in seen["p"]] == seen["a"].tolist()
    assert np.bincount(seen["q"]).tolist() == [module.SHOWN] * 10


def test_table_says_what_was_done_and_where_the_files_are(alone, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHOTS", (1, 5))
    threads = torch.get_num_threads()
    text = run(tmp_path / "out", as_json=False, episodes=5)
    assert torch.get_num_threads() == threads
    for method in METHODS:
        assert method in text
    assert "0 of the 10 digits were among them" in text and str(tmp_path / "out") in text
    assert "5 episodes; mean ± 95% interval for these episodes' images" in text
    for shot in (1, 5):
        record = records(tmp_path / "out", shot)[NETWORK]
        assert f"{100 * record.accuracy:.2f} ± {50 * (record.summary.high - record.summary.low):.2f}" in text
