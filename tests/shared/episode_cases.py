"""Labels and specs for tests of episodes: classes of unequal size, ids with gaps, rows in random order."""

import numpy as np
from hypothesis import strategies as st

from fewshot.episodes import EpisodeSampler, EpisodeSpec

FIELDS = ("index", "classes", "support", "support_y", "query", "query_y", "unlabelled")


def shuffled_labels(sizes, seed=0, gap=1):
    """Labels of classes 0, gap, 2 gap, ... with the given sizes, in random order."""
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)) * gap, sizes))


def assert_equal(one, other):
    """Raise unless two `IndexEpisodes` are equal to the last index."""
    for name in FIELDS:
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None), name
        if a is not None:
            np.testing.assert_array_equal(a, b, err_msg=name, strict=True)


# Strategies give arguments, and `build` makes objects of them: the type checker of the test run uses
# the global random state, which hypothesis forbids inside strategies.
def spec(**fields):
    return st.fixed_dictionaries(
        {k: st.just(v) if not isinstance(v, st.SearchStrategy) else v for k, v in fields.items()}
    )


few = st.integers(1, 3)
PLAIN = spec(way=st.integers(1, 5), shot=st.integers(0, 3), query=st.integers(0, 4))
IRREGULAR = st.one_of(
    st.integers(1, 4).flatmap(lambda way: spec(way=way, query=few, shots=st.tuples(*[st.integers(0, 4)] * way))),
    spec(way=st.integers(2, 4), query=few, dirichlet=st.floats(0.5, 5)),
    spec(way=few, query=few, within_group=True),
    spec(way=(2, 5), shot=(0, 3), query=(1, 4)),
    spec(way=few, query=few, open_way=st.integers(0, 2), unlabelled=few, distractors=st.integers(0, 2)),
    spec(way=2, query=2, open_way=2, open_query=st.integers(0, 5)),
    spec(way=(5, 9), shot=(1, 100), query=st.integers(1, 10), within_group=st.booleans(), rule="meta-dataset"),
)
DISJOINT = spec(way=st.integers(1, 4), shot=1, query=few, disjoint=True)


@st.composite
def cases(draw, specs=PLAIN | IRREGULAR):
    """``(fields of the spec, sizes, seed, gap)`` for `build`; 12 classes of 8 to 13 items."""
    sizes = draw(st.lists(st.integers(8, 13), min_size=12, max_size=12))
    return draw(specs), sizes, draw(st.integers(0, 2**62)), draw(st.integers(1, 3))


def build(case, seed=None):
    """``(sampler, labels)`` of a case; two groups of six classes."""
    fields, sizes, named, gap = case
    labels = shuffled_labels(sizes, named, gap)
    groups = np.arange(labels.max() + 1) * 2 // (labels.max() + 1)
    return EpisodeSampler(labels, EpisodeSpec(**fields), named if seed is None else seed, groups=groups), labels
