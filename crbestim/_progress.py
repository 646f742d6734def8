"""Bars that show how far the parts of a call have come."""

from tqdm.auto import tqdm


def with_progress(results, sizes, name, verbose):
    """Yield the results of parts, and show the share of all parts that is done.

    Parameters
    ----------
    results : iterable
        Results of the parts, as they come.
    sizes : sequence of int
        What each part counts.
    name : str
        What is counted, shown beside the bar.
    verbose : bool or int
        Whether to show a bar.

    Yields
    ------
    object
        The result of each part.

    Examples
    --------
    >>> from crbestim._progress import with_progress
    >>> list(with_progress(["a", "b"], [2, 3], "voxels", False))
    ['a', 'b']
    """
    with tqdm(total=sum(sizes), desc=name, disable=not verbose) as bar:
        for result, size in zip(results, sizes, strict=True):
            bar.update(size)
            yield result
