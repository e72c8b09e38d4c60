"""Linear classifiers on features, and their solvers."""
