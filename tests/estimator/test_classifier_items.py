"""What ``FewShotClassifier`` takes for images, texts and rows, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fewshot import load_backbone
from fewshot.backbones.weights import weights_hash
from fewshot.datasets.formats.pixels import square
from fewshot.errors import DataError, FewShotError, FewShotWarning, MissingDataError, MissingExtraError, ShapeError
from fewshot.estimator.classifier import FewShotClassifier
from fewshot.estimator.items import kind_of, read, side_of

RNG = np.random.default_rng(0)


def pictures(count=4, height=9, width=12):
    return [Image.fromarray(RNG.integers(0, 256, (height + k, width, 3), dtype=np.uint8)) for k in range(count)]


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{k}.png" for k in range(4)]
    for path, picture in zip(paths, pictures(), strict=True):
        picture.save(path)
    return paths


def strings(items):
    return np.array(items, np.dtypes.StringDType())


@pytest.mark.parametrize(
    ("x", "kind"),
    [
        (["a text", "another"], "texts"),
        (strings(["a", "b"]), "texts"),
        (np.array(["a", "b"]), "texts"),
        (np.array(["a", "b"], object), "texts"),
        (["a.png", "b.JPG"], "images"),
        ([Path("a"), Path("b.png")], "images"),
        (["look at a.png", "see b.png", "nothing"], "texts"),
        (pictures(2), "images"),
        ([np.zeros((3, 3), np.uint8), Path("a")], "images"),
        (np.zeros((2, 8, 8)), "images"),
        (torch.zeros(2, 3, 8, 8), "images"),
        ([[1.0, 2], [3, 4]], "rows"),
        ([np.zeros(3), np.ones(3)], "rows"),
        (np.zeros((2, 3)), "rows"),
        (np.zeros(3), "rows"),
        ([], "rows"),
    ],
)
def test_kinds(x, kind):
    assert kind_of(x) == kind


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (["a text", Path("a.png")], r"texts such as 'a text' and images such as .*a.png.* in row 1"),
        (["a text", None], "rows such as None in row 1"),
        ([[1, 2], "a text"], "rows such as list and texts such as 'a text' in row 1"),
        (["a text", pictures(1)[0]], "images such as Image in row 1"),
    ],
)
def test_mixed_kinds_are_refused(x, message):
    with pytest.raises(DataError, match=message):
        FewShotClassifier().fit(x, ["a", "b"])


def test_a_file_between_texts_is_refused(files):
    with pytest.raises(DataError, match="give files as Path objects"):
        kind_of(["a text", str(files[0])])


def test_paths_pictures_and_arrays_are_the_same_images(files):
    wanted = np.stack([square(Image.open(path), 84, "x") for path in files])
    arrays = [np.asarray(Image.open(path)) for path in files]
    for x in (
        files,
        [str(path) for path in files],
        [Image.open(path) for path in files],
        arrays,
        [files[0], *arrays[1:]],
    ):
        np.testing.assert_array_equal(read(x, "images", None).numpy(), wanted)
    np.testing.assert_array_equal(read([a.transpose(2, 0, 1) for a in arrays], "images", None).numpy(), wanted)


def test_arrays_of_images_come_channels_first():
    x = RNG.integers(0, 256, (5, 3, 6, 7), dtype=np.uint8)
    for given in (x, torch.from_numpy(x), np.moveaxis(x, 1, -1)):
        np.testing.assert_array_equal(read(given, "images", None).numpy(), x)
    assert read(x[:, 0], "images", None).shape == (5, 1, 6, 7)


def test_the_backbone_says_how_large_single_images_become():
    assert side_of(load_backbone("pixels")) == side_of(None) == 84
    assert side_of(load_backbone("efficientnet-lite0")) == 256


def test_the_default_for_images_is_in_a_wheel(monkeypatch):
    from fewshot.backbones import timm_models

    backbone = load_backbone("efficientnet-lite0")
    assert weights_hash(backbone.network) == weights_hash(load_backbone("timm:tf_efficientnet_lite0").network)

    def absent(module, extra):
        raise MissingExtraError(f"run: pip install 'fewshot[{extra}]'")

    monkeypatch.setattr(timm_models, "need", absent)
    with pytest.raises(MissingExtraError, match=r"fewshot\[images\]"):
        load_backbone("efficientnet-lite0")


def test_features_are_those_of_the_backbone(files):
    backbone = load_backbone("conv4", in_channels=3, size=84)
    x = torch.from_numpy(np.stack([square(Image.open(path), 84, "x") for path in files]))
    with torch.no_grad():
        wanted = backbone(x.float() / 255)
    torch.testing.assert_close(read(files, "images", backbone), wanted)


def test_texts_are_embedded_by_default():
    texts = ["lost my card", "card stolen", "show balance", "how much money"]
    classifier = FewShotClassifier().fit(strings(texts), [0, 0, 1, 1])
    backbone = load_backbone("sentence-transformers:all-MiniLM-L6-v2")
    with torch.no_grad():
        torch.testing.assert_close(classifier.model_.items, backbone(backbone.preprocess(texts)))
    assert classifier.predict(["where is my card", "my savings"]).tolist() == [0, 1]


def test_learners_on_images_get_them_as_they_are(files):
    x = np.kron(RNG.random((6, 1, 5, 5)) > 0.5, np.ones((1, 1, 2, 2))).astype(np.float32)
    y = ["a", "b", "c"] * 2
    classifier = FewShotClassifier("none", "modified-hausdorff").fit(x, y)
    assert classifier.predict(x).tolist() == y


def test_a_backbone_on_rows():
    x = RNG.normal(size=(6, 4)).astype(np.float32)
    module = torch.nn.Linear(4, 2)
    classifier = FewShotClassifier(module).fit(x, [0, 1] * 3)
    with torch.no_grad():
        torch.testing.assert_close(classifier.model_.items, module(torch.from_numpy(x)))


def test_unreadable_missing_and_huge_images_are_refused(files, tmp_path, monkeypatch):
    y = list("aabb")
    torn = tmp_path / "torn.png"
    torn.write_bytes(files[0].read_bytes()[:60])
    with pytest.raises(DataError, match=r"torn.png' must be a whole image file"):
        FewShotClassifier("pixels").fit([*files[:3], torn], y)
    with pytest.raises(MissingDataError, match=r"none.png' must be an image file, got none"):
        FewShotClassifier("pixels").fit([*files[:3], "none.png"], y)
    with Image.open(torn) as image, pytest.raises(DataError, match="image 3 must be whole"):
        FewShotClassifier("pixels").fit([*files[:3], image], y)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    with pytest.raises(DataError, match="decompression bomb"):
        FewShotClassifier("pixels").fit(files, y)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (["a", " \n"], r"every text needs a word, got ' \\n' in row 1"),
        ([np.zeros((4, 4)), np.zeros((4, 4))], "image 0 must have uint8 pixels in 0..255, got float64"),
        ([np.zeros((4, 4, 5), np.uint8)] * 2, r"\(height, width, 3\), got \(4, 4, 5\)"),
        (np.zeros((2, 1, 1, 4, 4)), r"\(n, channels, height, width\), got \(2, 1, 1, 4, 4\)"),
        (np.full((2, 1, 4, 4), np.nan), "features must be finite"),
        (np.zeros((0, 1, 4, 4)), "at least one item, got none"),
    ],
)
def test_bad_items_are_refused(x, message):
    with pytest.raises(DataError, match=message):
        FewShotClassifier("pixels" if not isinstance(x[0:1], list) or not isinstance(x[0], str) else None).fit(
            x, [0, 1]
        )


def test_another_kind_than_that_of_fit_is_refused(files):
    texts = FewShotClassifier().fit(["lost card", "my balance"], [0, 1])
    with pytest.raises(DataError, match="every text must be a string"):
        texts.predict(files)
    assert texts.predict(["balance.png"]).tolist() == [1]  # a text, because fit saw texts
    images = FewShotClassifier("pixels").fit(files, list("aabb"))
    with pytest.raises(MissingDataError, match="'a text' must be an image file"):
        images.predict(["a text"])
    with pytest.raises(DataError, match=r"an array \(n, channels, height, width\), got \(2, 3\)"):
        images.predict(np.zeros((2, 3)))
    with pytest.raises(ShapeError, match="items must have the shape of those of fit"):
        images.predict(np.zeros((2, 3, 5, 5), np.uint8))


def photo(tone, seed=0, side=24):
    noise = np.random.default_rng(seed).normal(0, 10, (side, side, 3))
    return Image.fromarray(np.clip(np.array(tone) + noise, 0, 255).astype(np.uint8))


TONES = {"apple": (200, 30, 30), "frog": (30, 180, 40)}


def by_tone(items=None):
    made = [photo(tone, k) for tone in TONES.values() for k in range(3)] if items is None else items
    return FewShotClassifier("pixels", "nearest-mean").fit(made, np.repeat(list(TONES), 3))


def by_word(texts):
    return torch.tensor(
        [[float(word in text) for word in ("card", "balance")] + [len(text) / 100] for text in texts.tolist()]
    )


TEXTS = ["I lost my card", "my card was stolen", "show my balance", "what balance is left"]


def test_one_item_gets_one_answer(tmp_path):
    photo(TONES["frog"], 9).save(tmp_path / "one.png")
    model = by_tone()
    for one in (photo(TONES["frog"], 9), tmp_path / "one.png", str(tmp_path / "one.png")):
        assert model.predict(one).tolist() == ["frog"] and model.predict_proba(one).shape == (1, 2)
    assert FewShotClassifier(by_word).fit(TEXTS, list("aabb")).predict("what is my balance").tolist() == ["b"]
    with pytest.raises(DataError, match="1 items and 4 labels"):
        FewShotClassifier(by_word).fit(TEXTS[0], list("aabb"))


@pytest.mark.parametrize("ending", [".jfif", ".JPE", ".avif", "", ".photo"])
def test_strings_that_name_files_are_paths_whatever_their_ending(tmp_path, ending):
    paths = []
    for name, tone in TONES.items():
        for k in range(3):
            paths.append(str(tmp_path / f"{name}{k}{ending}"))
            photo(tone, k).save(paths[-1], format="AVIF" if ending == ".avif" else "JPEG")
    assert kind_of(paths) == "images"
    model = by_tone(paths)
    assert model.predict([paths[0], paths[5]]).tolist() == ["apple", "frog"]
    with pytest.raises(MissingDataError, match=rf"none{ending}' must be an image file, got none"):
        model.predict([str(tmp_path / f"none{ending}")])


def test_a_folder_and_a_long_text_are_no_image_files(tmp_path):
    model = by_tone()
    with pytest.raises(MissingDataError, match=r"must be an image file, got a folder; give its files"):
        model.predict(str(tmp_path))
    with pytest.raises(MissingDataError, match=r"'a long text a long text .*' must be an image file, got none"):
        model.predict(["a long text " * 500])
    with pytest.raises(MissingDataError, match="must be an image file, got none"):
        model.predict(["a\0text"])


def test_texts_beside_a_file_of_that_name_stay_texts(tmp_path, monkeypatch):
    (tmp_path / "card").write_text("")
    monkeypatch.chdir(tmp_path)
    assert kind_of(["card", "balance"]) == "texts"


def test_containers_of_texts():
    wanted = FewShotClassifier(by_word).fit(TEXTS, list("aabb"))
    for make in (iter, tuple, lambda x: dict(enumerate(x)).values(), lambda x: np.array(x, object)[:, None]):
        model = FewShotClassifier(by_word).fit(make(TEXTS), list("aabb"))
        assert model.predict(make(TEXTS)).tolist() == list("aabb")
        torch.testing.assert_close(model.model_.items, wanted.model_.items)
    with pytest.raises(DataError, match="must have an order, got a set"):
        wanted.predict(set(TEXTS))
    with pytest.raises(DataError, match=r"items must be texts, got ndarray of shape \(2, 3\)"):
        wanted.predict(np.zeros((2, 3)))


def test_column_of_hugging_face():
    from datasets import Dataset

    data = Dataset.from_dict({"text": TEXTS, "label": list("aabb")})
    assert FewShotClassifier(by_word).fit(data["text"], data["label"]).predict(data["text"]).tolist() == list("aabb")


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[1.0, 2.0], [1.0], [3.0, 4.0], [2.0]], r"rows must have one length, got \(1,\) after \(2,\) in row 1"),
        ([[1.0, 2.0], [1.0, "a"], [3.0, 4.0], [2.0, 1.0]], "a row must be numbers, got list in row 1"),
        ([{"a": 1}] * 4, "a row must be numbers, got dict in row 0"),
        ([None] * 4, r"got None in row 0|NaN|1D array"),
        ([b"a"] * 4, "a row must be numbers, got b'a' in row 0"),
        (["half \ud83d", "b", "c", "d"], "must be whole, got half a character in .* in row 0"),
        (np.zeros((4, 3, 8, 8), np.int64), "uint8 in 0..255, or floats as the backbone takes them, got int64"),
        (torch.zeros(4, 3, 8, 8, dtype=torch.int16), "got torch.int16"),
    ],
)
def test_rows_and_images_that_are_none(x, message):
    with pytest.raises(DataError, match=message):
        FewShotClassifier(None if isinstance(x, list) else "pixels").fit(x, list("aabb"))


def test_another_kind_than_rows():
    model = FewShotClassifier().fit(np.eye(4), list("aabb"))
    with pytest.raises(DataError, match="a row must be numbers, got 'a text' in row 0"):
        model.predict(["a text"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"backbone": "conv4-omniglot"},
            r"'conv4-omniglot' must take items of shape \(3, 84, 84\), got an error: .* 1 channels",
        ),
        (
            {"backbone": "none", "learner": "nearest-mean"},
            r"'NearestMean' must take items of shape \(3, 84, 84\), got an error",
        ),
        (
            {"backbone": lambda x: x.mean((1, 2, 3))},
            r"must give a row of features an item, got shape \(6,\) for 6 items",
        ),
        ({"backbone": lambda x: (x, x)}, "must give one tensor of features, got a tuple"),
        ({"backbone": lambda x: x[:1]}, r"must give a row of features an item, got shape \(1, 3, 84, 84\) for 6 items"),
    ],
)
def test_networks_that_do_not_fit(options, message):
    with pytest.raises(FewShotError, match=message):
        FewShotClassifier(**options).fit([photo(tone, k) for tone in TONES.values() for k in range(3)], list("aaabbb"))


def test_long_texts_are_counted():
    model = FewShotClassifier().fit(TEXTS, list("aabb"))
    long = "Dear team, thank you for your help so far. " * 60
    with pytest.warns(
        FewShotWarning,
        match=r"2 of 3 texts have more than the 256 tokens that '.*MiniLM.*' reads: their ends are cut off",
    ):
        model.predict([long + TEXTS[0], TEXTS[1], long + TEXTS[2]])


def test_tokens_are_counted_as_the_model_counts_them():
    backbone = load_backbone("sentence-transformers:all-MiniLM-L6-v2")
    words = ["card " * 254, "card " * 255, "émoji😀" * 40, "short", "i" * 400]
    tokens = [len(backbone.model.tokenizer(text, truncation=False)["input_ids"]) for text in words]
    assert backbone.most_tokens == 256 and backbone.too_long(words) == sum(n > 256 for n in tokens) == 1


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ma.array(np.eye(4), mask=np.eye(4) > 0), "must all be there, got an array with masked values"),
        ([[10**400, 1.0]] * 4, "a row must be numbers, got list in row 0"),
        ([Image.new("RGB", (0, 5))] * 4, "an image must have pixels, got 0 x 5 in 'image 0'"),
    ],
)
def test_what_is_not_there_is_refused(x, message):
    with pytest.raises(DataError, match=message):
        FewShotClassifier("pixels").fit(x, list("aabb"))


def test_images_of_truth_values_are_zeros_and_ones():
    x = RNG.random((4, 5, 5)) > 0.5
    np.testing.assert_array_equal(read(x, "images", None).numpy(), x[:, None].astype(np.float32))


def test_texts_for_a_backbone_of_images():
    with pytest.raises(DataError, match="the backbone 'pixels' must take texts, got an error"):
        FewShotClassifier("pixels").fit(TEXTS, list("aabb"))
