"""Whole numbers, seeds, finite numbers and truth values of every kind, and where they are used."""

import inspect
import math

import numpy as np
import pytest
import torch

from fewshot import (
    Collection,
    EpisodeSampler,
    EpisodeSpec,
    NearestMean,
    SupportSet,
    evaluate,
    load_backbone,
    load_learner,
)
from fewshot.episodes import FixedEpisodes, training_draws
from fewshot.errors import EpisodeError, FewShotError, StatisticsError
from fewshot.evaluation.verify import verify
from fewshot.learners.index import LEARNERS, find_learner
from fewshot.plumbing.number_checks import (
    finite_number,
    keep_whole_numbers,
    plain,
    seed_number,
    truth_value,
    whole_number,
)

WHOLE = [3, np.int64(3), np.uint8(3), np.array(3), np.array([1, 3])[1], torch.tensor(3)]
NOT_WHOLE = [3.0, 3.5, True, np.bool_(True), torch.tensor(True), "3", None, [3], np.array([3, 4]), math.nan, 1j]


@pytest.mark.parametrize("value", WHOLE, ids=repr)
def test_whole_numbers_of_any_library_are_taken(value):
    assert whole_number("k", value, 1, 3) == seed_number(value) == 3
    assert type(whole_number("k", value)) is int


@pytest.mark.parametrize("value", NOT_WHOLE, ids=repr)
def test_what_is_no_whole_number_is_refused(value):
    with pytest.raises(EpisodeError, match=r"^k must be a whole number of at least 1, got "):
        whole_number("k", value, 1, error=EpisodeError)
    with pytest.raises(FewShotError, match=r"^seed must be a whole number in 0\.\.2\^63-1, got "):
        seed_number(value)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (np.int64(0), "k must be a whole number of at least 1, got 0"),
        (1e3, "k must be a whole number of at least 1, got 1000.0; write 1000"),
        (np.float32(2), "k must be a whole number of at least 1, got 2.0; write 2"),
        (-1.0, "k must be a whole number of at least 1, got -1.0"),
        (math.inf, "k must be a whole number of at least 1, got inf"),
    ],
)
def test_the_sentence_says_what_was_given_and_what_to_write(value, sentence):
    with pytest.raises(FewShotError) as refused:
        whole_number("k", value, 1)
    assert str(refused.value) == sentence


def test_seeds_end_where_generators_do():
    assert seed_number(2**63 - 1) == 2**63 - 1
    for wrong in (-1, 2**63):
        with pytest.raises(FewShotError, match="seed must be a whole number"):
            seed_number(wrong)


@pytest.mark.parametrize(
    ("interval", "inside", "outside", "place"),
    [
        ("[0, 1)", (0, 0.5, np.float32(0.25)), (1, -0.1, 1.0), r" in \[0, 1\)"),
        ("(0, inf)", (1e-9, 10**6), (0, -1), " above 0"),
        ("[0, inf)", (0, 3), (-1e-9,), " of at least 0"),
        ("(-inf, inf)", (-5, torch.tensor(2.0)), (), ""),
    ],
)
def test_finite_numbers(interval, inside, outside, place):
    for value in inside:
        assert finite_number("rate", value, interval) == float(value)
    for value in (*outside, math.nan, math.inf, -math.inf, "0.5", None, True, np.array([0.1, 0.2]), [0.5]):
        with pytest.raises(FewShotError, match=f"^rate must be a finite number{place}, got "):
            finite_number("rate", value, interval)


def test_truth_values_and_scalars():
    assert truth_value("open", np.bool_(True)) is True
    with pytest.raises(FewShotError, match="open must be True or False, got 1"):
        truth_value("open", 1)
    assert type(plain(np.float32(0.5))) is float and plain("text") == "text"


def test_attributes_are_kept_as_python_s_own():
    class Owner:
        k, steps = np.int64(2), np.int16(0)

    owner = Owner()
    keep_whole_numbers(owner, k=1, steps=0)
    assert type(owner.k) is int and type(owner.steps) is int


Y = np.arange(6).repeat(10)
DATA = Collection.from_arrays(np.random.default_rng(0).normal(size=(60, 4)) + Y[:, None], Y)


def test_specs_and_lists_take_numbers_of_numpy(no_shape_hook):
    spec = EpisodeSpec((np.int64(2), np.int32(4)), np.int64(1), np.uint8(2), disjoint=np.bool_(False))
    assert spec == EpisodeSpec((2, 4), 1, 2) and spec.short() == EpisodeSpec((2, 4), 1, 2).short()
    uneven = EpisodeSpec(3, query=2, shots=np.array([1, 2, 3]), dirichlet=np.float32(0.5))
    assert uneven == EpisodeSpec(3, query=2, shots=(1, 2, 3), dirichlet=0.5)
    lists = [EpisodeSampler(Y, EpisodeSpec(3, 1, 2), seed).manifest(0, 4) for seed in (7, np.int64(7))]
    assert lists[0] == lists[1]
    episodes = [EpisodeSampler(Y, EpisodeSpec(3, 1, 2))[k] for k in range(2)]
    assert FixedEpisodes(episodes, "two", np.int64(3)).manifest(0, np.int64(2)) == FixedEpisodes(
        episodes, "two", 3
    ).manifest(0, 2)
    splits = {"train": np.arange(0, 60, 2), "test": np.arange(1, 60, 2)}
    assert len(training_draws(Y, splits, "train", "test", np.int64(1), np.int64(3), np.int64(0))) == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shots": 3}, "shots must give one count a class, such as"),
        ({"shots": "123"}, "shots must give one count a class, such as"),
        ({"dirichlet": "1"}, "dirichlet must be a finite number above 0, got '1'"),
        ({"within_group": "yes"}, "within_group must be True or False, got 'yes'"),
        ({"way": 5.0}, r"way must be a whole number of at least 1, or a pair \(low, high\), got 5.0"),
    ],
)
def test_a_spec_says_what_is_no_number(fields, message, no_shape_hook):
    with pytest.raises(EpisodeError, match=message):
        EpisodeSpec(**fields)


def test_an_evaluation_takes_numbers_of_numpy(no_shape_hook):
    spec = EpisodeSpec(3, 1, 2)
    record = evaluate(NearestMean(), DATA, spec, np.int64(20), np.int64(3), batch=np.int64(4), cache=False)
    again = evaluate(NearestMean(), DATA, spec, 20, 3, batch=4, cache=False)
    assert (record.correct, record.episodes) == (again.correct, again.episodes)
    sampler = EpisodeSampler(Y, spec, 3)
    assert verify(record, NearestMean(), DATA, sampler, episodes=np.int64(5), seed=np.int64(1)).holds


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"episodes": 1e2}, EpisodeError, "episodes must be a whole number, got 100.0; write 100"),
        ({"episodes": "20"}, EpisodeError, "episodes must be a number of them, or a list as FixedEpisodes, got '20'"),
        ({"episodes": [1, 2]}, EpisodeError, "episodes must be a number of them, or a list as FixedEpisodes, got list"),
        ({"episodes": True}, EpisodeError, "episodes must be a whole number, got True"),
        ({"episodes": 1}, StatisticsError, "an interval needs at least 2 episodes, got 1"),
        ({"seed": None}, EpisodeError, r"seed must be a whole number in 0\.\.2\^63-1, got None"),
        ({"batch": 0}, EpisodeError, "batch must be a whole number of at least 1, got 0"),
        ({"level": "0.95"}, StatisticsError, "a level lies between 0 and 1, got 0.95"),
        ({"spec": "5-way"}, EpisodeError, "the spec must be an EpisodeSpec, got '5-way'; write EpisodeSpec"),
    ],
)
def test_an_evaluation_says_what_is_no_number(given, error, message, no_shape_hook):
    with pytest.raises(error, match=message):
        evaluate(NearestMean(), DATA, **{"spec": EpisodeSpec(3, 1, 2), "episodes": 4, "cache": False} | given)


def declared():
    """Every option of a built-in learner that is declared as a whole number, with what else the learner needs."""
    for name in LEARNERS:
        known = inspect.signature(find_learner(name)).parameters
        needed = {
            option: 8 for option, p in known.items() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
        }
        yield from ((name, option, needed) for option, p in known.items() if p.annotation in (int, int | None))


def test_every_whole_number_of_every_learner_is_checked():
    options = list(declared())
    assert len(options) > 60 and ("k-nearest-neighbours", "k", {}) in options
    for name, option, needed in options:
        for value in (2.5, "2", False):
            with pytest.raises(FewShotError, match=rf"^{option} must be a whole number.*, got {value!r}"):
                load_learner(name, **needed | {option: value})


def test_options_of_numpy_are_pythons_own_in_the_record(no_shape_hook):
    learner = load_learner("k-nearest-neighbours", k=np.int64(1), weights=np.str_("distance"))
    record = evaluate(learner, DATA, EpisodeSpec(3, 1, 2), 4, cache=False)
    assert record.learner.options["k"] == 1 and type(learner.k) is int
    assert load_backbone("conv4", seed=np.int64(1), width=np.int64(8)).dim == load_backbone("conv4", width=8).dim
    with pytest.raises(FewShotError, match="seed must be a whole number"):
        load_backbone("conv4", seed=None)


@pytest.mark.parametrize("y", [[[0.0, -0.9, 1.4]], [[0.0, 1.0, 0.0]], [[True, False, True]]], ids=str)
def test_labels_of_a_support_are_whole_numbers(y, no_shape_hook):
    with pytest.raises(
        EpisodeError, match=r"labels must be a tensor of whole numbers from 0, got torch\.(float32|bool)"
    ):
        SupportSet(torch.zeros(1, 3, 2), torch.tensor(y), 2)
    with pytest.raises(EpisodeError, match="labels must be a tensor of whole numbers from 0, got ndarray"):
        SupportSet(torch.zeros(1, 3, 2), np.array([[0, 1, 0]]), 2)
    assert SupportSet(torch.zeros(1, 3, 2), torch.tensor([[0, 1, 0]], dtype=torch.uint8), np.int64(2)).n_way == 2
