"""The inner step: closed forms and finite differences. Batch norm policies: written out in NumPy."""

import gc

import numpy as np
import pytest
import torch
from make import episode
from tiny import along, conv, differences, images, mlp, network
from torch import nn
from torch.testing import assert_close

from fewshot.contract import prepare
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.gradient.batch_norm import (
    POLICIES,
    Statistics,
    batch_statistics,
    check_policy,
    is_transductive,
    norm_parameters,
    recorded_statistics,
    running_statistics,
)
from fewshot.learners.gradient.headed import Headed
from fewshot.learners.gradient.inner_loop import answer, descend, run, support_loss

CLOSE = {"rtol": 1e-9, "atol": 1e-10}


def quadratics(seed=0, n=4):
    """``(t, a, b, A, B)`` of ½(t-a)'A(t-a), the inner loss, and ½(t-b)'B(t-b), the outer."""
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(2, n, n))
    return (*torch.from_numpy(rng.normal(size=(3, n))), *torch.from_numpy(roots @ roots.swapaxes(1, 2) + np.eye(n)))


def bowl(t, centre, shape):
    return 0.5 * (t - centre) @ shape @ (t - centre)


def meta_gradient(steps, second_order, step=descend, rate=0.1):
    t, a, b, A, B = quadratics()
    t.requires_grad_()
    moved = {"t": t}
    for _ in range(steps):
        moved = step(lambda p: bowl(p["t"], a, A), moved, rate, second_order=second_order)
    return torch.autograd.grad(bowl(moved["t"], b, B), t)[0]


def closed_form(steps, second_order, rate=0.1):
    t, a, b, A, B = quadratics()
    pull = torch.linalg.matrix_power(torch.eye(4).double() - rate * A, steps)
    outer = B @ (a + pull @ (t - a) - b)
    return pull.mT @ outer if second_order else outer


@pytest.mark.parametrize("second_order", [True, False])
@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_the_meta_gradient_of_two_quadratics_has_a_closed_form(steps, second_order):
    assert_close(meta_gradient(steps, second_order), closed_form(steps, second_order), **CLOSE)


def ascending(loss_of, parameters, rate, **order):
    return descend(loss_of, parameters, -rate, **order)


def by_half(loss_of, parameters, rate, **order):
    return descend(loss_of, parameters, rate / 2, **order)


def from_the_same_point(loss_of, parameters, rate, *, second_order):
    """A step whose result forgets where it started: the identity is lost."""
    moved = descend(loss_of, parameters, rate, second_order=second_order)
    return {n: p - parameters[n] + parameters[n].detach() for n, p in moved.items()}


WRONG = {
    "uphill": (ascending, True),
    "half a step": (by_half, True),
    "first order": (descend, False),
    "start forgotten": (from_the_same_point, True),
}


@pytest.mark.slip
@pytest.mark.parametrize(("step", "second_order"), WRONG.values(), ids=WRONG)
def test_wrong_steps_are_caught(step, second_order):
    with pytest.raises(AssertionError):
        assert_close(meta_gradient(2, second_order, step), closed_form(2, True), **CLOSE)


def test_rates_of_their_own_multiply_each_element_and_are_learned():
    t, a, b, A, B = quadratics()
    rate = torch.tensor([0.1, 0.0, -0.2, 0.3], dtype=torch.float64, requires_grad=True)
    moved = descend(lambda p: bowl(p["t"], a, A), {"t": t}, {"t": rate}, second_order=True)["t"]
    slope = A @ (t - a)
    assert_close(moved.detach(), t - rate.detach() * slope, **CLOSE)
    (found,) = torch.autograd.grad(bowl(moved, b, B), rate)
    assert_close(found, -slope * (B @ (moved.detach() - b)), **CLOSE)


def test_a_parameter_made_of_another_moves_as_if_it_were_free():
    """w = 2t in the loss t² w: slopes at t = 1 are 2tw = 4 and t² = 1; the total derivative for t would be 6."""
    t = torch.tensor(1.0, requires_grad=True)
    moved = descend(lambda p: p["t"] ** 2 * p["w"], {"t": t, "w": 2 * t}, 0.1, second_order=False)
    assert_close([moved["t"].item(), moved["w"].item()], [1 - 0.4, 2 - 0.1])
    (through,) = torch.autograd.grad(moved["w"], t)
    assert_close(through, torch.tensor(2.0))


@pytest.mark.parametrize("norm", [False, True])
def test_the_meta_gradient_of_a_network_is_that_of_finite_differences(norm):
    module = Headed(mlp(3, 4, norm), 3).double()
    support, query, labels = episode((3, 1, 2), 3)

    def loss():
        parameters = dict(module.named_parameters())
        for _ in range(2):
            parameters = descend(support_loss(module, support, "support"), parameters, 0.7, second_order=True)
        return nn.functional.cross_entropy(answer(module, parameters, support.x, query, "support"), labels)

    exact = torch.autograd.grad(loss(), list(module.parameters()))
    found, directions = differences(loss, list(module.parameters()))
    assert_close(along(exact, directions), found, rtol=1e-5, atol=1e-8)


def test_unused_parameters_stay_as_they_are():
    t, unused = torch.ones(2, requires_grad=True), torch.ones(3, requires_grad=True)
    moved = descend(lambda p: p["t"].sum(), {"t": t, "unused": unused}, 0.5, second_order=True)
    assert_close([moved["t"], moved["unused"]], [torch.full((2,), 0.5), torch.ones(3)])


def test_frozen_parameters_move_too():
    t = torch.ones(2)
    moved = descend(lambda p: p["t"].sum(), {"t": t}, 0.5, second_order=True)
    assert_close([moved["t"].detach(), t], [torch.full((2,), 0.5), torch.ones(2)])


def graphs():
    gc.collect()
    return sum(issubclass(type(o), torch.Tensor) and o.grad_fn is not None for o in gc.get_objects())


def test_under_no_grad_it_steps_alike_and_keeps_no_graph():
    module = Headed(mlp(3, 4, norm=True), 3).double()
    support, _, _ = episode((3, 1, 2), 3)

    def moved():
        parameters = dict(module.named_parameters())
        for _ in range(3):
            parameters = descend(support_loss(module, support, "support"), parameters, 0.7, second_order=True)
        return parameters

    before = graphs()
    with torch.no_grad():
        free = moved()
        assert not torch.is_grad_enabled()
    assert graphs() == before
    assert not any(p.requires_grad for p in free.values())
    assert_close(free, {n: p.detach() for n, p in moved().items()})
    assert all(p.grad is None for p in module.parameters())


def test_a_step_that_diverges_names_parameter_and_rate():
    t = torch.ones(2, requires_grad=True)
    with pytest.raises(EpisodeError, match=r"stay finite in an inner step, got nan or inf in 't' at rate 3; lower"):
        descend(lambda p: (p["t"] * 1e38).sum() ** 2, {"t": t}, 3.0, second_order=False)
    rates = {"t": torch.tensor([0.5, -4.0])}
    with pytest.raises(EpisodeError, match="in 't' at rate 4"):
        descend(lambda p: p["t"].sum() * torch.nan, {"t": t}, rates, second_order=True)


def test_a_step_of_nothing_is_refused():
    with pytest.raises(FewShotError, match="needs parameters to move, got none"):
        descend(lambda p: torch.zeros(()), {}, 0.1, second_order=True)


def normalised(x, own, moments=None):
    """Batch norm of ``(n, channels, ...)`` in NumPy, by its own mean and biased variance unless others are given."""
    axes = (0, *range(2, x.ndim))
    mean, variance = (x.mean(axes), x.var(axes)) if moments is None else moments
    shape = (1, -1, *[1] * (x.ndim - 2))
    weight, bias, mean, variance = (v.reshape(shape) for v in (own["weight"], own["bias"], mean, variance))
    return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias, (mean, variance)


def mixer(seed=0):
    """1 × 1 convolutions, so that NumPy needs one einsum, with batch norm after each."""
    layers = [lambda: nn.Conv2d(2, 3, 1), lambda: nn.BatchNorm2d(3), nn.Tanh,
              lambda: nn.Conv2d(3, 4, 1), lambda: nn.BatchNorm2d(4), nn.Flatten]  # fmt: skip
    return Headed(network(*layers, dim=16, seed=seed), 3).double()


def by_hand(module, x, moments=(None, None)):
    """Logits of the mixer, and the moments by which it normalised."""
    state = {name: value.numpy() for name, value in module.state_dict().items()}
    part = lambda k: {key: state[f"backbone.{k}.{key}"] for key in ("weight", "bias")}  # noqa: E731
    for k, own in ((0, 0), (3, 1)):
        x = np.einsum("oi,nihw->nohw", part(k)["weight"][:, :, 0, 0], x) + part(k)["bias"][None, :, None, None]
        x, seen = normalised(x, part(k + 1), moments[own])
        moments = (*moments[:own], seen, *moments[own + 1 :])
        x = np.tanh(x) if k == 0 else x
    return x.reshape(len(x), -1) @ state["head.weight"].T + state["head.bias"], moments


def policy_by_hand(module, support, query, policy):
    if policy == "query-batch":
        return by_hand(module, query)[0]
    if policy == "each-query":
        return np.stack([by_hand(module, np.concatenate([support, q[None]]))[0][-1] for q in query])
    if policy == "support":
        return by_hand(module, query, by_hand(module, support)[1])[0]
    state = {name: value.numpy() for name, value in module.state_dict().items()}
    kept = tuple(tuple(state[f"backbone.{k}.running_{m}"] for m in ("mean", "var")) for k in (1, 4))
    return by_hand(module, query, kept)[0]


def pixels(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(6, 2, 2, 2)), 1 + 2 * rng.normal(size=(5, 2, 2, 2))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("policy", POLICIES)
def test_policies_normalise_as_written_out(policy, training):
    module, (support, query) = mixer().train(training), pixels()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    x, q = torch.from_numpy(support), torch.from_numpy(query)
    with torch.no_grad():
        found = answer(module, {}, x, q, policy)
    assert_close(found, torch.from_numpy(policy_by_hand(module, support, query, policy)), **CLOSE)
    assert_close(dict(module.state_dict()), before, rtol=0, atol=0)


@pytest.mark.parametrize("policy", POLICIES)
def test_no_policy_passes_for_another(policy):
    module, (support, query) = mixer(), pixels()
    found = answer(module, {}, torch.from_numpy(support), torch.from_numpy(query), policy).detach()
    for other in set(POLICIES) - {policy}:
        with pytest.raises(AssertionError):
            assert_close(found, torch.from_numpy(policy_by_hand(module, support, query, other)), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("policy", ["support", "each-query", "running"])
def test_queries_do_not_see_each_other(policy):
    module, (support, query) = mixer(), map(torch.from_numpy, pixels())
    assert not is_transductive(module, policy)
    alone = torch.cat([answer(module, {}, support, q[None], policy) for q in query])
    assert_close(answer(module, {}, support, query, policy), alone, **CLOSE)


def test_only_batch_norm_makes_a_query_batch_transductive():
    assert is_transductive(mixer(), "query-batch")
    assert not is_transductive(Headed(mlp(), 3), "query-batch")


def test_a_layer_that_is_called_twice_has_two_statistics():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(3, affine=False).double()

        def forward(self, x):
            return self.norm(self.norm(x) ** 2 + x)

    module, rng = Twice(), np.random.default_rng(0)
    x, q = rng.normal(size=(6, 3)), rng.normal(size=(4, 3))
    plain = {"weight": np.ones(3), "bias": np.zeros(3)}
    once, first = normalised(x, plain)
    _, second = normalised(once**2 + x, plain)
    wanted = normalised(normalised(q, plain, first)[0] ** 2 + q, plain, second)[0]
    for _ in range(2):
        assert_close(answer(module, {}, torch.from_numpy(x), torch.from_numpy(q), "support"), torch.from_numpy(wanted))


def test_layers_are_themselves_again_afterwards():
    module = mixer().train()
    _, query = map(torch.from_numpy, pixels())
    plain = module.eval()(query)
    record = Statistics()
    with batch_statistics(module, record):
        inside = module(query)
        with running_statistics(module):
            assert_close(module(query), plain)
        assert_close(module(query), inside)
    with pytest.raises(ZeroDivisionError), recorded_statistics(module, record):
        1 / 0  # noqa: B018
    assert not any("forward" in vars(layer) for layer in module.modules())
    assert_close(module(query), plain)


def test_other_parameters_take_the_place_of_the_modules_own():
    module = Headed(mlp(), 3).double()
    x = episode(dim=8)[1]
    given = {"head.bias": module.head.bias.detach() + 1}
    assert_close(run(module, given, x), module(x) + 1)


def test_scales_and_shifts_are_found_by_name():
    names = {"backbone.1.weight", "backbone.1.bias", "backbone.5.weight", "backbone.5.bias"}
    assert set(norm_parameters(Headed(conv(), 3))) == names
    assert set(norm_parameters(nn.BatchNorm1d(3))) == {"weight", "bias"}


def test_pixels_are_prepared_as_the_backbone_says():
    module = Headed(conv(), 3).double()
    whole = torch.arange(64, dtype=torch.uint8).reshape(1, 1, 8, 8).repeat(2, 1, 1, 1)
    with running_statistics(module):
        assert_close(module.float()(prepare(module.backbone, whole)), module(whole.float() / 255))


def test_heads_come_from_their_seed_alone():
    state = torch.get_rng_state()
    a, b, other = (Headed(mlp(), 3, seed=seed).head.weight for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(a, b)
    assert not torch.equal(a, other)


def test_errors_say_what_must_hold(no_shape_hook):
    with pytest.raises(FewShotError, match="a head must know the number of features, got a Linear; pass dim"):
        Headed(nn.Linear(3, 2), 5)
    with pytest.raises(FewShotError, match="way must be a whole number of at least 1, got 0"):
        Headed(mlp(), 0)
    with pytest.raises(FewShotError, match="backbone must be a module, got 'conv4'; make one with load_backbone"):
        Headed("conv4", 5)
    with pytest.raises(FewShotError, match="batch_norm must be one of query-batch, support, each-query, running, got"):
        check_policy("batch")
    module = Headed(mlp(3, 4, norm=True), 3).double()
    one = torch.ones(1, 3).double()
    with pytest.raises(EpisodeError, match=r"need two values of each channel, got a batch \(1, 4\); give more items"):
        answer(module, {}, one, one, "query-batch")
    without = nn.BatchNorm1d(3, track_running_stats=False)
    with pytest.raises(FewShotError, match="needs running averages, got a layer that keeps none"):
        answer(without, {}, torch.ones(2, 3), torch.ones(2, 3), "running")


def test_images_of_the_maker_have_the_size_of_the_network():
    support, query, _ = images(episode(dim=64))
    assert conv()(query).shape == (5, 16)
    assert support.x.shape == (6, 1, 8, 8)
