"""A contact sheet holds every image in its order, with its caption; what it looks like is for eyes."""

import numpy as np
import pytest

from fewshot.errors import ShapeError
from fewshot.figures import contact_sheet as sheet
from fewshot.figures.contact_sheet import contact_sheet
from fewshot.figures.pictures import RIGHT, WRONG, short, short_names

IMAGES = np.stack([np.full((3, 5, 5), 40 * k, np.uint8) for k in range(5)])


def captions(figure):
    return [text.get_text().replace("\n", " ") for text in figure.axes[0].texts]


def test_images_stand_by_label_the_surest_first_the_rejected_last():
    figure = contact_sheet(IMAGES, list("baabb"), [0.5, 0.7, 0.9, 0.999, 0.3], [False, False, False, False, True])
    assert captions(figure) == ["a 90 %", "a 70 %", "b > 99 %", "b 50 %", "? b 30 %"]
    shown = [image.get_array()[0, 0, 0] for image in figure.axes[0].images]
    np.testing.assert_allclose(shown, np.array([80, 40, 120, 0, 160]) / 255)
    frames = [patch.get_edgecolor() for patch in figure.axes[0].patches]
    from matplotlib.colors import to_rgba

    assert frames == [to_rgba(RIGHT)] * 4 + [to_rgba(WRONG)]


def test_nothing_overlaps():
    figure = contact_sheet(np.repeat(IMAGES, 4, 0), ["x"] * 20, [0.5] * 20)
    corners = {patch.get_xy() for patch in figure.axes[0].patches}
    assert len(corners) == 20 and {x for x, _ in corners} == set(range(sheet.ACROSS))


def test_the_least_sure_are_shown_where_there_are_too_many(monkeypatch):
    monkeypatch.setattr(sheet, "MOST", 2)
    figure = contact_sheet(IMAGES, list("abcde"), [0.5, 0.7, 0.9, 0.4, 0.8])
    assert captions(figure) == ["a 50 %", "d 40 %"]
    assert figure.axes[0].get_title(loc="left") == "the 2 least sure of 5 images"


def test_grey_images_and_long_names():
    figure = contact_sheet(IMAGES[:, :1] / 255, ["a very long name of a class $x$"] + ["b"] * 4, [0.5] * 5)
    assert max(map(len, captions(figure))) < 26 and figure.axes[0].images[0].get_array().ndim == 2


@pytest.mark.parametrize(
    ("images", "labels"),
    [(np.zeros((0, 3, 4, 4)), []), (np.zeros((2, 4)), ["a", "b"]), (np.zeros((2, 3, 4, 4)), ["a"])],
)
def test_what_is_no_picture_is_refused(images, labels):
    with pytest.raises(ShapeError, match="a contact sheet needs images"):
        contact_sheet(images, labels, [0.5] * len(labels))


def test_long_names_stay_different():
    names = [
        "card_payment_fee_charged", "card_payment_wrong_fee_charged", "balance_not_updated_after_transfer",
        "balance_not_updated_after_deposit", "a" * 30, "a" * 31, "abcdefghij_left_klmnopqrstuv", "abcdefghij_rght_klmnopqrstuv", "short",
    ]  # fmt: skip
    shortened = short_names(names + names, 16)
    assert list(shortened) == names and len(set(shortened.values())) == len(names)
    assert max(map(len, shortened.values())) <= 16 and shortened["short"] == "short"
    assert shortened["card_payment_fee_charged"] != short("card_payment_fee_charged", 16) == short(names[1], 16)
    figure = contact_sheet(IMAGES[:2], names[:2], [0.5, 0.5])
    assert len(set(captions(figure))) == 2


def test_names_without_a_difference_in_reach_are_numbered():
    names = [f"{'x' * 20}{k}{'y' * 40}{'z' * k}" for k in range(3)]
    assert len(set(short_names(names, 12).values())) == 3
