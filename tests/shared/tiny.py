"""Tiny networks for learners that take gradient steps, and derivatives of them by central differences."""

import torch
from torch import nn


def network(*layers, dim, seed=0):
    """Layers in a row, in float64, that say how many features they give; batch norm has random scales and shifts."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = nn.Sequential(*[layer() for layer in layers]).double()
        for layer in made:
            if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.affine:
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.normal_(layer.bias)
                if layer.running_mean is not None:
                    layer.running_mean.normal_()
                    layer.running_var.uniform_(0.5, 2)
    made.dim = dim
    return made


def mlp(features=8, hidden=5, norm=False, seed=0):
    """A smooth network of one layer, with batch norm on request."""
    norms = [lambda: nn.BatchNorm1d(hidden)] if norm else []
    return network(lambda: nn.Linear(features, hidden), *norms, nn.Tanh, dim=hidden, seed=seed)


def conv(channels=4, seed=0, relu=nn.ReLU):
    """Two blocks of convolution, batch norm, nonlinearity and pooling; 8 × 8 images give ``4 * channels`` features."""

    def block(before):
        return [lambda: nn.Conv2d(before, channels, 3, padding=1), lambda: nn.BatchNorm2d(channels), relu,
                lambda: nn.AvgPool2d(2)]  # fmt: skip

    return network(*block(1), *block(channels), nn.Flatten, dim=4 * channels, seed=seed)


def images(case, side=8):
    """The same episode with its items as images of one channel."""
    support, query, labels = case
    return (
        support.map(lambda x: x.reshape(*x.shape[:-1], 1, side, side)),
        query.reshape(*query.shape[:-1], 1, side, side),
        labels,
    )


def differences(loss, parameters, step=1e-5, seed=0):
    """Central differences of a loss for every parameter tensor, each along a random direction, and the directions."""
    generator, found, directions = torch.Generator().manual_seed(seed), [], []
    with torch.no_grad():
        for p in parameters:
            direction, was = torch.randn(p.shape, generator=generator, dtype=p.dtype), p.clone()
            p.copy_(was + step * direction)
            above = float(loss())
            p.copy_(was - step * direction)
            found.append((above - float(loss())) / (2 * step))
            directions.append(direction)
            p.copy_(was)
    return torch.tensor(found, dtype=torch.float64), directions


def along(gradients, directions):
    """What `differences` should have found."""
    return torch.stack([(g * d).sum() for g, d in zip(gradients, directions, strict=True)])
