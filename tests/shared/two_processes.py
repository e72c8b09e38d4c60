"""Run by test_processes: train on shared episodes, in as many processes as the launcher started."""

import sys
from pathlib import Path

import torch
from accelerate import PartialState
from safetensors.torch import save_file
from torch import nn

from fewshot.backbones.conv4 import Conv4
from fewshot.datasets.collection import Collection
from fewshot.embedded import Embedded
from fewshot.episodes import EpisodeSpec
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.training.episodic import EpisodicTraining, train
from fewshot.training.supervised import ClassHead, SupervisedTraining, pretrain
from fewshot.training.terms.cross_entropy import CrossEntropy
from fewshot.training.terms.dann import DANN


def adapt(base: Collection) -> dict[str, torch.Tensor]:
    """Weights of a network that a term with weights of its own draws to a pool."""
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(256, 4), nn.Sigmoid())  # no batch norm, which sees its own half
    network = ClassHead(backbone, 6, dim=4).double()
    network.backbone.preprocess = torch.Tensor.double
    term = DANN(4, hidden=(8,)).double()
    pool = Collection(base.items[::-1].copy() * 0.5, base.labels, base.class_names)
    settings = SupervisedTraining(steps=3, batch_size=8, learning_rate=1e-2, clip=1.0)
    pretrain(network, base, settings, terms=[CrossEntropy(), term], pool=pool)
    return dict(network.named_parameters()) | dict(term.named_parameters())


def main(out: Path) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    y = torch.arange(6).repeat_interleave(6)
    x = (torch.rand(6, 1, 16, 16)[y] + 0.2 * torch.rand(36, 1, 16, 16)).numpy()
    learner = Embedded(Conv4(width=4).double(), NearestMean())  # float64: Adam blows round-off of tiny gradients up
    learner.backbone.preprocess = torch.Tensor.double
    settings = EpisodicTraining(EpisodeSpec(3, 1, 2), steps=3, tasks=4, learning_rate=1e-2)
    base = Collection.from_arrays(x, y.numpy())
    state = train(learner, base, settings)
    adapted = adapt(base)
    if PartialState().is_main_process:
        tensors = dict(learner.named_parameters()) | {"losses": torch.tensor(state.losses)}
        tensors |= {f"adapted.{name}": value for name, value in adapted.items()}
        tensors["processes"] = torch.tensor(PartialState().num_processes)
        save_file({name: value.detach().contiguous() for name, value in tensors.items()}, out)
    if torch.distributed.is_initialized():  # threads of a group that is left open can end a process that is done
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
