import json

import pytest
from episode_cases import DISJOINT, IRREGULAR, PLAIN
from hypothesis import given

from fewshot.episodes import EpisodeSpec
from fewshot.errors import EpisodeError


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"way": 0}, r"way must be a whole number of at least 1, or a pair \(low, high\), got 0"),
        ({"way": -3}, "way must be a whole number of at least 1, .* got -3"),
        ({"way": True}, "way must be a whole number of at least 1, .* got True"),
        ({"way": 2.0}, "way must be a whole number of at least 1, .* got 2.0"),
        ({"way": (5, 2)}, r"way must be a whole number .* got \(5, 2\)"),
        ({"way": (0, 2)}, r"way must be a whole number .* got \(0, 2\)"),
        ({"way": (1, 2, 3)}, r"way must be a whole number .* got \(1, 2, 3\)"),
        ({"shot": -1}, "shot must be a whole number of at least 0, .* got -1"),
        ({"shot": (0, True)}, r"shot must be a whole number of at least 0, .* got \(0, True\)"),
        ({"query": -1}, "query must be a whole number of at least 0, .* got -1"),
        ({"query": "15"}, "query must be a whole number of at least 0, .* got '15'"),
        ({"open_way": -1}, "open_way must be a whole number of at least 0, got -1"),
        ({"open_way": (1, 2)}, r"open_way must be a whole number of at least 0, got \(1, 2\)"),
        ({"open_way": 1, "open_query": -1}, "open_query must be a whole number of at least 0, got -1"),
        ({"unlabelled": True}, "unlabelled must be a whole number of at least 0, got True"),
        ({"unlabelled": 1, "distractors": 1.5}, "distractors must be a whole number of at least 0, got 1.5"),
        ({"way": 3, "shots": (1, 2)}, r"shots must give one count a class, got \(1, 2\) for way 3"),
        ({"way": (2, 3), "shots": (1, 2)}, r"shots must give one count a class, got \(1, 2\) for way \(2, 3\)"),
        ({"way": 2, "shots": (1, -2)}, "every count of shots must be a whole number of at least 0, got -2"),
        ({"way": 1, "shots": ()}, r"shots must give one count a class, got \(\) for way 1"),
        ({"dirichlet": 0.0}, "dirichlet must be a finite number above 0, got 0.0"),
        ({"dirichlet": float("nan")}, "dirichlet must be a finite number above 0, got nan"),
        ({"dirichlet": float("inf")}, "dirichlet must be a finite number above 0, got inf"),
        ({"dirichlet": True}, "dirichlet must be a finite number above 0, got True"),
        ({"open_query": 3}, "open_query needs open_way, got open_query=3"),
        ({"distractors": 2}, "distractors need a pool of unlabelled items, got distractors=2 and unlabelled=0"),
        ({"rule": "mini"}, "rule must be 'fixed' or 'meta-dataset', got 'mini'"),
        (
            {"rule": "meta-dataset", "unlabelled": 2},
            "'meta-dataset' takes no option but within_group, got .*unlabelled=2",
        ),
        (
            {"rule": "meta-dataset", "disjoint": True},
            "'meta-dataset' takes no option but within_group, got .*disjoint=True",
        ),
        ({"rule": "meta-dataset", "way": (5, 501)}, r"way must be at most 500, .* got \(5, 501\)"),
        (
            {"disjoint": True, "way": (2, 3)},
            "disjoint episodes need fixed way, shot and query and no other option, got way=",
        ),
        ({"disjoint": True, "dirichlet": 2.0}, "disjoint episodes need .* got way=5 shot=1 query=15 dirichlet=2.0"),
        ({"disjoint": True, "within_group": True}, "disjoint episodes need .* within_group=True"),
        ({"disjoint": True, "shot": 0, "query": 0}, "disjoint episodes need .* got way=5 shot=0 query=0"),
    ],
)
def test_a_spec_that_cannot_be_is_refused(fields, message, no_shape_hook):
    with pytest.raises(EpisodeError, match=message):
        EpisodeSpec(**fields)


def test_a_dictionary_with_an_unknown_field_is_refused():
    with pytest.raises(
        EpisodeError, match=r"has the fields way, shot, .* rule, got 'shoot'; spell it so or leave it out"
    ):
        EpisodeSpec.from_dict({"way": 5, "shoot": 1})


def round_trip(fields):
    made = EpisodeSpec(**fields)
    return made, EpisodeSpec.from_dict(json.loads(json.dumps(made.as_dict())))


@given(PLAIN | IRREGULAR | DISJOINT)
def test_a_spec_survives_json(fields):
    made, again = round_trip(fields)
    assert made == again
    assert hash(made) == hash(again)


@given(PLAIN | IRREGULAR | DISJOINT)
def test_only_fixed_counts_without_options_are_plain(fields):
    plain = {k for k, v in fields.items() if v and v != "fixed"} <= {"way", "shot", "query"}
    assert EpisodeSpec(**fields).is_plain() == (plain and all(isinstance(v, int) for v in fields.values()))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (EpisodeSpec(), "balanced"),
        (EpisodeSpec(way=(2, 5), query=(1, 3)), "balanced"),
        (EpisodeSpec(dirichlet=2.0), "dirichlet(2)"),
        (EpisodeSpec(dirichlet=0.5), "dirichlet(0.5)"),
        (EpisodeSpec.meta_dataset(), "meta-dataset"),
    ],
)
def test_the_query_distribution_in_words(made, words):
    assert made.query_distribution() == words


def test_a_whole_concentration_is_the_same_spec(no_shape_hook):
    assert EpisodeSpec(dirichlet=2) == EpisodeSpec(dirichlet=2.0)
    assert EpisodeSpec(dirichlet=2).short() == EpisodeSpec(dirichlet=2.0).short()


def test_a_short_line_has_what_differs_from_the_defaults():
    assert EpisodeSpec(5, 1, 15).short() == "way=5 shot=1 query=15"
    assert EpisodeSpec(3, 1, 5, shots=(1, 2, 3)).short() == "way=3 query=5 shots=[1, 2, 3]"
    assert EpisodeSpec.meta_dataset(20).short() == "way=[5, 20] shot=[1, 100] query=10 rule=meta-dataset"
