"""A classifier for a user's own data, as a scikit-learn estimator."""
