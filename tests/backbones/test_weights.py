import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from fewshot.backbones.conv4 import Conv4
from fewshot.backbones.weights import in_wheel, is_offline, load_weights, read_weights, save_weights, weights_hash
from fewshot.claims import claims_of
from fewshot.errors import DataError, MissingDataError

# As many names, and as long, as Omniglot has with four rotations.
SEEN = [f"omniglot:Japanese_(katakana)/character{i // 4:02d}/rotated{i % 4 * 90}" for i in range(4800)]


def network(seed=0, **options):
    torch.manual_seed(seed)
    return Conv4(**options)


class TestRoundTrip:
    def test_weights_classes_and_facts_come_back(self, tmp_path):
        first, second = network(0), network(1)
        first(torch.rand(4, 1, 28, 28))  # moves the running statistics
        path = save_weights(tmp_path / "a.safetensors", first, {"classes_seen": SEEN, "steps": 10_000})
        assert load_weights(path, second) == {"classes_seen": SEEN, "steps": 10_000}
        assert weights_hash(first) == weights_hash(second)
        assert second.classes_seen == tuple(SEEN)
        x = torch.rand(3, 1, 28, 28)
        assert first.eval()(x).equal(second.eval()(x))

    def test_the_guard_sees_the_classes_of_a_loaded_part(self, tmp_path):
        path = save_weights(tmp_path / "a.safetensors", network(), {"classes_seen": SEEN})
        part = network(1)
        load_weights(path, part)
        assert claims_of(nn.Sequential(part)).classes_seen == set(SEEN)

    def test_a_trained_network_takes_its_classes_along(self, tmp_path):
        first, second = network(), network(1)
        first.classes_seen = ("omniglot:Greek/character01",)
        load_weights(save_weights(tmp_path / "a.safetensors", first, {}), second)
        assert second.classes_seen == ("omniglot:Greek/character01",)

    def test_classes_of_former_weights_are_forgotten(self, tmp_path):
        part = network()
        part.classes_seen = ("omniglot:Greek/character01",)
        bare = tmp_path / "bare.safetensors"
        save_file({k: v.contiguous() for k, v in network(1).state_dict().items()}, bare)
        assert load_weights(bare, part) == {}
        assert part.classes_seen == ()

    def test_the_file_is_small_and_others_can_read_it(self, tmp_path):
        path = save_weights(tmp_path / "a.safetensors", network(), {"classes_seen": SEEN})
        assert path.stat().st_size < 1_000_000
        with safe_open(path, "pt") as file:
            assert json.loads(file.metadata()["fewshot"])["classes_seen"] == SEEN

    def test_channels_last_before_and_after(self, tmp_path):
        first, second = network(), network(1)
        assert not first.blocks[1][0].weight.is_contiguous()
        load_weights(save_weights(tmp_path / "a.safetensors", first, {}), second)
        assert second.blocks[1][0].weight.is_contiguous(memory_format=torch.channels_last)

    def test_nothing_is_half_written(self, tmp_path):
        with pytest.raises(ValueError, match="Out of range float"):
            save_weights(tmp_path / "a.safetensors", network(), {"accuracy": float("nan")})
        assert list(tmp_path.iterdir()) == []

    def test_pickled_tensors(self, tmp_path):
        first, second = network(), network(1)
        torch.save(first.state_dict(), tmp_path / "a.pth")
        assert load_weights(tmp_path / "a.pth", second) == {}
        assert weights_hash(first) == weights_hash(second)

    def test_a_classifier_can_be_left_out(self, tmp_path):
        whole = nn.Sequential()
        whole.add_module("body", nn.Linear(3, 2))
        whole.add_module("fc", nn.Linear(2, 7))
        path = save_weights(tmp_path / "a.safetensors", whole, {})
        body = nn.Sequential()
        body.add_module("body", nn.Linear(3, 2))
        load_weights(path, body, ignore=("fc.",))
        assert body.body.weight.equal(whole.body.weight)


class TestErrors:
    def refused(self, path, error, message, module=None):
        module = network(1) if module is None else module
        before = weights_hash(module)
        with pytest.raises(error, match=message):
            load_weights(path, module)
        assert weights_hash(module) == before

    def test_no_file(self, tmp_path):
        self.refused(
            tmp_path / "a.safetensors", MissingDataError, r"a.safetensors' must be a file of weights, got none"
        )

    @pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
    def test_cut_short(self, tmp_path, name):
        path = tmp_path / name
        save_weights(path, network(), {}) if name.endswith("s") else torch.save(network().state_dict(), path)
        path.write_bytes(path.read_bytes()[:10_000])
        self.refused(path, DataError, "must be a whole file with nothing but tensors, got:? ")

    def test_code_in_a_pickle_is_not_run(self, tmp_path):
        class Evil:
            def __reduce__(self):
                return (tmp_path.joinpath("ran").write_text, ("ran",))

        torch.save({"a": Evil()}, tmp_path / "a.pth")
        self.refused(tmp_path / "a.pth", DataError, "nothing but tensors, got:? .*save module.state_dict")
        assert not (tmp_path / "ran").exists()

    def test_a_nested_pickle(self, tmp_path):
        torch.save({"model": network().state_dict(), "epoch": 3}, tmp_path / "a.pth")
        self.refused(tmp_path / "a.pth", DataError, r"got:? a dictionary with \['epoch', 'model'\]")

    def test_another_shape(self, tmp_path):
        path = save_weights(tmp_path / "a.safetensors", network(width=32), {})
        message = r"got 'blocks.0.0.weight' of shape \(32, 1, 3, 3\) for \(64, 1, 3, 3\) \(20 tensors differ\)"
        self.refused(path, DataError, message)

    def test_tensors_too_few_and_too_many(self, tmp_path):
        path = save_weights(tmp_path / "a.safetensors", nn.Linear(2, 2), {})
        self.refused(path, DataError, r"got no 'blocks.0.0.weight' \(26 tensors differ\)")
        wanted = nn.Sequential()
        path = save_weights(tmp_path / "b.safetensors", nn.Linear(2, 2), {})
        self.refused(path, DataError, "got a 'bias' that the network lacks", wanted)


class TestHash:
    def test_names_shapes_types_and_values_count(self):
        base = nn.Linear(2, 3)
        state = {"weight": torch.arange(6.0).reshape(3, 2), "bias": torch.zeros(3)}

        def hashed(state):
            module = nn.Module()
            for name, value in state.items():
                module.register_buffer(name, value)
            return weights_hash(module)

        base.load_state_dict(state)
        others = [
            state | {"weight": state["weight"] + 1e-6},
            state | {"weight": state["weight"].reshape(2, 3)},
            state | {"weight": state["weight"].double()},
            {"weights": state["weight"], "bias": state["bias"]},
            state | {"bias": torch.tensor([0.0, -0.0, 0.0])},
        ]
        assert weights_hash(base) == hashed(state)
        assert len({hashed(state), *map(hashed, others)}) == 6

    def test_the_memory_format_does_not_count(self):
        first, second = network(), network().to(memory_format=torch.contiguous_format)
        assert second.blocks[1][0].weight.is_contiguous()
        assert weights_hash(first) == weights_hash(second)

    def test_types_that_numpy_lacks(self):
        assert weights_hash(network().bfloat16()) != weights_hash(network())


def test_a_file_in_an_installed_distribution():
    assert in_wheel("pytest", "pytest/__init__.py").is_file()
    assert in_wheel("pytest", "pytest/no-such-file") is None
    assert in_wheel("no-such-distribution-here", "file") is None


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_offline(monkeypatch, value, offline):
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    assert is_offline() is offline


def test_reading_gives_plain_tensors(tmp_path):
    tensors, facts = read_weights(save_weights(tmp_path / "a.safetensors", nn.Linear(2, 3), {"a": 1}))
    assert {name: tuple(value.shape) for name, value in tensors.items()} == {"weight": (3, 2), "bias": (3,)}
    assert facts == {"a": 1}
