"""Names of classes as sentences: the side of a learner that reads descriptions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from fewshot.contract import prepare
from fewshot.errors import FewShotError


class Prompts(nn.Module):
    """Embeds texts within templates: of each text the mean of the embeddings of unit length, at unit length again.

    Radford et al. (2021), section 3.1.4, "prompt engineering and ensembling".

    Args:
        backbone: Embeds texts.
        templates: Sentences with ``{}`` where the text stands; ``("{}",)`` embeds it as it is.

    Raises:
        FewShotError: If there is no template, or one has no single ``{}``.
    """

    def __init__(self, backbone: Any, templates: Sequence[str] = ("{}",)) -> None:
        super().__init__()
        wrong = [template for template in templates if template.count("{}") != 1]
        if wrong or not templates:
            raise FewShotError(
                f"every template must have one {{}} for the name of the class, got {wrong[0] if wrong else 'no template'!r}"
            )
        self.backbone, self.templates = backbone, tuple(templates)

    def forward(self, texts: np.ndarray) -> Float[Tensor, "n dim"]:
        """Features of texts ``(n,)``, of length 1."""
        every = [
            self._embed(np.array([t.replace("{}", str(text)) for text in texts.tolist()], np.dtypes.StringDType()))
            for t in self.templates
        ]
        return normalize(torch.stack(every).mean(0), dim=-1)

    def _embed(self, texts: np.ndarray) -> Tensor:
        return normalize(self.backbone(prepare(self.backbone, texts)), dim=-1)
