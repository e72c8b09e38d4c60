import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fewshot.errors import DataError, ShapeError
from fewshot.training.augment.rotation import EpisodeRotation, rotate


def batch(episodes=3, way=4, seed=0):
    """Unbalanced, shuffled episodes of random images."""
    rng = np.random.default_rng(seed)
    support_y = np.stack([rng.permutation([0, 0, 1, 2, 3, 3, 3][: way + 3]) for _ in range(episodes)]) % way
    query_y = rng.integers(way, size=(episodes, 6))
    x = [torch.from_numpy(rng.integers(256, size=(*y.shape, 1, 5, 5), dtype=np.uint8)) for y in (support_y, query_y)]
    seeds = torch.from_numpy(rng.integers(2**62, size=episodes))
    return x[0], torch.from_numpy(support_y), x[1], torch.from_numpy(query_y), seeds


def turn(image, k):
    """One image turned by Pillow, which shares no code with torch."""
    return np.asarray(Image.fromarray(image.numpy()).rotate(90 * k))


def angle(before, after):
    """The one angle by which an image was turned; random images look different at all four."""
    (found,) = [k for k in range(4) if np.array_equal(turn(before, k), after.numpy())]
    return found


def angles(rotation, data):
    """Angles of all images and their classes, episode by episode."""
    support_x, support_y, query_x, query_y, _ = data
    parts = zip((support_x, query_x), rotation(*data), (support_y, query_y), strict=True)
    found = [[], [], []]
    for before, after, y in parts:
        for e in range(len(y)):
            found[e] += [(int(y[e, i]), angle(before[e, i, 0], after[e, i, 0])) for i in range(y.shape[1])]
    return found


def check_per_class(rotation):
    seen = set()
    for seed in range(6):
        for episode in angles(rotation, batch(seed=seed)):
            by_class = {c: {k for c2, k in episode if c2 == c} for c, _ in episode}
            assert all(len(turns) == 1 for turns in by_class.values()), "a class turns as one"
            seen.add(tuple(sorted((c, *turns) for c, turns in by_class.items())))
    assert len({k for episode in seen for _, k in episode}) == 4, "all four angles occur"
    assert len(seen) >= 12, "every episode draws anew"
    assert any(len({k for _, k in episode}) > 1 for episode in seen), "classes turn by themselves"


def check_per_episode(rotation):
    drawn = []
    for seed in range(6):
        for episode in angles(rotation, batch(seed=seed)):
            assert len({k for _, k in episode}) == 1, "the episode turns as one"
            drawn.append(episode[0][1])
    assert set(drawn) == {0, 1, 2, 3}, "all four angles occur"


def test_per_class():
    check_per_class(EpisodeRotation())


def test_per_episode():
    check_per_episode(EpisodeRotation("episode"))


def per_image(support_x, support_y, query_x, query_y, seed):
    """Planted wrong: an angle for each image."""
    rng = torch.Generator().manual_seed(int(seed[0]))
    return tuple(rotate(x, torch.randint(4, x.shape[:2], generator=rng)) for x in (support_x, query_x))


def support_only(support_x, support_y, query_x, query_y, seed):
    """Planted wrong: queries stay as they are."""
    return EpisodeRotation()(support_x, support_y, query_x, query_y, seed)[0], query_x


def same_for_the_batch(support_x, support_y, query_x, query_y, seed):
    """Planted wrong: all episodes of a batch, and all batches, turn alike."""
    return EpisodeRotation()(support_x, support_y, query_x, query_y, torch.full_like(seed, 5))


def half_turns(support_x, support_y, query_x, query_y, seed):
    """Planted wrong: 0 and 180 degrees only, which `90 * k` of a bit would give."""
    return tuple(rotate(x, 2 * (y % 2)) for x, y in ((support_x, support_y), (query_x, query_y)))


@pytest.mark.slip
@pytest.mark.parametrize("wrong", [per_image, support_only, same_for_the_batch, half_turns, EpisodeRotation("episode")])
def test_planted_wrong_rotations_per_class_are_caught(wrong):
    with pytest.raises(AssertionError):
        check_per_class(wrong)


@pytest.mark.slip
@pytest.mark.parametrize("wrong", [per_image, support_only, same_for_the_batch, half_turns, EpisodeRotation("class")])
def test_planted_wrong_rotations_per_episode_are_caught(wrong):
    with pytest.raises(AssertionError):
        check_per_episode(wrong)


@given(st.integers(0, 2**62), st.sampled_from(["class", "episode"]))
def test_an_episode_alone_turns_as_in_a_batch(seed, per):
    rotation, data = EpisodeRotation(per), batch(seed=seed % 1000)
    together, again = rotation(*data), rotation(*data)
    for k in range(3):
        alone = rotation(*(part[k : k + 1] for part in data))
        for part in range(2):
            assert torch.equal(alone[part][0], together[part][k])
            assert torch.equal(again[part], together[part])


def test_further_classes_change_nothing():
    support_x, support_y, query_x, query_y, seed = batch()
    few = query_y.clamp(max=1)
    more = torch.cat([few, torch.full((3, 1), 9)], 1)
    wider = torch.cat([query_x, query_x[:, :1]], 1)
    base = EpisodeRotation()(support_x, support_y, query_x, few, seed)
    assert torch.equal(EpisodeRotation()(support_x, support_y, wider, more, seed)[1][:, :-1], base[1])


def test_angles_are_uniform():
    """4,000 seeds: each angle's count within five standard deviations of 1,000."""
    seeds = torch.arange(4000) * 7919
    y = torch.zeros(4000, 1, dtype=torch.int64)
    corner = torch.zeros(4000, 1, 1, 2, 2)
    corner[..., 0, 0] = 1
    for per in ("class", "episode"):
        turned, _ = EpisodeRotation(per)(corner, y, corner, y, seeds)
        counts = turned.sum((0, 1, 2)).flatten()
        assert (counts - 1000).abs().max() < 5 * (4000 * 0.25 * 0.75) ** 0.5


def test_the_global_generators_are_untouched():
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  # the very state that must stay
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    EpisodeRotation()(*batch())
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_the_input_is_left_alone_and_zero_shot_works():
    data = batch()
    before = [part.clone() for part in data]
    EpisodeRotation()(*data)
    assert all(torch.equal(a, b) for a, b in zip(before, data, strict=True))
    support_x, support_y, query_x, query_y, seed = data
    turned = EpisodeRotation()(support_x[:, :0], support_y[:, :0], query_x, query_y, seed)
    assert turned[0].shape == (3, 0, 1, 5, 5)


def test_errors():
    with pytest.raises(DataError, match="per 'class' or per 'episode', got 'image'"):
        EpisodeRotation("image")
    with pytest.raises(ShapeError, match="images must be square to be turned, got height 4 and width 5"):
        rotate(torch.zeros(2, 1, 4, 5), torch.zeros(2, dtype=torch.int64))
