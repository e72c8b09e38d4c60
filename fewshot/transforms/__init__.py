"""Transforms of features: small functions that compose, batched over episodes.

A transform is any callable from features ``(*e, n, dim)`` to features ``(*e, n, k)`` that looks at each row alone.
One that takes statistics from base classes has ``fit(x)`` as well, which returns a new, fitted transform. One that
says ``joint = True`` is given all items of an episode at once. `fewshot.learners.transformed` puts them in front of
a learner.
"""

from fewshot.transforms.fitted import PCA, Centre, Whiten
from fewshot.transforms.index import TRANSFORMS, Transform, make_transform
from fewshot.transforms.plain import QR, Normalise, Power

__all__ = ["PCA", "QR", "TRANSFORMS", "Centre", "Normalise", "Power", "Transform", "Whiten", "make_transform"]
