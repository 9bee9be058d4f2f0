"""Meta-learning algorithms by name."""

from collections.abc import Callable
from functools import partial

from skmetainv.meta.algorithms import Algorithm
from skmetainv.meta.imaml import IMAML
from skmetainv.meta.maml import MAML
from skmetainv.meta.reptile import Reptile
from skmetainv.parameters import StrOptions

_SHORTHANDS: dict[str, Callable[[], Algorithm]] = {
    "maml": MAML,
    "fomaml": partial(MAML, first_order=True),
    "reptile": Reptile,
    "imaml": IMAML,
}

#: The constraints of a parameter for an algorithm.
ALGORITHM_CONSTRAINTS = [
    StrOptions(
        _SHORTHANDS,
        {"first_order_maml": "fomaml", "first-order": "fomaml", "implicit_maml": "imaml"},
    ),
    Algorithm,
]


def as_algorithm(algorithm: str | Algorithm) -> Algorithm:
    """Return an algorithm, given by name or as an `Algorithm`, after checking its parameters."""
    chosen = _SHORTHANDS[algorithm]() if isinstance(algorithm, str) else algorithm
    chosen._validate_params()
    return chosen
