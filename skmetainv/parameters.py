"""Parameter objects: scikit-learn's declarative checks, with errors that suggest a correction.

The checks are private in scikit-learn (`sklearn.utils._param_validation`), but unchanged since 1.2
and used by many libraries. If they move, only this module must change.
"""

from __future__ import annotations

import re
import reprlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from inspect import get_annotations, signature
from numbers import Integral, Real
from typing import Any, ClassVar, Self, TypeVar, dataclass_transform

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import HasMethods as HasMethods
from sklearn.utils._param_validation import Interval as _Interval
from sklearn.utils._param_validation import InvalidParameterError as InvalidParameterError
from sklearn.utils._param_validation import StrOptions as _StrOptions
from sklearn.utils._param_validation import validate_parameter_constraints

from skmetainv.docstrings import with_inherited_last, with_inherited_parameters
from skmetainv.pages import page_of

Module = TypeVar("Module")


class Interval(_Interval):
    """A constraint that allows the numbers in an interval, but no booleans.

    Examples
    --------
    >>> from numbers import Integral
    >>> from skmetainv.parameters import Interval
    >>> counts = Interval(Integral, 1, None, closed="left")
    >>> counts.is_satisfied_by(1), counts.is_satisfied_by(True)
    (True, False)
    """

    def is_satisfied_by(self, val: Any) -> bool:
        """Whether `val` is a number of Python or NumPy in the interval."""
        is_number = isinstance(val, int | float | np.integer | np.floating)
        is_other = isinstance(val, bool | np.longdouble)  # torch has no longdouble
        return is_number and not is_other and bool(super().is_satisfied_by(val))


#: Constraints of parameters: an integer of at least 1, and real numbers. Single precision ends at
#: 3e38; a multiple and the inverse of a parameter must be within it.
COUNT = Interval(Integral, 1, None, closed="left")
POSITIVE = Interval(Real, 1e-30, 1e30, closed="both")
NOT_NEGATIVE = Interval(Real, 0, 1e30, closed="both")
FINITE = Interval(Real, -1e30, 1e30, closed="both")


class StrOptions(_StrOptions):
    """A constraint that allows certain strings; errors list them in alphabetical order.

    Parameters
    ----------
    options : iterable of str
        The strings.
    aliases : mapping of str to str, default=None
        Other words for some of the options, in lower case. They raise an error that names the
        option to use instead.

    Examples
    --------
    >>> from skmetainv.parameters import StrOptions
    >>> schedules = StrOptions({"constant", "cosine"}, aliases={"cos": "cosine"})
    >>> print(schedules)
    a str among {'constant', 'cosine'}
    >>> print(schedules.instead_of("Cos"))
    'cosine'
    """

    def __init__(self, options: Iterable[str], aliases: Mapping[str, str] | None = None):
        super().__init__(set(options))
        self.words = {_plain(word): option for word, option in (aliases or {}).items()}
        self.words |= {_plain(option): option for option in self.options}

    def __str__(self) -> str:
        return f"a str among {{{', '.join(repr(option) for option in sorted(self.options))}}}"

    def instead_of(self, value: Any) -> str | None:
        """Return the option that `value` means, as code; None if it means none.

        `value` may be an alias, or an option in another spelling.
        """
        option = self.words.get(_plain(value)) if isinstance(value, str) else None
        return None if option is None else repr(option)


class Function(HasMethods):
    """Any callable except a parameter object, which is never meant as a function.

    Examples
    --------
    >>> from skmetainv.operators import Identity
    >>> from skmetainv.parameters import Function
    >>> callable(Identity()), Function().is_satisfied_by(Identity())
    (True, False)
    """

    def __init__(self) -> None:
        super().__init__("__call__")

    def __str__(self) -> str:
        return "a callable"

    def is_satisfied_by(self, value: Any) -> bool:
        """Whether `value` is a callable, but not a parameter object."""
        return is_function(value)


@dataclass_transform(eq_default=False)
class ParameterObject(BaseEstimator):
    """Hyper-parameters with scikit-learn's `get_params`, `clone` and `repr`, and better errors.

    A subclass declares its parameters as annotated names with defaults, and becomes a dataclass. So
    its constructor only stores them, as scikit-learn requires. Parameters after ``_: KW_ONLY`` are
    keyword-only. The entries of inherited parameters are added to the docstring. If a class defines
    its constructor explicitly, its subclasses that declare parameters must define theirs, too. If a
    subclass defines `build`, every call of `build` first checks the parameters. It then checks
    that the result has the type that the base class requires.

    Examples
    --------
    >>> from skmetainv.parameters import ParameterObject
    >>> class Sensor(ParameterObject):
    ...     gain: float = 1.0
    >>> Sensor(2.0).get_params()
    {'gain': 2.0}
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        docstring = cls.__doc__
        if _is_generated(cls):
            _refuse_mutable_defaults(cls)
            dataclass(repr=False, eq=False)(cls)
            cls.__init__.__signature__ = with_inherited_last(cls)  # type: ignore[attr-defined]
        cls.__doc__ = docstring  # a dataclass without one writes its signature there
        if docstring is not None:
            cls.__doc__ = with_inherited_parameters(cls)
        if "build" in vars(cls):
            setattr(cls, "build", _examined(vars(cls)["build"]))  # noqa: B010

    @classmethod
    def instead_of(cls, value: Any) -> str | None:
        """Return the code to write instead of `value`; None if unknown.

        Subclasses suggest their adapters.

        Parameters
        ----------
        value : object
            What was passed where an object of this class is expected.

        Returns
        -------
        code : str or None
            The code, for the error message.
        """
        return None

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name.

        Parameters
        ----------
        deep : bool, default=True
            Whether to add the parameters of parts, named ``part__parameter``.

        Returns
        -------
        params : dict of str to object
            The parameters.

        Raises
        ------
        AttributeError
            If the constructor is written explicitly, and does not store a parameter.
        """
        for name in self._get_param_names():
            if not hasattr(self, name):
                raise AttributeError(
                    f"The constructor of {type(self).__name__} must store its parameter {name!r}. "
                    f"Write self.{name} = {name}."
                )
        params: dict[str, Any] = super().get_params(deep)
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters; nested ones as ``part__parameter``.

        Parameters
        ----------
        **params : dict
            Values by name.

        Returns
        -------
        self : object
            The object.

        Raises
        ------
        ValueError
            If a name is unknown, or if a nested name refers to a part without parameters, such as
            None, a number or a string.
        """
        current = self.get_params(deep=False)
        for name in params:
            part, _, inner = name.partition("__")
            value = params.get(part, current.get(part))
            if inner and part in current and not hasattr(value, "set_params"):
                raise ValueError(
                    f"The {part!r} parameter of {type(self).__name__} is {value!r}, which has no "
                    f"parameter {inner!r} to set. {self._parts_with(part, inner)}"
                )
        super().set_params(**params)
        return self

    def _get_doc_link(self) -> str:
        """Return the address to which scikit-learn's HTML diagram links."""
        return page_of(type(self))

    def _with_plain_numbers(self) -> Self:
        """Return the object itself, or a copy in which NumPy's scalars are Python's numbers.

        NumPy's integers have a fixed number of bits, and overflow.
        """
        parameters = self.get_params(deep=False)
        plain = {n: v.item() for n, v in parameters.items() if isinstance(v, np.generic)}
        if not plain:
            return self
        copy = self.__new__(type(self))
        vars(copy).update(vars(self), **plain)
        return copy

    def _examine(self, built: Any) -> Any:
        """Return the result of `build`, or raise; base classes define the checks."""
        return built

    def _parts_with(self, part: str, inner: str) -> str:
        """Return a sentence that names the classes of `part` that have a parameter `inner`."""
        first = inner.partition("__")[0]
        names = sorted(
            cls.__name__
            for base in _classes(self._parameter_constraints.get(part))
            for cls in (*public_subclasses(base), *([] if base.__subclasses__() else [base]))
            if first in cls._get_param_names()
        )
        if not names:
            return "Set an object that has it first."
        others = f", or {', '.join(names[1:])}" if names[1:] else ""
        return f"Set an object that has it first: {part}={names[0]}({first}=...){others}."

    def _validate_params(self) -> None:
        """Check the parameters, and those of the parts; add a suggestion to the error."""
        owner, constraints = type(self).__name__, self._parameter_constraints
        for name, value in self.get_params(deep=False).items():
            if name in constraints:
                check_parameter(name, value, constraints[name], owner, self._elsewhere)
            for part in value if isinstance(value, list | tuple) else [value]:
                inner = unfrozen(part)
                if isinstance(inner, ParameterObject):
                    inner._validate_params()

    def _elsewhere(self, value: Any) -> str:
        """Return a sentence that names the parameter to which a misplaced value belongs."""
        for name, constraints in self._parameter_constraints.items():
            if isinstance(value, tuple(_classes(constraints))):
                return f" Write {name}={type(value).__name__}(...)."
        return ""


def check_parameter(
    name: str,
    value: Any,
    constraints: list[Any],
    owner: str,
    elsewhere: Callable[[Any], str] | None = None,
) -> None:
    """Raise if a parameter meets none of its constraints, and suggest a correction.

    Parameters
    ----------
    name : str
        Name of the parameter.
    value : object
        Its value.
    constraints : list
        Constraints in scikit-learn's form.
    owner : str
        Name of the class or function that has the parameter.
    elsewhere : callable, default=None
        Returns a suggestion for the value. It is called if the constraints suggest nothing.

    Raises
    ------
    ValueError
        If the value meets none of the constraints.
    """
    try:
        validate_parameter_constraints({name: constraints}, {name: value}, caller_name=owner)
    except InvalidParameterError as error:
        hint = advice(constraints, value, name) or (elsewhere(value) if elsewhere else "")
        raise InvalidParameterError(f"{error}{hint}") from None


def is_function(value: Any) -> bool:
    """Whether a value is callable, but not a parameter object (some of which are callable)."""
    return callable(value) and not isinstance(value, ParameterObject)


def unfrozen(value: Any) -> Any:
    """Return the estimator inside a `FrozenEstimator`; any other value unchanged."""
    while isinstance(value, FrozenEstimator):
        value = value.estimator
    return value


def fill_in(estimator: BaseEstimator, values: Mapping[str, Any]) -> None:
    """Set the parameters of a nested estimator that still have their default values.

    Parameters
    ----------
    estimator : BaseEstimator
        The nested estimator, changed in place. Parameters with other values stay as they are.
    values : mapping of str to object
        The values of the outer estimator, by name. Names that `estimator` lacks are ignored.
    """
    defaults = signature(type(estimator)).parameters
    current = estimator.get_params(deep=False)
    at_default = {name for name, v in current.items() if _is_default(v, defaults[name].default)}
    estimator.set_params(**{name: v for name, v in values.items() if name in at_default})


def _is_default(value: Any, default: Any) -> bool:
    """Whether a value is the default: the same object, or an equal string or number."""
    return value is default or (isinstance(value, str | int | float) and value == default)


def is_integer(value: Any, least: int) -> bool:
    """Whether a value is an integer of at least `least`; booleans do not count."""
    return not isinstance(value, bool) and isinstance(value, Integral) and int(value) >= least


def integers(value: Any, *lengths: int, least: int = 1) -> tuple[int, ...] | None:
    """Return a value as a tuple of integers if it is a tuple or a list of integers.

    Parameters
    ----------
    value : object
        The value.
    *lengths : int
        Allowed lengths.
    least : int, default=1
        Smallest allowed integer.

    Returns
    -------
    integers : tuple of int
        None for any other value.
    """
    if not isinstance(value, tuple | list) or len(value) not in lengths:
        return None
    return tuple(map(int, value)) if all(is_integer(n, least) for n in value) else None


def increasing_pair(value: Any) -> tuple[float, float] | None:
    """Return two finite numbers (low, high) with low < high; None for any other value."""
    listed = isinstance(value, tuple | list) and len(value) == 2
    if not listed or not all(map(FINITE.is_satisfied_by, value)):
        return None
    low, high = map(float, value)
    return (low, high) if POSITIVE.is_satisfied_by(high - low) else None


def height_and_width(value: Any) -> tuple[int, ...] | None:
    """Return two positive integers; one integer is used for both. None for any other value."""
    return integers(value if isinstance(value, tuple | list) else (value, value), 2)


def advice(constraints: Sequence[Any], value: Any, name: str = "") -> str:
    """Return a suggestion for an invalid value of a parameter.

    Parameters
    ----------
    constraints : sequence
        Constraints of the parameter. Those with a method `instead_of`, such as subclasses of
        `ParameterObject` and `StrOptions`, suggest corrections.
    value : object
        The invalid value.
    name : str, default=""
        Name of the parameter.

    Returns
    -------
    advice : str
        A sentence that begins with a space; empty if there is no suggestion.
    """
    line = None
    if isinstance(value, type) and issubclass(value, tuple(_classes(constraints))):
        line = f"{value.__name__}(), an instance of the class"
    for constraint in constraints:
        if line is None and hasattr(constraint, "instead_of"):
            line = constraint.instead_of(value)
    if line is None and isinstance(value, str):
        names = [c.__name__ for base in _classes(constraints) for c in public_subclasses(base)]
        line = next((f"{name}()" for name in names if _plain(name) == _plain(value)), None)
    return "" if line is None else f" Write {name}{'=' if name else ''}{line}."


def is_importable(cls: type) -> bool:
    """Whether a class can be imported by its name, unlike a class created in a function."""
    return getattr(sys.modules.get(cls.__module__), cls.__qualname__, None) is cls


def package_of(cls: type) -> str:
    """Return the first two parts of the name of a class's module, such as "skmetainv.operators"."""
    return ".".join(cls.__module__.split(".")[:2])


def comes_from(value: Any, package: str) -> bool:
    """Whether an object is an instance of a class of `package`."""
    return any(cls.__module__.partition(".")[0] == package for cls in type(value).__mro__)


def described(value: Any) -> str:
    """Return a value as text for errors; for arrays and tensors only shape and type."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"shape {tuple(value.shape)}, {value.dtype}"
    return reprlib.repr(value)


def _is_generated(cls: type[ParameterObject]) -> bool:
    """Return whether the constructor of a class is generated from its fields.

    Raises
    ------
    TypeError
        If the class declares fields, but inherits an explicit constructor.
    """
    owner = next(base for base in cls.__mro__ if "__init__" in vars(base))
    if owner is object or "__dataclass_fields__" in vars(owner):
        return True
    fields = _fields(cls)
    if fields and owner is not cls:
        raise TypeError(
            f"{cls.__name__} declares the parameters {', '.join(fields)}, but {owner.__name__} "
            f"defines __init__ explicitly: define __init__ in {cls.__name__}, too."
        )
    return False


def _fields(cls: type[ParameterObject]) -> list[str]:
    """Return the parameters that a class declares itself."""
    return [name for name, hint in get_annotations(cls).items() if "ClassVar" not in str(hint)]


def _refuse_mutable_defaults(cls: type[ParameterObject]) -> None:
    """Raise if a class has a mutable default, which all its objects would share.

    Raises
    ------
    TypeError
        If a default is mutable, such as a list or an array.
    """
    for name in _fields(cls):
        default = vars(cls).get(name)
        if default is not None and type(default).__hash__ is None:
            raise TypeError(
                f"The default of the {name!r} parameter of {cls.__name__} is a "
                f"{type(default).__name__}, which all objects would share. Write a tuple, or None "
                "and make it in `build`."
            )


def _examined(build: Callable[..., Any]) -> Callable[..., Any]:
    """Return `build` with checks of the parameters and of the result, and plain numbers."""

    @wraps(build)
    def examined(self: ParameterObject, *args: Any, **kwargs: Any) -> Any:
        self._validate_params()
        return self._examine(build(self._with_plain_numbers(), *args, **kwargs))

    return examined


def check_built(owner: object, built: Any, required: type[Module], instead: str) -> Module:
    """Return the result of `build` if it is an initialised module of the right class.

    Parameters
    ----------
    owner : object
        The object whose `build` was called.
    built : object
        The result of `build`.
    required : type
        The class that it must have.
    instead : str
        A suggestion, added to the error.

    Returns
    -------
    built : required
        The same object.

    Raises
    ------
    TypeError
        If it is no instance of `required`, or did not call the constructor of `required`.
    """
    name = type(owner).__name__
    if not isinstance(built, required):
        raise TypeError(
            f"{name}.build must return an instance of {required.__name__}. Got {described(built)} "
            f"instead. {instead}"
        )
    if "_parameters" not in vars(built):
        raise TypeError(
            f"The constructor of {type(built).__name__}, which {name}.build returns, must first "
            f"call super().__init__(...), the constructor of {required.__name__}."
        )
    return built


def _classes(constraints: Any) -> list[type[ParameterObject]]:
    """Return the classes of parameter objects among the constraints of a parameter."""
    listed = constraints if isinstance(constraints, list) else []
    return [c for c in listed if isinstance(c, type) and issubclass(c, ParameterObject)]


def public_subclasses(base: type[ParameterObject]) -> Iterator[type[ParameterObject]]:
    """Iterate over the subclasses of a class that a package of this library makes public."""
    for subclass in base.__subclasses__():
        package = package_of(subclass)
        is_public = getattr(sys.modules.get(package), subclass.__name__, None) is subclass
        if package.startswith("skmetainv.") and is_public:
            yield subclass
        yield from public_subclasses(subclass)


def _plain(word: str) -> str:
    """Return a word in lower case, without spaces and punctuation."""
    return re.sub(r"[^a-z0-9]", "", word.lower())
