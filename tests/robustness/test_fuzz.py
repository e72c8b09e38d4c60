"""Damaged files of every kind end in one sentence or an answer; and the fuzzer sees what does not."""

import time
import warnings
from random import Random

import pytest
from fuzzing import planted
from fuzzing.damage import INSIDE, damaged, inside
from fuzzing.kinds import KINDS, Kind
from fuzzing.run import BAD, fuzz
from fuzzing.trial import judged, place, whole
from fuzzing.workers import outcomes

from fewshot.errors import DataError

INPUTS = 5000


def test_no_damaged_file_brings_more_than_a_sentence():
    told = []
    record = fuzz(seed=1, inputs=INPUTS, seconds=1200, say=told.append)
    assert not told and not set(BAD) & set(record["outcomes"])
    assert record["inputs"] == INPUTS and set(record["kinds"]) == set(KINDS)
    assert record["outcomes"]["refused"] > INPUTS / 3 and record["outcomes"]["as whole"] > INPUTS / 50


def test_damage_is_that_of_its_seed():
    files = whole("npz of features") | whole("classifier") | whole("recipe") | whole("csv of texts")
    first, again = ([damaged(name, files[name], Random(k)) for name in files for k in range(40)] for _ in range(2))
    assert first == again and len(set(first)) > 0.9 * len(first)


@pytest.mark.parametrize("ending", sorted(INSIDE))
def test_every_format_is_damaged_inside(ending):
    """What is damaged inside its format differs from the whole, and is not only noise at its border."""
    name, content = next((n, c) for kind in KINDS for n, c in whole(kind).items() if n.endswith(ending))
    made = [inside(name, content, Random(k)) for k in range(20)]
    assert sum(one not in (None, content) for one in made) > 15, name


def outcome(read):
    kind = Kind("planted", lambda folder: None, read)
    with place({"a.txt": b"x"}) as folder:
        return judged(kind, folder, "")


def raises(error):
    def read(folder):
        raise error

    return read


def test_raw_exceptions_warnings_and_odd_sentences_are_seen():
    assert outcome(raises(KeyError("x"))).what == outcome(raises(RecursionError())).what == "raw"
    assert outcome(lambda folder: warnings.warn("of a library", UserWarning, stacklevel=1)).what == "raw"
    assert outcome(raises(DataError(""))).what == "raw"
    assert outcome(raises(DataError("'a.txt' must hold a word, got x; write one"))).what == "refused"
    assert outcome(raises(DataError("'a\nb\ud83d' must be a name"))).what == "refused"
    assert outcome(lambda folder: 1).what == "another answer"


@pytest.mark.parametrize(("attempt", "bad"), [(planted.dies, (2, "death")), (planted.hangs, (1, "hang"))])
def test_ends_of_the_process_and_hangs_are_counted_and_the_rest_goes_on(attempt, bad):
    found = [(n, o.what) for n, o in outcomes(0, 4, time.monotonic() + 600, attempt, seconds=5)]
    assert found == [(n, bad[1] if n == bad[0] else "refused") for n in range(4)]
