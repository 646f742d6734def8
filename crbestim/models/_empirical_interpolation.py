"""Fewer pulses to simulate: empirical interpolation of a train's maps.

The maps of all pulses of a train, as functions of the tissue parameters, span a space of
a few dozen dimensions: they depend on the pulse through only two numbers, and smoothly.
Empirical interpolation (Barrault et al., C. R. Math. 2004; in its matrix form Chaturantabut
& Sorensen, SIAM J. Sci. Comput. 2010) finds that space from maps at random parameters,
chooses as many pulses as nodes, and gives the weights that turn maps at the nodes into maps
of every pulse.

 1. Project the snapshots (n_pulses, many) on random directions; their left singular
    vectors above the tolerance span the space.
 2. A QR decomposition with column pivoting of these vectors chooses the nodes.
 3. weights = U inv(U[nodes]).
"""

import numpy as np
from scipy.linalg import qr

from .._threads import one_blas_thread


@one_blas_thread
def interpolation_weights(snapshots, tolerance, random_state=0):
    """Choose nodes among the rows of `snapshots`, and weights that give all rows.

    ``values ~ weights @ values[nodes]``, also for functions that resemble the snapshots,
    (n_pulses, n_snapshots). Singular values below `tolerance` times the largest count as 0.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.models._empirical_interpolation import interpolation_weights
    >>> x = np.linspace(-1, 1, 200)
    >>> snapshots = np.exp(np.outer(x, np.linspace(-1, 1, 50)))
    >>> nodes, weights = interpolation_weights(snapshots, 1e-12)
    >>> bool(np.abs(weights @ np.sin(x[nodes]) - np.sin(x)).max() < 1e-9)
    True
    """
    n_pulses, n_snapshots = snapshots.shape
    n_directions = min(n_pulses, n_snapshots, 256)
    rng = np.random.default_rng(random_state)
    sketch = snapshots @ rng.standard_normal((n_snapshots, n_directions))
    space, size, _ = np.linalg.svd(sketch, full_matrices=False)
    space = space[:, size > tolerance * size[0]]
    _, _, order = qr(space.T, pivoting=True, mode="economic")
    nodes = np.sort(order[: space.shape[1]])
    return nodes, space @ np.linalg.inv(space[nodes])
