"""DropBlock against squares drawn one by one, and against probabilities that are counted out."""

import numpy as np
import pytest
import torch

from fewshot.backbones.dropblock import DropBlock, dropped, seed_rate
from fewshot.errors import FewShotError, ShapeError


def covering(side, block):
    """How many starts of a square cover each position of a line, counted one by one."""
    return np.array([sum(start <= i < start + block for start in range(side - block + 1)) for i in range(side)])


def drop_chance(gamma, height, width, block):
    """Probability that each position is dropped: not one of the squares over it starts."""
    return 1 - (1 - gamma) ** np.outer(covering(height, block), covering(width, block))


def check_shares(mask, height, width, block, gamma):
    """Observed shares lie within 5 standard deviations of the probabilities everywhere."""
    chance = drop_chance(gamma, height, width, block)
    shares = mask.double().mean((0, 1)).numpy()
    deviations = np.abs(shares - chance) / np.sqrt(chance * (1 - chance) / (mask.shape[0] * mask.shape[1]))
    assert deviations.max() < 5, f"shares are off by {deviations.max():.1f} standard deviations"


def mask_of(height, width, block, gamma, seed=0):
    torch.manual_seed(seed)
    return dropped(torch.empty(100, 40, height, width), gamma, block)


class TestWhatIsDropped:
    @pytest.mark.parametrize(("height", "width", "block"), [(10, 10, 5), (5, 5, 5), (7, 4, 2), (6, 6, 1), (9, 7, 4)])
    def test_shares_at_every_position(self, height, width, block):
        check_shares(mask_of(height, width, block, 0.05), height, width, block, 0.05)

    @pytest.mark.slip
    @pytest.mark.parametrize(
        "wrong",
        [
            lambda: mask_of(10, 10, 4, 0.05),  # squares too small
            lambda: mask_of(10, 10, 5, 0.06),  # too many
            lambda: mask_of(12, 12, 5, 0.05)[:, :, :10, :10],  # starts where no whole square fits
            lambda: mask_of(10, 10, 5, 0.05)[:1, :1].expand(100, 40, 10, 10),  # one mask for all
        ],
    )
    def test_planted_errors_are_found(self, wrong):
        with pytest.raises(AssertionError, match="standard deviations"):
            check_shares(wrong(), 10, 10, 5, 0.05)

    def test_the_same_squares_as_a_loop_draws(self):
        torch.manual_seed(3)
        mask = dropped(torch.empty(4, 3, 9, 8), 0.1, 3)
        torch.manual_seed(3)
        starts = torch.rand(4, 3, 7, 6) < 0.1
        wanted = torch.zeros(4, 3, 9, 8, dtype=torch.bool)
        for n, c, i, j in starts.nonzero().tolist():
            wanted[n, c, i : i + 3, j : j + 3] = True
        assert starts.any()
        assert mask.equal(wanted)


class TestSeedRate:
    """Eq. 1: the expected area of all squares, overlaps counted twice, is the rate times the area of the map."""

    def check(self, rate_of, side=10, block=5, rate=0.1):
        places = (side - block + 1) ** 2
        assert rate_of(rate, block, side, side) * places * block**2 == pytest.approx(rate * side**2)

    @pytest.mark.parametrize(("side", "block", "rate"), [(10, 5, 0.1), (5, 5, 0.1), (21, 2, 0.3), (4, 1, 0.5)])
    def test_expected_area(self, side, block, rate):
        self.check(seed_rate, side, block, rate)

    @pytest.mark.slip
    @pytest.mark.parametrize(
        "wrong",
        [
            lambda rate, b, h, w: rate / b**2,  # without the correction for the border
            lambda rate, b, h, w: rate / b * h * w / ((h - b + 1) * (w - b + 1)),  # a side for the area
            lambda rate, b, h, w: rate / b**2 * h * w / ((h - b) * (w - b)),  # one place too few
            lambda rate, b, h, w: (1 - rate) / b**2 * h * w / ((h - b + 1) * (w - b + 1)),  # kept for dropped
        ],
    )
    def test_planted_errors_are_found(self, wrong):
        with pytest.raises(AssertionError):
            self.check(wrong)

    def test_a_map_as_large_as_the_square_is_dropped_whole_at_the_rate_itself(self):
        assert seed_rate(0.1, 5, 5, 5) == pytest.approx(0.1)

    def test_it_is_a_probability(self):
        assert seed_rate(0.9, 1, 1, 1) == pytest.approx(0.9)
        assert seed_rate(0.9, 3, 4, 4) == 0.9 / 9 * 16 / 4
        assert seed_rate(0.99, 4, 7, 7) <= 1

    def test_a_square_must_fit(self):
        with pytest.raises(ShapeError, match=r"got 5 for a map of 4 × 6; choose a smaller block_size"):
            seed_rate(0.1, 5, 4, 6)


class TestModule:
    def test_what_is_left_is_scaled_up(self):
        torch.manual_seed(0)
        drop = DropBlock(0.3, 3, ramp=0).train()
        x = torch.ones(50, 8, 10, 10, dtype=torch.float64)
        out = drop(x)
        kept = out > 0
        assert 0.6 < kept.double().mean() < 0.85
        torch.testing.assert_close(out[kept], torch.full_like(out[kept], kept.numel() / int(kept.sum())))
        assert out.mean() == pytest.approx(1)

    def test_nothing_happens_in_eval_mode(self):
        drop, x = DropBlock(0.5, 2, ramp=0).eval(), torch.rand(2, 3, 6, 6)
        assert drop(x) is x
        assert int(drop.steps) == 0

    def test_the_rate_grows_with_training_passes_only(self):
        drop, x = DropBlock(0.2, 2, ramp=4), torch.rand(2, 3, 6, 6)
        rates = []
        for _ in range(6):
            drop.train()(x)
            drop.eval()(x)
            rates.append(drop.current_rate())
        assert rates == pytest.approx([0.05, 0.1, 0.15, 0.2, 0.2, 0.2])

    def test_the_count_is_kept_with_the_weights(self):
        drop, resumed = DropBlock(0.2, 2, ramp=4), DropBlock(0.2, 2, ramp=4)
        drop.train()(torch.rand(2, 3, 6, 6))
        resumed.load_state_dict(drop.state_dict())
        assert resumed.current_rate() == pytest.approx(0.05)

    def test_all_dropped_gives_zeros(self):
        drop = DropBlock(0.99, 2, ramp=0)
        torch.manual_seed(0)
        outs = [drop.train()(torch.ones(1, 1, 2, 2)) for _ in range(50)]
        assert all(bool(out.isfinite().all()) for out in outs)
        assert any(bool((out == 0).all()) for out in outs)

    def test_dropped_values_have_no_gradient(self):
        torch.manual_seed(0)
        x = torch.rand(2, 3, 8, 8, requires_grad=True)
        out = DropBlock(0.3, 3, ramp=0).train()(x)
        out.sum().backward()
        assert (x.grad == 0).equal(out == 0)

    @pytest.mark.parametrize("options", [{"rate": 1.0}, {"rate": -0.1}, {"block_size": 0}, {"ramp": -1}])
    def test_settings_out_of_range(self, options):
        with pytest.raises(FewShotError, match=r"DropBlock needs a rate in \[0, 1\), a block size from 1"):
            DropBlock(**options)
