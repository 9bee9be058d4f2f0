"""The faces included in scikit-image."""

import numpy as np
from skimage.data import lfw_subset


def load_faces() -> np.ndarray:
    """Return the 100 gray faces included in scikit-image.

    Returns
    -------
    faces : ndarray of shape (100, 25, 25)
        Floats in [0, 1]: the first 100 entries of `skimage.data.lfw_subset`. The other entries are
        not faces.

    References
    ----------
    Huang, Ramesh, Berg and Learned-Miller, "Labeled faces in the wild", University of
    Massachusetts, 2007.

    Examples
    --------
    >>> from skmetainv.datasets import load_faces
    >>> load_faces().shape
    (100, 25, 25)
    """
    return np.asarray(lfw_subset()[:100], dtype=np.float64)
