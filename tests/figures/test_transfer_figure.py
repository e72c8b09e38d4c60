"""The figure of transfer: a panel a task, a bar a learner, at the numbers of the records."""

import numpy as np
import pytest
from records import record

from fewshot.errors import RecordError
from fewshot.figures.transfer import transfer_figure


def records():
    return {
        (task, label): record(correct)
        for task in ("a>b", "b>a", "a>c", "c>a", "b>c")
        for label, correct in (("plain", (3, 4, 4, 5)), ("moved", (2, 3, 3, 4)))
    }


def test_every_learner_has_its_interval_in_every_panel():
    shown = records()
    figure = transfer_figure(shown, "plain")
    seen = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in seen] == ["a → b", "b → a", "a → c", "c → a", "b → c"]
    for k, axes in enumerate(seen):
        bars, points = axes.lines[0:4:2], axes.lines[1:4:2]
        for label, bar, point in zip(("plain", "moved"), bars, points, strict=True):
            own = shown["a>b", label].summary
            np.testing.assert_allclose(bar.get_xdata().astype(float), [100 * own.low, 100 * own.high])
            assert float(point.get_xdata()[0]) == pytest.approx(100 * own.accuracy)
        named = [text.get_text() for text in axes.get_yticklabels()]
        assert named == (["plain", "moved"] if k % 4 == 0 else [])
        assert points[0].get_marker() != points[1].get_marker()
        assert float(axes.lines[4].get_xdata()[0]) == pytest.approx(100 * shown["a>b", "plain"].accuracy)
    assert "95 % intervals" in figure.get_supxlabel()


def test_what_is_refused():
    shown = records()
    with pytest.raises(RecordError, match="the reference must be one of plain, moved, got 'other'"):
        transfer_figure(shown, "other")
    del shown["a>c", "plain"]
    with pytest.raises(RecordError, match="a record of every learner on every task"):
        transfer_figure(shown)
    with pytest.raises(RecordError, match="a record of every learner"):
        transfer_figure({})
