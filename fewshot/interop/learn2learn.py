"""Learners from learn2learn's algorithms.

Paper: Arnold, Mahajan, Datta, Bunner and Zarkias, "learn2learn: A Library for Meta-Learning Research", arXiv:2008.12284.
Code: github.com/learnables/learn2learn, version 0.2.0, ``algorithms/maml.py``, ``meta_sgd.py`` and ``gbml.py``. Inner
    steps are taken by the algorithm itself, on a clone. Intended difference: batch norm is a policy of the learner and
    touches no running average; there it follows the mode of the module, and clones share the averages they write.
"""

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from fewshot.contract import Classifier, SupportSet, per_episode, prepare
from fewshot.errors import EpisodeError, FewShotError, MissingExtraError
from fewshot.functional import require_every_class
from fewshot.learners.gradient.batch_norm import check_policy, support_statistics
from fewshot.learners.gradient.inner_loop import answer
from fewshot.plumbing.number_checks import whole_number

KNOWN = ("MAML", "MetaSGD", "GBML")


class FromLearn2Learn(nn.Module):
    """Log-probabilities of an algorithm's module after its inner steps; made by `from_learn2learn`."""

    def __init__(
        self,
        algorithm: nn.Module,
        steps: int,
        loss: Callable[[Tensor, Tensor], Tensor],
        batch_norm: str,
        transductive: bool | None,
    ) -> None:
        super().__init__()
        self.algorithm, self.steps, self.inner_loss, self.batch_norm = algorithm, steps, loss, batch_norm
        layers = any(isinstance(module, _BatchNorm) for module in algorithm.modules())
        self.transductive = batch_norm == "query-batch" and layers if transductive is None else transductive

    @per_episode
    def adapt(self, support: SupportSet) -> Classifier:
        """Clone, and take the inner steps; the graph is kept only where gradients are enabled.

        Raises:
            EpisodeError: If a class has no example, the module does not give a logit a class, or a step diverges.
            FewShotError: If the algorithm cannot take a step.
        """
        require_every_class(support.y, support.n_way)
        x, keep = self._prepared(support.x), torch.is_grad_enabled()
        with torch.enable_grad():
            task: Any = self.algorithm.clone()  # type: ignore[operator]
            with support_statistics(task, self.batch_norm):
                for _ in range(self.steps):
                    self._step(task, self.inner_loss(_checked(task(x), support.n_way), support.y), keep)
        if not all(bool(torch.isfinite(p).all()) for p in task.module.parameters()):
            raise EpisodeError("parameters must stay finite in an inner step, got nan or inf; lower the algorithm's lr")

        def classify(query: Any) -> Tensor:
            logits = answer(task, {}, x, self._prepared(query), self.batch_norm)
            return _checked(logits, support.n_way).log_softmax(-1)

        return classify

    def _prepared(self, items: Any) -> Any:
        return prepare(self.algorithm.module, items)

    def _step(self, task: Any, loss: Tensor, keep: bool) -> None:
        try:  # where nothing is differentiated later, the first order is the same step and holds no graph
            task.adapt(loss, **({} if keep else {"first_order": True}))
        except (RuntimeError, UnboundLocalError) as error:  # learn2learn prints the cause and goes on
            raise FewShotError(
                f"every parameter must require a gradient and be used by the loss, got {type(error).__name__} in "
                f"{type(task).__name__}.adapt; make the algorithm with allow_nograd=True or allow_unused=True"
            ) from error


def from_learn2learn(
    algorithm: Any,
    steps: int = 1,
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    batch_norm: str = "query-batch",
    transductive: bool | None = None,
) -> FromLearn2Learn:
    """A learner from learn2learn's ``MAML``, ``MetaSGD`` or ``GBML``; it shares the algorithm's parameters.

    Args:
        algorithm: Around a module that gives logits ``(n, n_way)`` of items ``(n, *item)``. uint8 pixels are divided
            by 255 unless the module has a ``preprocess``.
        steps: Inner steps on the support.
        loss: Of logits and labels, lower is better; the mean cross-entropy in learn2learn's examples.
        batch_norm: See `fewshot.learners.gradient.inner_loop.answer`. ``"query-batch"`` is what learn2learn's examples do, which never
            leave the training mode, and is transductive where the module has batch norm.
        transductive: Say so where the module looks at other queries in a way of its own; left out, batch norm decides.

    Raises:
        MissingExtraError: If learn2learn is not installed; says how to install it.
        FewShotError: If this is none of the three algorithms, or an option is out of range.
    """
    theirs: Any = tuple(getattr(require_learn2learn().algorithms, name) for name in KNOWN)
    if not isinstance(algorithm, theirs):
        raise FewShotError(
            f"algorithm must be learn2learn's {', '.join(KNOWN)} around a module, got {type(algorithm).__name__}"
        )
    steps = whole_number("steps", steps, 0)
    check_policy(batch_norm)
    return FromLearn2Learn(algorithm, steps, loss, batch_norm, transductive)


def require_learn2learn() -> Any:
    """The package learn2learn.

    Raises:
        MissingExtraError: If it, or something that it imports, is absent.
    """
    try:
        return importlib.import_module("learn2learn")
    except ImportError as error:
        raise MissingExtraError(
            f"learn2learn must be installed for this, got '{error}'; scripts/install_learn2learn of the repository "
            "builds it (pip alone cannot on Python 3.11 and later), with what the extra 'learn2learn' lists"
        ) from error


def _checked(logits: Tensor, n_way: int) -> Tensor:
    if logits.shape[-1] != n_way:
        raise EpisodeError(
            f"the module must give one logit a class, got {logits.shape[-1]} for an episode of {n_way} ways; "
            f"evaluate with way={logits.shape[-1]}"
        )
    return logits
