#!/usr/bin/env bash
# densratio 0.4.0: uLSIF of the same two samples gives other importance weights at each call.
# Guess beforehand: the estimate is a function of its input; uLSIF has a closed form.
# Seen: with more than 100 rows its kernel centres are drawn from NumPy's global generator, and there is no argument for a seed:
# weights of single items differ by some per cent of the largest one, at the same bandwidth and regularisation. With 100 rows
# or fewer all rows are centres, and both calls agree but for rounding.
# Why it matters: importance weights of covariate shift do not repeat, and code that compares two runs compares two draws.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q 'densratio==0.4.0' 'numpy==2.4.6'
"$folder/env/bin/python" - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from densratio import densratio

print("densratio", version("densratio"), "numpy", np.__version__)


def apart(rows):
    """Largest spread of one item's weight over six calls with the same settings, as a share of the largest weight."""
    rng = np.random.default_rng(0)
    source, target = rng.normal(1, 1, (rows, 2)), rng.normal(0, 1, (rows, 2))
    estimates = [densratio(target, source, sigma=1.0, lambda_=0.1, verbose=False) for _ in range(6)]
    weights = np.array([estimate.compute_density_ratio(source) for estimate in estimates])
    return np.ptp(weights, axis=0).max() / weights.max()


many, few = apart(400), apart(100)
print(f"400 rows each: weights differ by {many:.1%} of the largest")
print(f"100 rows each: weights differ by {few:.1e} of the largest")
if not (many > 0.02 and few < 1e-6):
    raise SystemExit("changed")
PYTHON
