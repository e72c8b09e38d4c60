"""Learning curves beside the records: nothing of the log is lost but detail."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewshot.recipes.curves import thinned

HEAD = "step,loss,learning_rate,validation_accuracy\n"


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def log(losses, validated=()):
    return HEAD + "".join(f"{k},{x!r},0.1,{0.5 + k / 1e6 if k in validated else ''}\n" for k, x in enumerate(losses, 1))


@given(
    st.lists(st.floats(0, 10), min_size=1, max_size=700), st.integers(1, 50), st.sets(st.integers(1, 700), max_size=9)
)
def test_a_line_is_the_mean_of_its_steps_and_every_validation_has_its_own(losses, lines, validated):
    rows = read(thinned(log(losses, validated), lines))
    kept = {int(row["step"]): float(row["validation_accuracy"]) for row in rows if row["validation_accuracy"]}
    assert kept == pytest.approx({k: 0.5 + k / 1e6 for k in validated if k <= len(losses)})
    ends = [int(row["step"]) for row in rows]
    assert len(rows) <= lines + len(kept) and ends[-1] == len(losses)
    for start, end, row in zip([0, *ends[:-1]], ends, rows, strict=True):
        assert float(row["loss"]) == pytest.approx(sum(losses[start:end]) / (end - start), rel=1e-5, abs=1e-9)


def test_a_short_log_stays_as_it_is_and_validations_are_kept():
    assert [float(r["loss"]) for r in read(thinned(log([3.0, 2.0, 1.0])))] == [3.0, 2.0, 1.0]
    rows = read(thinned(log([1.0] * 1000, validated=(500, 1000)), 10))
    assert [r["validation_accuracy"] for r in rows if r["validation_accuracy"]] == ["0.5005", "0.501"]
    assert {r["learning_rate"] for r in rows} == {"0.1"}
    assert thinned(HEAD) == HEAD
