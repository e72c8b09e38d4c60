#!/usr/bin/env bash
# scikit-learn 1.9.1: fitting an SVC without probabilities takes a number from NumPy's global generator.
# Guess beforehand: without probability=True nothing is random, so the generator stays as it was; with random_state=None as for
# LogisticRegression(solver="lbfgs"), which draws nothing.
# Seen: each fit of SVC draws one seed for libsvm from the global generator, though libsvm does not use it here: the fitted
# model is the same at every seed. LogisticRegression and Ridge leave the generator alone.
# Why it matters: episodes that are drawn by np.random after np.random.seed(0) are other ones as soon as one of the compared
# learners is an SVC, so learners that seem to share their episodes do not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q 'scikit-learn==1.9.1' 'numpy==2.4.6'
"$folder/env/bin/python" - <<'PYTHON'
import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm import SVC

print("scikit-learn", sklearn.__version__, "numpy", np.__version__)
rng = np.random.default_rng(0)
y = np.arange(60) % 3
x = rng.normal(size=(3, 5))[y] + rng.normal(size=(60, 5))


def next_episode(learner):
    """Rows that are drawn after a fit, with the global generator seeded before it."""
    np.random.seed(0)
    learner.fit(x, y)
    return np.random.permutation(60)[:5].tolist()


np.random.seed(0)
untouched = np.random.permutation(60)[:5].tolist()
drawn = {one.__class__.__name__: next_episode(one) for one in (LogisticRegression(), Ridge(), SVC(kernel="linear"))}
for name, rows in {"nothing": untouched, **drawn}.items():
    print(f"after {name:<18} the next rows are {rows}")
scores = []
for seed in (1, 2):
    np.random.seed(seed)
    scores.append(SVC(kernel="linear").fit(x, y).decision_function(x))
equal = np.array_equal(*scores)
print("fits after two seeds are equal bit for bit:", equal)
moved = [name for name, rows in drawn.items() if rows != untouched]
if moved != ["SVC"] or not equal:
    raise SystemExit("changed")
PYTHON
