"""Maps of images that are read block by block."""

import numpy as np

from .._progress import with_progress


def map_images(estimator, images, *, sigma=None, known=None, verbose=False):
    """Estimate the parameters of all voxels, with standard deviations.

    Signals are read in blocks, each of which goes through ``predict``: the result is the
    same bit for bit as that of all voxels at once.

    Parameters
    ----------
    estimator : estimator
        Fitted, such as an :class:`~crbestim.estimators.NLLSRegressor`.
    images : ImageSeries
        From :func:`open_images`.
    sigma : float or ndarray of shape (n_voxels,), default=None
        Noise of the images, as in ``predict``.
    known : ndarray of shape (n_voxels, n_known), default=None
        Values of the parameters that the model is given.
    verbose : bool, default=False
        Whether to show a progress bar.

    Returns
    -------
    maps, std : ndarray of shape (n_voxels, n_parameters)
        Estimates and standard deviations; NaN where there are none.

    Examples
    --------
    >>> import nibabel, numpy, tempfile
    >>> from crbestim import NLLSRegressor
    >>> from crbestim.io import map_images, open_images
    >>> from crbestim.models import MonoExponential
    >>> model = MonoExponential([0.01, 0.05, 0.1], signal="magnitude")
    >>> echoes = model.signal([[0.05, 100.0], [0.1, 90.0]]).reshape(1, 1, 2, 3)
    >>> folder = tempfile.mkdtemp()
    >>> nibabel.Nifti1Image(echoes, numpy.eye(4)).to_filename(f"{folder}/echoes.nii")
    >>> images = open_images(f"{folder}/echoes.nii")
    >>> reg = NLLSRegressor(model).fit(numpy.full((1, 3), numpy.nan))
    >>> maps, std = map_images(reg, images, sigma=1.0)
    >>> maps[:, 0].round(4), std[:, 0].round(4)
    (array([0.05, 0.1 ]), array([0.0014, 0.0033]))
    """
    return mapped_blocks(estimator, images, sigma, known, verbose)


def mapped_blocks(estimator, images, sigma, known, verbose, look=None):
    """Do what `map_images` does; `look` sees rows, signals and estimates of each block."""
    maps = std = None

    def parts():
        for rows, X in images.blocks():
            options = {"known": known[rows]} if known is not None else {}
            if sigma is not None:
                options["sigma"] = sigma if np.ndim(sigma) == 0 else sigma[rows]
            estimates, deviations = estimator.predict(X, return_std=True, **options)
            if look is not None:
                look(rows, X, estimates)
            yield rows, (estimates, deviations)

    found = with_progress(parts(), images.block_sizes(), "voxels", verbose)
    for rows, (estimates, deviations) in found:
        if maps is None:
            shape = len(images), *estimates.shape[1:]
            maps, std = np.full((2, *shape), np.nan)
        maps[rows], std[rows] = estimates, deviations
    return maps, std
