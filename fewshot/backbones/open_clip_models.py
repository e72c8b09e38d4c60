"""CLIP models of open_clip: the tower of images as a backbone, the tower of texts beside it, in one space."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from fewshot.backbones.images import ImageNetwork, Preprocessing
from fewshot.backbones.pretraining import trained_on
from fewshot.backbones.texts import CHUNK, as_strings
from fewshot.backbones.weights import missing_weights, weights_hash
from fewshot.errors import DataError, FewShotError, MissingDataError
from fewshot.plumbing.names import need, unknown


class TextTower(nn.Module):
    """The texts' side of a CLIP model: an array of strings to features.

    Args:
        network: Turns tokens ``(n, length)`` into features ``(n, dim)``.
        tokenizer: Turns a list of texts into tokens.
        dim: Number of features.
        name: Names the architecture in the fingerprint.
        pretraining: Names the data that the weights were trained on, where that is known.
    """

    def __init__(
        self, network: nn.Module, tokenizer: Any, dim: int, name: str = "network", pretraining: str | None = None
    ) -> None:
        super().__init__()
        self.network, self.tokenizer, self.dim, self.name = network, tokenizer, dim, name
        self.pretraining = pretraining

    def preprocess(self, texts: np.ndarray | list[str]) -> Integer[Tensor, "n length"]:
        """Tokens of texts ``(n,)``, cut or filled up to the length that the network reads.

        Raises:
            ShapeError: If the items are no texts.
        """
        tokens: Tensor = self.tokenizer(as_strings(texts, "a CLIP model's text tower"))
        return tokens.to(next(self.network.parameters()).device)

    @property
    def most_tokens(self) -> int | None:
        """How many tokens of a text are read, those of start and end included."""
        return getattr(self.tokenizer, "context_length", None)

    def too_long(self, texts: np.ndarray | list[str]) -> int:
        """How many texts have more tokens than are read, so that their ends are cut off."""
        limit, encode = self.most_tokens, getattr(self.tokenizer, "encode", None)
        if limit is None or encode is None:
            return 0
        long = [text for text in as_strings(texts, "a CLIP model's text tower") if len(text.encode()) > limit - 2]
        return sum(len(encode(text)) > limit - 2 for text in long)

    def forward(self, tokens: Integer[Tensor, "n length"]) -> Float[Tensor, "n dim"]:
        """Features, whose length is not 1."""
        if not len(tokens):
            return torch.zeros(0, self.dim, device=tokens.device)
        return torch.cat([self.network(part) for part in torch.split(tokens, CHUNK)])

    def prompted(self, texts: list[str], context: Float[Tensor, "m width"]) -> Float[Tensor, "n dim"]:
        """Features of texts with vectors put in front, behind the start token, as if they were words.

        Args:
            texts: Short enough to leave room for the vectors.
            context: The vectors, of the length `width`.

        Raises:
            FewShotError: If a text is too long, or the network has no table of words.
        """
        table, tokens, m = self._table(), self.preprocess(texts), len(context)
        kept = tokens[:, : tokens.shape[1] - m]
        if bool((tokens[:, kept.shape[1] :] != 0).any()):
            raise FewShotError(f"texts must leave room for {m} context vectors, got one of more tokens; shorten it")
        words = table(kept)
        words = torch.cat([words[:, :1], context.to(words).expand(len(words), -1, -1), words[:, 1:]], 1)
        hook = table.register_forward_hook(lambda *_: words)
        try:  # tokens still tell where a text ends; the start token, for one, stands for each vector
            features: Tensor = self.network(torch.cat([kept[:, :1].expand(-1, m), kept], 1))
        finally:
            hook.remove()
        return features

    @property
    def width(self) -> int:
        """Length of the vector of a word."""
        return int(self._table().embedding_dim)

    def _table(self) -> nn.Embedding:
        table = getattr(self.network, "token_embedding", None)
        if not isinstance(table, nn.Embedding):
            raise FewShotError(f"context vectors need a tower with a table of words, got '{self.name}'; take another")
        return table

    def fingerprint(self) -> str:
        """Names architecture, weights and tokenizer, for the feature cache."""
        settings = type(self.tokenizer).__name__, getattr(self.tokenizer, "context_length", None)
        return f"{self.name}:{weights_hash(self.network)}:{settings}"


class CLIPNetwork(ImageNetwork):
    """The images' side of a CLIP model, with the texts' side beside it.

    Attributes:
        text: A `TextTower`.
        scale: What the model learned to multiply cosines with.
    """

    text: TextTower
    scale: float


def from_open_clip(model: str, weights: Path | str | None = None) -> CLIPNetwork:
    """A CLIP model of open_clip with its preprocessing.

    Args:
        model: Architecture and tag of the weights, ``"ViT-B-32/laion2b_s34b_b79k"``; the architecture alone with ``weights``.
        weights: A file of weights of the whole model, as open_clip reads it; else the hub cache, else a download.

    Raises:
        MissingExtraError: If open_clip is not installed.
        UnknownNameError: If open_clip has no such architecture, or no such weights of it.
        MissingDataError: If there are no weights on this machine, and none can be fetched.
        DataError: If the file's tensors are not those of the network.
        FewShotError: If its images are prepared in a way that is not known here, or it has no towers of its own.
    """
    open_clip = need("open_clip", "open-clip")
    architecture, _, tag = model.partition("/")
    if architecture not in open_clip.list_models():
        raise unknown("open_clip model", architecture, open_clip.list_models())
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag not in tags and (tag or weights is None):
        raise unknown(f"weights of open_clip's '{architecture}'", tag, tags)
    clip = _with_weights(open_clip, architecture, tag, weights)
    if hasattr(clip, "text_decoder"):
        raise FewShotError(
            f"'open-clip:{model}' must have one tower of images and one of texts, got CoCa; take another"
        )
    name, known = f"open-clip:{model}", trained_on(tag) if weights is None else None
    dim = int(open_clip.get_model_config(architecture)["embed_dim"])
    made = CLIPNetwork(clip.visual, _preprocessing(name, open_clip.get_model_preprocess_cfg(clip)), dim, name, known)
    made.text = TextTower(clip.text, open_clip.get_tokenizer(architecture), dim, f"{name}:text", known)
    made.scale = float(clip.logit_scale.detach().exp())
    return made


def _with_weights(open_clip: Any, architecture: str, tag: str, weights: Path | str | None) -> Any:
    """The whole model; the text tower is a module of its own, whatever the file has."""
    facts = open_clip.get_pretrained_cfg(architecture, tag) if tag else {}
    options = {
        "force_custom_text": True,
        "force_quick_gelu": bool(facts.get("quick_gelu")),
        "require_pretrained": True,
        "force_preprocess_cfg": {k: facts[k] for k in ("mean", "std", "interpolation", "resize_mode") if k in facts},
    }
    if weights is None:
        try:
            return open_clip.create_model(architecture, pretrained=tag, **options)
        except (OSError, RuntimeError) as error:
            raise missing_weights(f"open-clip:{architecture}/{tag}", "FILE") from error
    if not Path(weights).is_file():
        raise MissingDataError(f"'{weights}' must be a file of weights, got none; check the path")
    try:
        return open_clip.create_model(architecture, pretrained=str(weights), **options)
    except Exception as error:  # of several libraries, each with its own errors
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"'{weights}' must hold the weights of '{architecture}', got {reason}; check both") from error


def _preprocessing(name: str, seen: dict[str, Any]) -> Preprocessing:
    """As open_clip's evaluation: the shorter side, or both, become the size that the network reads."""
    size = seen["size"] if isinstance(seen["size"], (tuple, list)) else (seen["size"],) * 2
    height, width = (int(side) for side in size[-2:])
    resize = {"shortest": (height,) if height == width else None, "squash": (height, width)}.get(seen["resize_mode"])
    if resize is None or seen["interpolation"] not in ("bilinear", "bicubic"):
        raise FewShotError(
            f"'{name}' must resize by 'shortest' to a square or by 'squash', bilinear or bicubic, got "
            f"'{seen['resize_mode']}' and '{seen['interpolation']}'; wrap it as an ImageNetwork yourself"
        )
    return Preprocessing((height, width), resize, tuple(seen["mean"]), tuple(seen["std"]), seen["interpolation"])
