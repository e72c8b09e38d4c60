"""Optimisers, schedules, averages, accumulation and logs of the training loop, against torch's own and slow loops."""

import csv
import math

import numpy as np
import pytest
import torch
from test_training import SPEC, double, made, network, same, settings, weights
from torch import nn
from torch.testing import assert_close

from fewshot.contract import episode_loss
from fewshot.episodes import EpisodeSampler
from fewshot.errors import EpisodeError, FewShotError
from fewshot.evaluation.answers import support_set
from fewshot.training.episodic import EpisodicTraining, train
from fewshot.training.settings import TrainingSettings, learning_rate, make_optimizer


def rates(**options):
    chosen = TrainingSettings(steps=8, learning_rate=2.0, **options)
    return [learning_rate(chosen, step) for step in range(8)]


def test_schedules_are_torchs_own():
    def torchs(make, steps=8):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 2.0)
        schedule, found = make(optimizer), []
        for _ in range(steps):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return found

    kinds = torch.optim.lr_scheduler
    expected = {
        "halve": torchs(lambda o: kinds.StepLR(o, 3, 0.5)),
        "steps": torchs(lambda o: kinds.MultiStepLR(o, [4, 6], 0.1)),
        "linear": torchs(lambda o: kinds.LinearLR(o, 1.0, 0.0, 8)),
        "cosine": torchs(lambda o: kinds.CosineAnnealingLR(o, 8)),
        "constant": [2.0] * 8,
        "inverse": torchs(lambda o: kinds.LambdaLR(o, lambda step: 1 / (1 + 10 * step / 8) ** 0.75)),
    }
    for schedule, wanted in expected.items():
        np.testing.assert_allclose(rates(schedule=schedule, halve_every=3), wanted, rtol=1e-12, err_msg=schedule)


@pytest.mark.slip
@pytest.mark.parametrize(
    ("schedule", "slip"),
    [
        ("linear", lambda t: 2.0 * (1 - (t + 1) / 8)),
        ("cosine", lambda t: 2.0 * (1 + math.cos(math.pi * t / 7)) / 2),
        ("steps", lambda t: 2.0 * 0.1 ** ((t > 4) + (t > 6))),
        ("inverse", lambda t: 2.0 / (1 + 10 * t) ** 0.75),
        ("inverse", lambda t: 2.0 / (1 + 10 * t / 8)),
        ("inverse", lambda t: 2.0 / (1 + t / 8) ** 0.75),
    ],
)
def test_schedules_a_slip_away_differ(schedule, slip):
    assert not np.allclose(rates(schedule=schedule), [slip(t) for t in range(8)])


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_the_optimiser_is_the_one_named(name):
    made_one = make_optimizer(
        TrainingSettings(steps=1, optimizer=name, weight_decay=0.1, momentum=0.7), [nn.Parameter(torch.ones(2))]
    )
    assert type(made_one).__name__.lower() == name
    assert made_one.defaults["weight_decay"] == 0.1 and made_one.defaults.get("momentum", 0.7) == 0.7


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"optimizer": "lion"}, "optimizer must be one of adam, adamw, sgd, got 'lion'"),
        ({"schedule": "warm"}, "schedule must be one of .*, got 'warm'"),
        ({"precision": "int8"}, "precision must be one of no, bf16, fp16, got 'int8'"),
        ({"average": 1.0}, r"average must be a finite number in \[0, 1\), got 1.0"),
        ({"learning_rate": float("inf")}, "learning_rate must be a finite number of at least 0, got inf"),
        ({"learning_rate": "0.1"}, "learning_rate must be a finite number of at least 0, got '0.1'"),
        ({"weight_decay": float("nan")}, "weight_decay must be a finite number of at least 0, got nan"),
        ({"momentum": 1.5}, r"momentum must be a finite number in \[0, 1\), got 1.5"),
        ({"clip": 0.0}, "clip must be a finite number above 0, got 0.0"),
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"steps": -5}, "steps must be a whole number of at least 1, got -5"),
        ({"steps": 1e3}, "steps must be a whole number of at least 1, got 1000.0; write 1000"),
        ({"save_every": 0}, "save_every must be a whole number of at least 1, got 0"),
        ({"validate_every": 0}, "validate_every must be a whole number of at least 1, got 0"),
        ({"halve_every": -1}, "halve_every must be a whole number of at least 0, got -1"),
        ({"seed": None}, r"seed must be a whole number in 0\.\.2\^63-1, got None"),
        ({"compile": "yes"}, "compile must be True or False, got 'yes'"),
    ],
)
def test_wrong_settings_are_named(wrong, message, no_shape_hook):
    with pytest.raises(FewShotError, match=message):
        TrainingSettings(**{"steps": 1} | wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tasks": 0}, "tasks must be a whole number of at least 1, got 0"),
        ({"tasks": -1}, "tasks must be a whole number of at least 1, got -1"),
        ({"at_once": 0}, "at_once must be a whole number of at least 1, got 0"),
        ({"rotation": "item"}, "rotation must be 'class', 'episode' or None, got 'item'"),
        ({"spec": "5-way"}, "the spec must be an EpisodeSpec, got '5-way'; write"),
    ],
)
def test_wrong_settings_of_episodes_are_named(wrong, message, no_shape_hook):
    with pytest.raises(FewShotError, match=message):
        EpisodicTraining(**{"spec": SPEC, "steps": 1} | wrong)


def test_numbers_of_numpy_are_kept_as_pythons_own(no_shape_hook):
    chosen = EpisodicTraining(
        SPEC, steps=np.int64(3), seed=np.uint8(2), learning_rate=np.float32(0.5), tasks=np.int32(2)
    )
    assert chosen == EpisodicTraining(SPEC, steps=3, seed=2, learning_rate=0.5, tasks=2)
    kept = (chosen.steps, chosen.seed, chosen.learning_rate, chosen.tasks)
    assert [type(value) for value in kept] == [int, int, float, int]


def test_weights_are_averaged_as_torch_does_it():
    plain, averaged, snapshots = double(network()), double(network()), []
    train(plain, made(), settings(steps=5), report=lambda p: snapshots.append(weights(plain)))
    train(averaged, made(), settings(steps=5, average=0.6))
    mean = snapshots[0]
    for after in snapshots[1:]:
        mean = {n: 0.6 * m + 0.4 * after[n] if m.is_floating_point() else after[n] for n, m in mean.items()}
    for name, value in averaged.state_dict().items():
        assert_close(value, mean[name], rtol=1e-9, atol=1e-12)


def test_validation_judges_the_averaged_weights(tmp_path):
    learner, judged = double(network()), []
    train(learner, made(), settings(steps=4, average=0.9), validate=lambda part: judged.append(weights(part)) or 0.5)
    same(weights(learner), judged[-1])
    plain = double(network())
    train(plain, made(), settings(steps=4))
    assert not torch.equal(next(iter(weights(plain).values())), next(iter(judged[-1].values())))


def test_an_averaged_run_that_was_stopped_ends_with_the_same_bits(tmp_path):
    chosen, whole = settings(steps=8, average=0.8, optimizer="sgd", schedule="linear"), network()
    train(whole, made(), chosen)

    def stop(progress):
        if progress.state.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(network(), made(), chosen, checkpoint=tmp_path / "run.safetensors", report=stop)
    resumed = network(seed=3)
    train(resumed, made(), chosen, checkpoint=tmp_path / "run.safetensors")
    same(weights(resumed), weights(whole))


def one_pass(k):
    """Buffers after episode k alone, from the initial ones, in train mode."""
    learner, chosen = double(network()), settings()
    sampler = EpisodeSampler(made().labels, SPEC, chosen.seed)
    episodes = sampler.batch(k, 1)
    support = support_set(made(), episodes, sampler.seeds(episodes.index))
    learner.train()
    episode_loss(learner, support, made().take(episodes.query), torch.from_numpy(episodes.query_y))
    return {name: b for name, b in learner.named_buffers() if b.is_floating_point()}


def test_episodes_of_a_step_do_not_see_each_others_statistics_and_leave_their_mean():
    learner = double(network())
    train(learner, made(), settings(steps=1, tasks=4, learning_rate=0.0))
    ends = [one_pass(k) for k in range(4)]
    for name, value in learner.named_buffers():
        if value.is_floating_point():
            mean = torch.stack([end[name] for end in ends]).mean(0)
            assert_close(value, mean, rtol=1e-9, atol=1e-12)
            assert not torch.allclose(value, ends[-1][name])


def test_accumulation_changes_rounding_only():
    whole, parts = (double(network()) for _ in range(2))
    for learner in (whole, parts):
        for m in learner.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.momentum = 0.0
    losses = [
        train(whole, made(), settings(steps=3, tasks=4, at_once=4)).losses,
        train(parts, made(), settings(steps=3, tasks=4, at_once=1)).losses,
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-9)


def test_shares_that_do_not_divide_are_refused():
    with pytest.raises(EpisodeError, match="at_once must divide the 4 episodes of a process's step, got 3"):
        train(network(), made(), settings(tasks=4, at_once=3))


def test_the_log_has_a_line_a_step(tmp_path):
    state = train(network(), made(), settings(), validate=lambda part: 0.25, checkpoint=tmp_path / "run.safetensors")
    rows = list(csv.DictReader((tmp_path / "run.csv").read_text().splitlines()))
    assert [int(row["step"]) for row in rows] == list(range(1, 9))
    assert [float(row["loss"]) for row in rows] == state.losses
    assert [float(row["learning_rate"]) for row in rows] == [1e-3] * 3 + [5e-4] * 3 + [2.5e-4] * 2
    assert [row["validation_accuracy"] for row in rows] == ["", "", "", "0.25"] * 2


def test_turned_images_train_otherwise_and_the_same_seed_turns_alike():
    runs = [train(double(network()), made(), settings(steps=2, rotation=r)).losses for r in ("class", "class", None)]
    assert runs[0] == runs[1] != runs[2]


def test_half_precision_trains_nearly_alike():
    exact = train(network(), made(), settings(steps=3)).losses
    rough = train(network(), made(), settings(steps=3, precision="bf16")).losses
    assert exact != rough
    np.testing.assert_allclose(rough, exact, rtol=0.3)
