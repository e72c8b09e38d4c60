"""Figures hold the right artists; what they look like is for eyes."""

import numpy as np
import pytest
from records import record

from fewshot.errors import DataError, RecordError, ShapeError
from fewshot.figures.accuracy import COLOURS, accuracy_over_shots, confusion_picture, save_figure
from fewshot.figures.pictures import RIGHT, WRONG, episode_picture, short


def curves():
    """Two methods at three numbers of shots, not in order."""
    good = [record((3, 4, 4, 5), shot=5), record((2, 3, 3, 4), shot=1), record((5, 5, 5, 6), shot=20)]
    return {"first": good, "second": [record((1, 2, 2, 3), shot=1), record((2, 2, 3, 4), shot=5)]}


def test_a_figure_of_no_known_ending_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"ends in \.png, \.svg, \.pdf, got '.*a\.xyz'; rename it"):
        save_figure(confusion_picture(np.eye(2, dtype=int), ["a", "b"]), tmp_path / "a.xyz")


def test_each_method_is_a_line_with_the_intervals_of_its_records():
    figure = accuracy_over_shots(curves())
    (axes,) = figure.axes
    containers = [c for c in axes.containers if c.has_yerr]
    assert [c.get_label() for c in containers] == ["first", "second"]
    line, _, (bars,) = containers[0].lines
    expected = sorted(curves()["first"], key=lambda r: r.episodes.shot)
    np.testing.assert_allclose(line.get_ydata().astype(float), [100 * r.accuracy for r in expected])
    ends = [(segment[0][1], segment[1][1]) for segment in bars.get_segments()]
    np.testing.assert_allclose(ends, [(100 * r.summary.low, 100 * r.summary.high) for r in expected])
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1", "5", "20"]
    np.testing.assert_allclose(line.get_xdata().astype(float), [1, 5, 20], rtol=0.05)


def test_methods_differ_in_more_than_colour():
    (axes,) = accuracy_over_shots({f"m{k}": [record()] for k in range(3)}).axes
    lines = [c.lines[0] for c in axes.containers if c.has_yerr]
    assert len({line.get_marker() for line in lines}) == len({line.get_linestyle() for line in lines}) == 3
    assert len({line.get_color() for line in lines} & set(COLOURS)) == 3


def test_the_figure_says_what_its_bars_are():
    assert "95% intervals for these episodes' images" in accuracy_over_shots(curves())._supxlabel.get_text()


def test_zero_shots_have_a_place():
    (axes,) = accuracy_over_shots({"m": [record(shot=0), record(shot=1)]}).axes
    assert axes.get_xscale() == "symlog" and axes.get_xticks().tolist() == [0, 1]


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({}, "at least one record, got none"),
        ({"a": [record(way=3), record(way=2)]}, "must share one way"),
        ({"a": [record(shot=1), record(shot=1, data=record().data.model_copy(update={"hash": "1"}))]}, "one data set"),
    ],
)
def test_what_cannot_be_compared_is_refused(methods, message):
    with pytest.raises(RecordError, match=message):
        accuracy_over_shots(methods)


def picture(predicted, channels=1, names=("ape", "bee"), dtype=np.uint8):
    rng = np.random.default_rng(0)
    support, query = (rng.integers(0, 256, (n, channels, 4, 4)).astype(dtype) for n in (3, 4))
    if dtype != np.uint8:
        support, query = support / 255, query / 255
    return episode_picture(support, np.array([1, 0, 1]), query, np.array([0, 1, 1, 1]), np.array(predicted), names)


def images(figure):
    return [axes for axes in figure.axes if axes.images]


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (3, np.uint8), (3, np.float64)])
def test_an_episode_shows_every_item_once_and_marks_what_is_wrong(channels, dtype):
    figure = picture([0, 1, 0, 1], channels, dtype=dtype)
    assert len(images(figure)) == 7
    assert texts(figure).count("✓") == 3 and texts(figure).count("✗ ape") == 1
    assert {"ape", "bee", "support", "queries: 3 of 4 right"} <= set(texts(figure))


def test_a_wrong_answer_has_another_frame_in_width_and_colour():
    from matplotlib.colors import to_hex

    figure = picture([0, 1, 0, 1])
    frames = {}
    for axes in images(figure):
        for text in axes.texts:
            frames[text.get_text()[0]] = axes.spines["left"]
    assert to_hex(frames["✗"].get_edgecolor()).upper() == WRONG and to_hex(frames["✓"].get_edgecolor()).upper() == RIGHT
    assert frames["✗"].get_linewidth() > frames["✓"].get_linewidth()


def test_images_stand_in_the_row_of_their_class():
    figure = picture([0, 1, 0, 1])
    rows = [axes.get_subplotspec().rowspan.start for axes in images(figure)]
    assert sorted(rows) == [0, 0, 1, 1, 1, 1, 1]  # one support and one query of the first class


def test_an_episode_without_support_can_be_shown():
    query = np.zeros((2, 1, 4, 4), np.uint8)
    none = np.zeros((0, 1, 4, 4), np.uint8)
    figure = episode_picture(none, np.zeros(0, int), query, np.array([0, 1]), np.array([0, 0]), ["a", "b"])
    assert len(images(figure)) == 2 and "support" not in texts(figure)


def test_items_that_are_no_images_are_refused():
    with pytest.raises(ShapeError, match=r"1 or 3, height, width.*got \(2, 8\)"):
        episode_picture(np.zeros((2, 8)), np.arange(2), np.zeros((2, 8)), np.arange(2), np.arange(2), ["a", "b"])


def test_confusion_is_shown_in_shares_of_the_true_class():
    figure = confusion_picture(np.array([[3, 1], [0, 0]]), ["cat", "dog$"])
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[75, 25], [0, 0]])
    assert [text.get_text() for text in axes.texts] == ["75", "25", "0", "0"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["cat", "dog\\$"]


def test_large_confusion_has_no_numbers_and_a_wrong_shape_is_refused():
    assert not confusion_picture(np.eye(20, dtype=int), [str(k) for k in range(20)]).axes[0].texts
    with pytest.raises(ShapeError, match=r"counts must be \(3, 3\)"):
        confusion_picture(np.eye(2, dtype=int), ["a", "b", "c"])


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_figures_are_written_whole(tmp_path, ending):
    path = save_figure(confusion_picture(np.array([[3, 1], [1, 2]]), ["c$t", "dog"]), tmp_path / f"new/figure.{ending}")
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending]
    assert path.read_bytes().startswith(start) and [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_figure_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="must be writable"):
        save_figure(confusion_picture(np.eye(2, dtype=int), ["a", "b"]), tmp_path / "file" / "figure.png")


def test_long_names_lose_their_middle():
    assert short("Alphabet_of_the_Magi/character07", 22) == "Alphabet_of…haracter07" and len(short("x" * 99)) == 22
    assert short("cat") == "cat"
