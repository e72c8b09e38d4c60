"""Items in as few numbers as they span, along axes that are good for a solver."""

import torch
from jaxtyping import Float
from torch import Tensor


def coordinates_of(centred: Tensor, large: bool) -> tuple[Tensor, Tensor | None]:
    """Rows of no more numbers than items with the same inner products, and the orthonormal axes they count along.

    The Cholesky factor of the inner products is quick, and has no axes. Squares halve the digits, so large features,
    and those of which rounding spoils the factor, are turned by orthogonal matrices instead.
    """
    if centred.shape[-2] > centred.shape[-1]:
        coordinates, axes = orthogonal(centred)
        return coordinates, axes if large else None
    if not large:
        root, failed = _square_root(centred @ centred.mT)
        if not bool(failed.any()):
            return root, None
    return orthogonal(centred)


def orthogonal(x: Float[Tensor, "*e s dim"]) -> tuple[Float[Tensor, "*e s k"], Float[Tensor, "*e dim k"]]:
    """Coordinates along orthonormal axes, ``k = min(s, dim)``, in which ``xᵀ x`` is nearly diagonal; no digit is lost."""
    if x.shape[-2] > x.shape[-1]:
        axes = _principal_axes(x)
    else:
        span, triangle = torch.linalg.qr(x.mT)
        axes = span @ _principal_axes(triangle.mT)
    return x @ axes, axes


def _principal_axes(centred: Tensor) -> Tensor:
    """Directions in which the Hessian is nearly diagonal, so that its diagonal is a good guess of it."""
    axes: Tensor = torch.linalg.eigh(centred.mT @ centred)[1]
    return axes


def _square_root(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Rows with these inner products, up to rounding, and whether there are none: Cholesky, of singular matrices too."""
    size, eye = gram.shape[-1], torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    root, failed = torch.linalg.cholesky_ex(gram + (size * torch.finfo(gram.dtype).eps * trace + 1e-100) * eye)
    return root, failed
