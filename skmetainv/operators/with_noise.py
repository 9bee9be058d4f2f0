"""An operator with the noise of its measurements."""

from skmetainv.noise import NOISE_CONSTRAINTS, Noise, as_noise
from skmetainv.operators.maps.base import ForwardMap, Shape
from skmetainv.operators.maps.instruments import InstrumentPool
from skmetainv.operators.operator import Operator, require_operator


class WithNoise(Operator):
    """An operator whose measurements have their own noise, ``y = A(x) + e``.

    Wherever measurements of this operator are simulated, they have its noise. An estimator with
    such an operator has ``noise=0``. A `RandomOperator` can draw noise levels.

    The linear estimate (`LinearReconstructor`, also as the start of `MetaInverseSolver`) weighs a
    measurement by its noise, if this is Gaussian and the operator is linear. So it can restore
    measurements with more or less noise than in training: ``predict(X, operator=WithNoise(blur,
    0.03))``. No other method uses the level when it restores.

    Called as a function, it adds the noise: ``WithNoise(blur, 0.03)(images, random_state=0)``. The
    noise belongs to the whole measurement. `WithNoise` therefore cannot be part of another
    operator, except of a `RandomOperator`.

    Parameters
    ----------
    operator : Operator
        The forward model ``A``.
    noise : float or Noise, default=0.0
        The noise ``e``; a number is the standard deviation of Gaussian noise, in the units of the
        measurement. For other noise than Gaussian, and for nonlinear operators, the linear estimate
        uses the variances that it learned in `fit`.

    Raises
    ------
    ValueError
        By `build`, if a parameter is out of its range, if `operator` is a `RandomOperator` or has
        its own noise, or if `WithNoise` is part of another operator. By an estimator whose `noise`
        is not 0, and by `LinearReconstructor.fit` with pairs, from which it learns the noise.

    Examples
    --------
    One estimator for several noise levels:

    >>> from scipy.stats import uniform
    >>> from skmetainv import LinearReconstructor
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.operators import GaussianBlur, RandomOperator, WithNoise
    >>> faces = load_faces()
    >>> blurs = RandomOperator(WithNoise(GaussianBlur()), {"noise": uniform(0.01, 0.1)})
    >>> est = LinearReconstructor(blurs, random_state=0).fit(faces[:80])
    >>> today = WithNoise(GaussianBlur(), 0.02)
    >>> est.score(faces[80:], operator=today) > 24
    True
    """

    operator: Operator
    noise: float | Noise = 0.0

    _parameter_constraints = {"operator": [Operator], "noise": NOISE_CONSTRAINTS}

    @property
    def has_noise(self) -> bool:
        """Whether the operator has its own noise: True."""
        return True

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        return f"WithNoise({self.operator!r}, {self.noise!r})"

    def build(self, image_shape: Shape) -> ForwardMap:
        require_operator(self.operator, "The 'operator' parameter of WithNoise")
        A = self.operator.build(image_shape)
        if isinstance(A, InstrumentPool):
            raise ValueError(
                "A RandomOperator cannot be part of WithNoise. Let it draw operators with noise, "
                f"as in RandomOperator(WithNoise(...), ...). Got {self!r}."
            )
        if A.own_noise is not None:
            raise ValueError(f"{self.operator!r} has its own noise already. Got {self!r}.")
        A.own_noise = as_noise(self.noise)
        return A
