import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torchvision.transforms.functional import crop, hflip, pad

from fewshot.training.augment.crop_flip import crop_flip


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def views(image, margin):
    """All that a crop with margin may make of an image, by torchvision: (down, right, mirrored) -> bytes."""
    height, width = image.shape[-2:]
    framed = pad(image, margin)
    made = {}
    for down in range(2 * margin + 1):
        for right in range(2 * margin + 1):
            moved = crop(framed, down, right, height, width)
            made[down, right, False], made[down, right, True] = (v.numpy().tobytes() for v in (moved, hflip(moved)))
    return {content: place for place, content in made.items()}


@given(st.integers(8, 24), st.integers(8, 30), st.sampled_from([torch.uint8, torch.float32]), st.integers(0, 2**31))
def test_every_image_is_a_view_of_itself(height, width, dtype, seed):
    items = (torch.rand((5, 3, height, width), generator=generator(seed)) * 255).to(dtype)
    got = crop_flip(items, generator(seed))
    assert got.shape == items.shape and got.dtype == dtype
    for image, view in zip(items, got, strict=True):
        assert view.numpy().tobytes() in views(image, height // 8)


def test_all_views_are_equally_likely_and_images_move_alone():
    image = torch.arange(3 * 16 * 16, dtype=torch.float32).reshape(3, 16, 16)
    known = views(image, 2)
    places = [known[v.numpy().tobytes()] for v in crop_flip(image.expand(5000, -1, -1, -1), generator(1))]
    assert len(known) == 50
    counts = np.unique(np.array(places) @ [10, 2, 1], return_counts=True)[1]
    assert len(counts) == 50 and chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize(("side", "margin"), [(84, 8), (32, 4), (64, 8), (6, 0)])
def test_margins(side, margin):
    items = torch.ones(4000, 1, side, side, dtype=torch.uint8)
    got = crop_flip(items, generator())
    empty = (got[:, 0].amax(2) == 0).sum(1)
    assert empty.max() == margin


def test_the_generator_decides_and_global_state_does_not_move():
    items = torch.rand(20, 3, 32, 32)
    state = torch.get_rng_state()
    assert torch.equal(crop_flip(items, generator(3)), crop_flip(items, generator(3)))
    assert not torch.equal(crop_flip(items, generator(3)), crop_flip(items, generator(4)))
    assert torch.equal(state, torch.get_rng_state())
