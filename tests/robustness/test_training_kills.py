"""Training that is stopped by the clock, by a signal or by ``kill -9``: what is saved, and that the end is the same."""

import multiprocessing
import os
import signal
import time

import killed_training
import numpy as np
import pytest
import torch
from test_training import made, network, same, settings, weights

from fewshot.training import saving
from fewshot.training.checkpoint import read_checkpoint
from fewshot.training.episodic import train
from fewshot.training.interrupts import Interrupts


@pytest.fixture(autouse=True)
def _interruptible():
    """A shell that starts this in the background lets it ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def saved_step(path):
    return read_checkpoint(path)[1]["step"] if path.exists() else 0


def test_a_run_is_saved_every_minute_however_slow_its_steps_are(tmp_path, monkeypatch):
    clock, path, steps = [0.0], tmp_path / "run.safetensors", []
    monkeypatch.setattr(saving, "monotonic", lambda: clock[0])

    def half_a_minute_more(progress):
        steps.append(saved_step(path))
        clock[0] += 25.0

    train(network(), made(), settings(save_every=100), checkpoint=path, report=half_a_minute_more)
    assert steps == [0, 0, 0, 4, 4, 4, 7, 8]


@pytest.fixture
def handled():
    """SIGTERM raises SystemExit, so that the tests go on; all handlers are as before afterwards."""

    def leave(number, frame):
        raise SystemExit(number)

    before = signal.signal(signal.SIGTERM, leave)
    yield leave
    assert signal.getsignal(signal.SIGTERM) is leave
    signal.signal(signal.SIGTERM, before)


def signalled(learner, call, *numbers):
    """The learner, whose loss sends signals to this process in one of its calls."""
    calls = [0]

    def loss(support, query, labels):
        calls[0] += 1
        for number in numbers if calls[0] == call else ():
            os.kill(os.getpid(), number)
        return type(learner).loss(learner, support, query, labels)

    learner.loss = loss
    return learner


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_waits_for_its_step_which_is_saved(number, error, tmp_path, handled):
    path, whole = tmp_path / "run.safetensors", network()
    train(whole, made(), settings())
    with pytest.raises(error):
        train(signalled(network(), 5, number), made(), settings(save_every=100), checkpoint=path)
    assert saved_step(path) == 5
    resumed = network(seed=1)
    train(resumed, made(), settings(save_every=100), checkpoint=path)
    same(weights(resumed), weights(whole))


def test_a_second_signal_is_delivered_at_once(tmp_path, handled):
    path = tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(signalled(network(), 5, signal.SIGINT, signal.SIGINT), made(), settings(save_every=3), checkpoint=path)
    assert saved_step(path) == 3  # that of the settings


def test_without_a_checkpoint_signals_are_left_alone(handled):
    learner = signalled(network(), 2, signal.SIGTERM)
    with pytest.raises(SystemExit):
        train(learner, made(), settings())


def test_a_validation_that_was_killed_is_made_up_for(tmp_path, handled):
    def accuracies(stop):
        said = iter([0.3, 0.9, 0.5, 0.1])
        done = [0]

        def validate(learner):
            done[0] += 1
            if done[0] == stop:
                os.kill(os.getpid(), signal.SIGTERM)
            return next(said)

        return validate, said

    path, whole, chosen = tmp_path / "run.safetensors", network(), settings(validate_every=2, save_every=100)
    state = train(whole, made(), chosen, validate=accuracies(0)[0])
    validate, said = accuracies(2)
    with pytest.raises(SystemExit):
        train(network(), made(), chosen, validate=validate, checkpoint=path)
    assert saved_step(path) == 4 and read_checkpoint(path)[1]["validations"] == [[2, 0.3]]
    resumed = network(seed=1)
    again = train(resumed, made(), chosen, validate=lambda learner: next(said), checkpoint=path)
    assert again.validations == state.validations
    same(weights(resumed), weights(whole))


def test_signals_that_are_ignored_stay_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGINT)
            assert not interrupts.received and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_handler_that_goes_on_is_heard_once_and_the_run_goes_on(tmp_path):
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        state = train(
            signalled(network(), 3, signal.SIGTERM), made(), settings(), checkpoint=tmp_path / "run.safetensors"
        )
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM] and state.step == 8


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bits(tmp_path):
    """Only the clock saves; each process is killed at a random time after it has saved once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fewshot.training.episodic", "torch._dynamo"])  # torch is read once
    path, rng, kills = tmp_path / "run.safetensors", np.random.default_rng(0), 0
    while True:
        child = context.Process(target=killed_training.run_and_exit, args=(path,))
        child.start()
        before = path.stat().st_mtime_ns if path.exists() else 0
        while child.is_alive() and (not path.exists() or path.stat().st_mtime_ns == before):
            time.sleep(0.002)
        time.sleep(float(rng.uniform(0, 0.05)))
        if child.is_alive() and kills < 5:
            child.kill()
            kills += 1
        child.join()
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
    threads = torch.get_num_threads()
    whole, state = killed_training.run(None)
    torch.set_num_threads(threads)
    resumed, again = killed_training.run(path)
    assert kills >= 3
    assert (again.losses, again.validations, again.rates) == (state.losses, state.validations, state.rates)
    same(weights(resumed), weights(whole))
