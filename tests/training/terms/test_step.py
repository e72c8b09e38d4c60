"""Terms of a user's own: functions, modules with weights and schedules, pools without labels."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import terms_to_kill
import torch
from test_supervised import network, settings
from test_training import made, same, stop_at, weights
from torch import nn

from fewshot.datasets.collection import Collection
from fewshot.errors import CheckpointError, DataError, FewShotError
from fewshot.training.supervised import POOL, item_rows, pretrain
from fewshot.training.terms.cross_entropy import CrossEntropy
from fewshot.training.terms.index import make_term, named_term
from fewshot.training.terms.rotation import Rotation
from fewshot.training.terms.step import Step, described, total, weight_of


def small_features(step):
    return step.features.square().mean()


def weighing(weight):
    def term(step):
        return step.logits.sum()

    term.weight = weight
    return term


def test_a_term_of_ones_own_is_one_function():
    norms = {}
    for name, terms in {"plain": None, "small": [CrossEntropy(), small_features]}.items():
        net = network()
        pretrain(net, made(), settings(steps=30, learning_rate=0.01), terms=terms)
        with torch.no_grad():
            norms[name] = net.eval().embed(torch.from_numpy(np.array(made().items))).square().mean().item()
    assert norms["small"] < norms["plain"] / 2


def test_the_loss_is_the_weighted_sum_with_the_progress_of_the_step():
    seen = []

    def watch(step):
        seen.append(
            (step.progress, step.items.shape, step.labels.shape, step.pool, torch.rand(1, generator=step.generator))
        )
        return step.logits.sum() * 0

    watch.weight = lambda progress: progress
    pretrain(network(), made(), settings(), terms=[CrossEntropy(), watch])
    assert [s[0] for s in seen] == [k / 6 for k in range(6)]
    assert seen[0][1:4] == ((12, 1, 16, 16), (12,), None)
    assert len({float(s[4]) for s in seen}) == 6

    step = Step(None, torch.zeros(2, dtype=torch.int64), torch.ones(2, 3), torch.ones(2, 4), 0.25, torch.Generator())
    one, three = (lambda s: s.features.sum()), (lambda s: s.logits.sum())
    three.weight = lambda progress: 2 * progress
    assert total([one, three], step).item() == 6 + 0.5 * 8


def test_a_step_tells_items_from_the_pool():
    step = Step(None, torch.tensor([3, 1]), torch.ones(2, 3), torch.ones(2, 4), 0.0, torch.Generator())
    assert step.domain.tolist() == [0, 0]
    assert replace(step, pool_features=torch.ones(3, 3)).domain.tolist() == [0, 0, 1, 1, 1]


def test_the_pool_comes_from_a_list_of_its_own_and_its_labels_are_never_read(tmp_path):
    pool, seen = made(seed=1), []

    def watch(step):
        seen.append(step.pool)
        return (step.features.mean(0) - step.pool_features.mean(0)).square().sum()

    def run(pool, **more):
        net = network()
        pretrain(net, made(), settings(), terms=[CrossEntropy(), watch], pool=pool, **more)
        return weights(net)

    plain = run(pool)
    rows = [np.random.default_rng((3, POOL, e)).permutation(len(pool)) for e in range(2)]
    wanted = np.array(pool.items)[np.concatenate(rows)[:72]]
    assert np.array_equal(torch.cat(seen).numpy(), wanted)
    assert not np.array_equal(item_rows(settings(), 56, 0), item_rows(settings(), 56, 0, POOL))

    path, other = tmp_path / "run.safetensors", replace(pool, labels=pool.labels[::-1].copy())
    with pytest.raises(KeyboardInterrupt):
        run(pool, checkpoint=path, report=stop_at(3))
    same(plain, run(other, checkpoint=path))


@pytest.mark.parametrize("step", [3, 5])
def test_weights_of_a_term_survive_kill_and_resume(tmp_path, step):
    whole = terms_to_kill.run(None)
    path = tmp_path / "run.safetensors"
    script = Path(terms_to_kill.__file__)
    killed = subprocess.run([sys.executable, str(script), str(path), str(step)], capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    resumed = terms_to_kill.run(path, seed=7)
    same(whole, resumed)
    start = terms_to_kill.made_term(0).state_dict()
    assert not torch.equal(whole["term.scale"], start["scale"]), "the term is not trained"


@pytest.mark.parametrize("slip", ["not clipped", "not averaged"])
def test_weights_of_a_term_are_clipped_and_averaged(slip):
    """Each option moves what the term ends with."""
    wanted = terms_to_kill.run(None)["term.scale"]
    other = {"clip": None} if slip == "not clipped" else {"average": 0.0}
    assert not torch.equal(wanted, terms_to_kill.run(None, **other)["term.scale"])


def test_a_network_is_as_it_was_afterwards():
    net = network()
    names = list(net.state_dict())
    pretrain(net, made(), settings(), terms=[CrossEntropy(), terms_to_kill.made_term(0).double()])
    assert list(net.state_dict()) == names
    with pytest.raises(KeyboardInterrupt):
        pretrain(
            net, made(), settings(), terms=[CrossEntropy(), terms_to_kill.made_term(0).double()], report=stop_at(2)
        )
    assert list(net.state_dict()) == names


def test_a_checkpoint_of_other_terms_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    pretrain(network(), made(), settings(), terms=[CrossEntropy(), small_features], checkpoint=path)
    for terms in (None, [CrossEntropy(0.5), small_features], [CrossEntropy()]):
        with pytest.raises(CheckpointError, match="must belong to this run, got terms"):
            pretrain(network(), made(), settings(), terms=terms, checkpoint=path)
    pretrain(network(), made(), settings(), terms=[CrossEntropy(), small_features], checkpoint=path)


def test_a_checkpoint_from_before_there_were_terms_goes_on(tmp_path, monkeypatch):
    from fewshot.training import loop

    path, whole = tmp_path / "run.safetensors", network()
    pretrain(whole, made(), settings())
    now = loop.identity

    def then(*args):
        known = now(*args)
        return known | {"settings": known["settings"] | {"rotation": 0.0, "distil": 0.0, "temperature": 4.0}}

    monkeypatch.setattr(loop, "identity", then)
    with pytest.raises(KeyboardInterrupt):
        pretrain(network(), made(), settings(), checkpoint=path, report=stop_at(3))
    monkeypatch.setattr(loop, "identity", now)
    resumed = network(seed=9)
    pretrain(resumed, made(), settings(), checkpoint=path)
    same(weights(whole), weights(resumed))


def test_terms_are_described_alike_in_every_process():
    first, again = ([CrossEntropy(), small_features, lambda step: 0, Rotation(2, 0.5)] for _ in range(2))
    assert described(first) == described(again)
    assert "weight=0.5" in described(first)[-1] and " at 0x" not in "".join(described(first))


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ([], r"terms must be a list of functions of a step, got \[\]; write \[CrossEntropy\(\), ...\]"),
        ("rotation", "terms must be a list of functions of a step, got 'rotation'"),
        ([CrossEntropy(), 3], "terms must be a list of functions of a step"),
        ([Rotation(2), Rotation(2)], "one term may prepare the batch, got 2: Rotation, Rotation"),
        ([lambda step: step.features], r"a term must be one number, a tensor without axes, got a tensor of shape \(12, "),
        ([lambda step: 3.0], "a term must be one number, a tensor without axes, got float from "),
        ([weighing("much")], "the weight of a term must be a finite number or a function of the progress, got 'much'"),
        ([CrossEntropy(float("nan"))], "must be a finite number or a function of the progress, got nan in CrossEntropy"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("no_shape_hook")
def test_what_is_no_term_is_refused(terms, message):
    with pytest.raises(FewShotError, match=message):
        pretrain(network(), made(), settings(), terms=terms)


@pytest.mark.usefixtures("no_shape_hook")
def test_a_pool_that_does_not_fit_is_refused():
    flat = Collection.from_arrays(np.zeros((5, 4), np.float32), np.arange(5))
    with pytest.raises(DataError, match=r"must be those of the base classes, uint8 \(1, 16, 16\), got float32 \(4,\)"):
        pretrain(network(), made(), settings(), pool=flat)
    with pytest.raises(DataError, match="must be a Collection"):
        pretrain(network(), made(), settings(), pool=flat.items)


def test_augmentation_changes_the_pool_too_and_terms_draw_other_numbers():
    seen, drawn = [], []

    def darker(items, generator):
        drawn.append(torch.rand(1, generator=generator).item())
        return items // 2

    def watch(step):
        seen.append((int(step.items.max()), int(step.pool.max()), torch.rand(1, generator=step.generator).item()))
        return step.logits.sum() * 0

    pretrain(network(), made(), settings(), terms=[CrossEntropy(), watch], pool=made(seed=1), augment=darker)
    assert {pair[:2] for pair in seen} == {(127, 127)}
    assert len(set(drawn)) == 12 and not set(drawn) & {own for *_, own in seen}


def test_terms_by_name():
    assert make_term("cross-entropy", 3, 2) == CrossEntropy()
    assert make_term({"cross-entropy": 0.5}, 3, 2) == CrossEntropy(0.5)
    turns = make_term({"rotation": {"weight": 0.25}}, 3, 2)
    assert isinstance(turns, nn.Module) and turns.turns.in_features == 3 and weight_of(turns, 0.9) == 0.25
    with pytest.raises(FewShotError, match="the term must be a known name, got 'rotatoin'; did you mean 'rotation'"):
        named_term("rotatoin")
    with pytest.raises(FewShotError, match="options of the term 'rotation' are weight, got 'dim'"):
        named_term({"rotation": {"dim": 3}})
    with pytest.raises(FewShotError, match="a term must be a name, or a name with its weight or options, got 3"):
        named_term(3)
