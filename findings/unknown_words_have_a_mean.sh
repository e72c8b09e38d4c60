#!/usr/bin/env bash
# gensim 4.4.0: KeyedVectors.get_mean_vector of words that are all unknown is the zero vector, without a warning.
# Guess beforehand: an unknown word raises KeyError, as indexing does.
# Seen: "zebra" gets zeros; "polar zebra" gets the vector of "polar"; and known words enter with length one, so that the mean
# is not the mean of their vectors. similarity to the zero vector is 0.0, which ranks above every class at an obtuse angle.
# Why it matters: names of classes are turned into descriptors this way; a class whose name is unknown is then one that competes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q 'gensim==4.4.0'
"$folder/env/bin/python" -W error - <<'PYTHON'
import gensim
import numpy as np
from gensim.models import KeyedVectors

print("gensim", gensim.__version__)
vectors = KeyedVectors(3)
vectors.add_vectors(["polar", "bear", "whale"], np.array([[3, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32))
both, none, some = (vectors.get_mean_vector(words) for words in (["polar", "bear"], ["zebra"], ["polar", "zebra"]))
print("polar bear:", both, "(the mean of the two vectors is [1.5 0.5 0])")
print("zebra:", none)
print("polar zebra:", some)
try:
    vectors["zebra"]
    raise SystemExit("changed: indexing an unknown word gives a vector")
except KeyError as error:
    print("indexing zebra:", error)
print("similarity of whale and zebra:", vectors.n_similarity(["whale"], ["zebra"]))
expected = ([0.5, 0.5, 0], [0, 0, 0], [1, 0, 0])
if not all(np.allclose(mean, wanted) for mean, wanted in zip((both, none, some), expected, strict=True)):
    raise SystemExit("changed")
PYTHON
