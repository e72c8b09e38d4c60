"""sentence-transformers: against the library's own ``encode``, from a wheel, a folder and the hub cache."""

import shutil

import numpy as np
import pytest
import torch
from hub_cache import hub_cache  # noqa: F401  a fixture

from fewshot import load_backbone
from fewshot.backbones import texts
from fewshot.backbones.texts import CHUNK, WHEELS, SentenceNetwork
from fewshot.backbones.weights import in_wheel
from fewshot.contract import prepare
from fewshot.datasets.collection import Collection
from fewshot.errors import DataError, FewShotError, MissingDataError, MissingExtraError, ShapeError

NAME = "all-MiniLM-L6-v2"
PAIRS = [
    ("How do I reset my password?", "I forgot my login code, what now?"),
    ("The card was declined at the shop.", "My payment did not go through in the store."),
    ("A man is playing a guitar on stage.", "Someone performs music with a string instrument."),
    ("It will rain heavily tomorrow.", "The forecast says there are downpours on the way."),
    ("The dog chased the ball across the garden.", "A puppy ran after its toy on the lawn."),
    ("Shares fell sharply after the report.", "The stock market dropped when the figures came out."),
]


@pytest.fixture(scope="module")
def folder():
    found = in_wheel(*WHEELS[NAME])
    assert found is not None, "install the extra 'text'"
    return found


@pytest.fixture(scope="module")
def backbone():
    return load_backbone(f"sentence-transformers:{NAME}")


def array(items):
    return np.array(items, np.dtypes.StringDType())


def embed(backbone, items):
    with torch.no_grad():
        return backbone(prepare(backbone, array(items)))


def test_paraphrases_are_nearer_than_other_sentences(backbone):
    z = embed(backbone, [sentence for pair in PAIRS for sentence in pair])
    likeness = (z[0::2] @ z[1::2].T).numpy()
    others = likeness[~np.eye(len(PAIRS), dtype=bool)]
    assert (likeness.argmax(0) == np.arange(len(PAIRS))).all()
    assert (likeness.argmax(1) == np.arange(len(PAIRS))).all()
    assert np.diag(likeness).min() > others.max()
    assert np.diag(likeness).mean() > others.mean() + 0.3


def test_the_library_itself_says_the_same(backbone):
    rng = np.random.default_rng(0)
    words = ["the", "a", "dog", "cat", "bank", "card", "pays", "rain", "music", "green", "ü", "漢字", "runs", "slowly"]
    items = [" ".join(rng.choice(words, rng.integers(0, 40))) for _ in range(CHUNK + 9)]
    wanted = backbone.model.encode(items, convert_to_numpy=True, show_progress_bar=False)
    z = embed(backbone, items)
    assert z.shape == (CHUNK + 9, 384)
    np.testing.assert_allclose(z.numpy(), wanted, atol=1e-6)


def test_what_it_says_of_itself(backbone):
    assert (backbone.name, backbone.dim, backbone.training) == (f"sentence-transformers:{NAME}", 384, False)
    assert embed(backbone, []).shape == (0, 384)


def test_gradients_flow(backbone):
    backbone(["a sentence"])[0, 0].backward()
    gradients = [p.grad for p in backbone.parameters() if p.grad is not None]
    backbone.zero_grad()
    assert any(float(g.abs().sum()) > 0 for g in gradients)


def test_a_collection_of_texts(backbone, own_cache):
    data = Collection.from_arrays([sentence for pair in PAIRS for sentence in pair], np.arange(12) // 2)
    z = data.embed(backbone).items
    torch.testing.assert_close(z, embed(backbone, data.items.tolist()))
    assert len(list(own_cache.rglob("*.safetensors"))) == 1


class TestFingerprint:
    def test_it_is_the_same_before_and_after_use(self, backbone):
        before = backbone.fingerprint()
        embed(backbone, ["one", "a longer one " * 50])
        assert backbone.fingerprint() == before

    def test_length_prompt_tokenizer_and_weights_count(self, backbone):
        seen = [backbone.fingerprint()]
        model, was = backbone.model, backbone.model.max_seq_length
        model.max_seq_length = 32
        seen.append(backbone.fingerprint())
        model.max_seq_length, backbone.prompt = was, "query: "
        seen.append(backbone.fingerprint())
        backbone.prompt = ""
        normalizer = model.tokenizer.backend_tokenizer.normalizer
        normalizer.lowercase = False
        seen.append(backbone.fingerprint())
        normalizer.lowercase = True
        weight = next(model.parameters())
        with torch.no_grad():
            weight[0, 0] += 1
            seen.append(backbone.fingerprint())
            weight[0, 0] -= 1
        assert len(set(seen)) == 5


class TestPrompt:
    @pytest.fixture
    def prompted(self, backbone):
        model, was = backbone.model, (backbone.model.prompts, backbone.model.default_prompt_name)
        model.prompts, model.default_prompt_name = {"query": "query: "}, "query"
        yield model
        model.prompts, model.default_prompt_name = was

    def test_a_default_prompt_stands_before_every_text(self, prompted):
        network = SentenceNetwork(prompted)
        assert network.preprocess(array(["a", "b"])) == ["query: a", "query: b"]
        wanted = prompted.encode(["a dog", "b"], show_progress_bar=False)
        np.testing.assert_allclose(embed(network, ["a dog", "b"]).numpy(), wanted, atol=1e-6)

    def test_a_prompt_that_is_not_pooled_is_refused(self, prompted):
        prompted.set_pooling_include_prompt(False)
        try:
            with pytest.raises(FewShotError, match="must pool over its prompt too, got 'sentence-transformers'"):
                SentenceNetwork(prompted)
        finally:
            prompted.set_pooling_include_prompt(True)


class TestWhereTheModelIs:
    def test_a_folder_by_name_or_as_weights(self, backbone, folder, hub_cache):  # noqa: F811
        first = load_backbone(f"sentence-transformers:{folder}")
        second = load_backbone("sentence-transformers:anything", weights=folder)
        hashes = {b.fingerprint().split(":", 2)[-1].split(":")[-2] for b in (backbone, first, second)}
        assert len(hashes) == 1

    def test_the_hub_cache(self, backbone, folder, hub_cache):  # noqa: F811
        files = {str(f.relative_to(folder)): f for f in folder.rglob("*") if f.is_file()}
        hub_cache("sentence-transformers/my-copy", files)
        copy = load_backbone("sentence-transformers:my-copy")
        torch.testing.assert_close(embed(copy, ["a dog"]), embed(backbone, ["a dog"]))

    def test_nowhere(self, hub_cache, monkeypatch):  # noqa: F811
        message = "weights of 'sentence-transformers:no-such-model' must be on this machine .*pass weights=FOLDER"
        with pytest.raises(MissingDataError, match=message):
            load_backbone("sentence-transformers:no-such-model")
        monkeypatch.setattr(texts, "in_wheel", lambda package, file: None)
        with pytest.raises(MissingExtraError, match=r"not installed; run: pip install 'fewshot\[text\]'"):
            load_backbone(f"sentence-transformers:{NAME}")

    def test_a_folder_that_is_absent_empty_or_torn(self, tmp_path, folder):
        with pytest.raises(MissingDataError, match="must be a folder with a sentence-transformers model, got none"):
            load_backbone(f"sentence-transformers:{NAME}", weights=tmp_path / "absent")
        with pytest.raises(DataError, match=r"got no modules.json; save one with model.save"):
            load_backbone(f"sentence-transformers:{tmp_path}")
        torn = tmp_path / "torn"
        shutil.copytree(folder, torn, ignore=shutil.ignore_patterns("*.safetensors"))
        (torn / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:5000])
        with pytest.raises(DataError, match="torn' must hold a whole sentence-transformers model, got "):
            load_backbone(f"sentence-transformers:{torn}")


@pytest.mark.parametrize(
    ("items", "got"),
    [(np.zeros((2, 3), np.float32), r"float32 \(2, 3\)"), (array([["a"], ["b"]]), r"StringDType\(\) \(2, 1\)")],
)
def test_what_is_no_text(backbone, items, got):
    with pytest.raises(ShapeError, match=rf"takes an array of strings \(n,\), got {got}; name an image backbone"):
        backbone.preprocess(items)


def test_pixels_are_refused(backbone, no_shape_hook):
    with pytest.raises(ShapeError, match=r"takes an array of strings .*got Tensor"):
        backbone.preprocess(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
