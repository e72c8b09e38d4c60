"""open_clip: a tiny model of random weights against the library's own encoders, preprocessing and zero-shot builder."""

import json
import logging
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from fewshot import load_backbone, load_learner
from fewshot.backbones.open_clip_models import TextTower
from fewshot.contract import SupportSet, prepare
from fewshot.embedded import Embedded
from fewshot.errors import DataError, FewShotError, MissingDataError, MissingExtraError, ShapeError, UnknownNameError
from fewshot.learners.described.coop import CoOp
from fewshot.learners.described.tip_adapter import TipAdapter

TINY = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 16, "head_width": 8, "patch_size": 16},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
NAMES = ["bank card", "weather", "recipe"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """``(the library's own model, a file of its weights)``; its text tower is not a module of its own."""
    import open_clip

    folder = tmp_path_factory.mktemp("clip")
    (folder / "tiny-clip.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(folder)
    logging.disable(logging.WARNING)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.create_model("tiny-clip").eval()
    logging.disable(logging.NOTSET)
    save_file({name: v.contiguous() for name, v in model.state_dict().items()}, folder / "clip.safetensors")
    return model, folder / "clip.safetensors"


@pytest.fixture
def clip(tiny):
    return load_backbone("open-clip:tiny-clip", weights=tiny[1])


def strings(texts):
    return np.array(texts, np.dtypes.StringDType())


def pixels(n=3, height=40, width=52):
    coarse = np.random.default_rng(0).integers(0, 256, (n, 5, 6, 3), dtype=np.uint8)
    smooth = [np.asarray(Image.fromarray(one).resize((width, height), 3)) for one in coarse]
    return torch.from_numpy(np.stack(smooth)).permute(0, 3, 1, 2).contiguous()


def test_both_towers_are_the_librarys(clip, tiny):
    import open_clip

    assert not clip.training and not clip.text.training and (clip.dim, clip.text.dim) == (12, 12)
    images = clip.preprocess(pixels())
    tokens = open_clip.get_tokenizer("tiny-clip")(NAMES)
    with torch.no_grad():
        assert_close(clip(images), tiny[0].encode_image(images))
        assert_close(clip.text(prepare(clip.text, strings(NAMES))), tiny[0].encode_text(tokens))
        assert clip.text(clip.text.preprocess([])).shape == (0, 12)
    assert clip.scale == pytest.approx(float(tiny[0].logit_scale.detach().exp()))


def test_images_are_prepared_as_the_library_does_it(clip):
    import open_clip

    theirs = open_clip.image_transform(32, is_train=False, interpolation="bicubic", resize_mode="shortest")
    x = pixels()
    wanted = torch.stack([theirs(Image.fromarray(one.permute(1, 2, 0).numpy())) for one in x])
    assert float((clip.preprocess(x) - wanted).abs().max()) < 0.06  # four of 255 steps, over the deviation


@pytest.mark.parametrize("template", ["{}", "a photo of a {}."])
def test_zero_shot_scores_are_those_of_the_librarys_builder(clip, tiny, template):
    import open_clip
    from open_clip.zero_shot_classifier import build_zero_shot_classifier

    weights = build_zero_shot_classifier(tiny[0], open_clip.get_tokenizer("tiny-clip"), NAMES, [template])
    with torch.no_grad():
        f = tiny[0].encode_image(clip.preprocess(pixels()), normalize=True)
        texts = strings([[template.format(name) for name in NAMES]])
        none = torch.zeros(1, 0, 3, 40, 52, dtype=torch.uint8), torch.zeros(1, 0, dtype=torch.long)
        learner = Embedded(clip, TipAdapter(), side=clip.text)
        scores = learner.adapt(SupportSet(*none, 3, texts))(pixels()[None])
    assert_close(scores[0], 100 * f @ weights, rtol=1e-4, atol=1e-4)


def test_examples_and_descriptions_meet(clip):
    x = pixels(4)
    support = SupportSet(x[None, :3], torch.tensor([[0, 1, 1]]), 3, strings([NAMES]))
    with torch.no_grad():
        for name in ("tip-adapter", "tip-adapter-f", "lp-plus-plus", "descriptor-mix"):
            scores = Embedded(clip, load_learner(name), side=clip.text).adapt(support)(x[None, 3:])
            assert scores.shape == (1, 1, 3) and scores.isfinite().all()


def test_vectors_of_words_as_context_are_those_words(clip):
    """The oracle is the tower itself on the whole sentence; names of several lengths end at several places."""
    import open_clip

    names = [*NAMES, "a rather long way home"]
    ids = open_clip.get_tokenizer("tiny-clip")(["a photo of a"])[0, 1:5]
    with torch.no_grad():
        plain = clip.text(clip.text.preprocess(names))
        ours = clip.text.prompted(names, clip.text.network.token_embedding.weight[ids])
        assert_close(ours, clip.text(clip.text.preprocess([f"a photo of a {name}" for name in names])))
        assert float((ours - plain).abs().max()) > 0.01
        assert_close(clip.text.prompted(names, torch.zeros(0, clip.text.width)), plain)
        assert_close(clip.text(clip.text.preprocess(names)), plain)


def test_coop_learns_a_context_for_the_text_tower(clip):
    x, y = pixels(3), torch.tensor([[0, 1, 1]])
    support = SupportSet(x[None], y, 3, strings([NAMES]), seed=torch.tensor([1]))
    with torch.no_grad():
        losses = [
            float(cross_entropy(Embedded(clip, CoOp(clip.text, steps=n, lr=0.1)).adapt(support)(x[None])[0], y[0]))
            for n in (0, 20)
        ]
    assert losses[1] < losses[0]
    assert all(p.grad is None for p in clip.parameters())


def test_a_context_that_does_not_fit_is_refused(clip):
    with pytest.raises(FewShotError, match="texts must leave room for 20 context vectors, got one of more tokens"):
        clip.text.prompted(["a rather long way home"], torch.zeros(20, clip.text.width))
    with pytest.raises(FewShotError, match="need a tower with a table of words, got 'other'; take another"):
        TextTower(torch.nn.Linear(2, 2), None, 2, "other").prompted([], torch.zeros(1, 2))


def test_fingerprints_name_weights_and_tower(clip, tiny):
    again = load_backbone("open-clip:tiny-clip", weights=tiny[1])
    assert (clip.fingerprint(), clip.text.fingerprint()) == (again.fingerprint(), again.text.fingerprint())
    with torch.no_grad():
        next(again.text.parameters()).add_(1)
    assert clip.text.fingerprint() != again.text.fingerprint()


def test_what_is_missing_is_named(tiny, clip, tmp_path, monkeypatch, no_shape_hook):
    with pytest.raises(
        UnknownNameError, match="the open_clip model must be a known name, got 'ViT-B-33'; did you mean 'ViT"
    ):
        load_backbone("open-clip:ViT-B-33/openai")
    with pytest.raises(
        UnknownNameError, match=r"weights of open_clip's 'ViT-B-32' must be a known name, got ''; known: .*openai"
    ):
        load_backbone("open-clip:ViT-B-32")
    with pytest.raises(
        MissingDataError, match=r"none.safetensors' must be a file of weights, got none; check the path"
    ):
        load_backbone("open-clip:tiny-clip", weights=tmp_path / "none.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match=r"must hold the weights of 'tiny-clip', got Error\(s\) in loading state_dict"):
        load_backbone("open-clip:tiny-clip", weights=tmp_path / "other.safetensors")
    with pytest.raises(ShapeError, match=r"a CLIP model's text tower takes an array of strings \(n,\), got Tensor"):
        clip.text.preprocess(torch.zeros(2))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(MissingExtraError, match=r"run: pip install 'fewshot\[open-clip\]'"):
        load_backbone("open-clip:ViT-B-32/openai")


def test_without_a_connection_missing_weights_are_named(tmp_path, monkeypatch):
    import open_clip

    def offline(*_, **__):
        raise RuntimeError("Failed to download weights")

    monkeypatch.setattr(open_clip, "create_model", offline)
    with pytest.raises(MissingDataError, match="the weights of 'open-clip:ViT-B-32/laion2b_s34b_b79k' must be on this"):
        load_backbone("open-clip:ViT-B-32/laion2b_s34b_b79k")
