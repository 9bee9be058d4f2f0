"""Hyper-parameters: scikit-learn's declarative checks, and what to write where one fails.

The checks are private there (`sklearn.utils._param_validation`), unchanged since 1.2, and used by
many libraries; should they move, only this module does.
"""

from __future__ import annotations

import re
import reprlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter, Signature, cleandoc, get_annotations, signature
from numbers import Integral
from typing import Any, ClassVar, Self, TypeVar, dataclass_transform

from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    InvalidParameterError,
    validate_parameter_constraints,
)
from sklearn.utils._param_validation import StrOptions as _StrOptions

__all__ = [
    "Function",
    "HasMethods",
    "Interval",
    "InvalidParameterError",
    "ParameterObject",
    "StrOptions",
    "advice",
    "check_built",
    "check_parameter",
    "comes_from",
    "described",
    "height_and_width",
    "integers",
    "is_function",
    "is_importable",
    "is_integer",
    "unfrozen",
]


Kind = TypeVar("Kind")

_TITLE = "Parameters\n----------\n"


class StrOptions(_StrOptions):
    """A set of strings, which errors list in alphabetical order.

    Parameters
    ----------
    options : iterable of str
        The strings.
    aliases : mapping of str to str, default=None
        Other words for some of them, in small letters. They are refused, and the error says which
        option to write.
    """

    def __init__(self, options: Iterable[str], aliases: Mapping[str, str] | None = None):
        super().__init__(set(options))
        self.words = {_plain(word): option for word, option in (aliases or {}).items()}
        self.words |= {_plain(option): option for option in self.options}

    def __str__(self) -> str:
        return f"a str among {{{', '.join(repr(option) for option in sorted(self.options))}}}"

    def instead_of(self, value: Any) -> str | None:
        """Return the option that a word stands for, as code; None if there is none."""
        option = self.words.get(_plain(value)) if isinstance(value, str) else None
        return None if option is None else repr(option)


class Function(HasMethods):
    """Anything that can be called but a parameter object, which is never meant as a function."""

    def __init__(self) -> None:
        super().__init__("__call__")

    def __str__(self) -> str:
        return "a callable"

    def is_satisfied_by(self, value: Any) -> bool:
        """Whether `value` is such a function."""
        return is_function(value)


@dataclass_transform(eq_default=False)
class ParameterObject(BaseEstimator):
    """Hyper-parameters with scikit-learn's `get_params`, `clone` and `repr`, and better errors.

    A subclass declares its parameters as the fields of a dataclass, which it becomes: annotated
    names with their defaults. So the constructor stores them and does nothing else, as scikit-learn
    asks. The parameters after ``_: KW_ONLY`` are given by name. The docstring is completed by the
    entries of the parameters that the class inherits. A subclass may also write its constructor
    out; its own subclasses then do so, too. A subclass that writes `build` returns from it an
    object of the kind that its base class names: another one is an error, wherever `build` is
    called.

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
            cls.__init__.__signature__ = _own_first(cls)  # type: ignore[attr-defined]
        cls.__doc__ = docstring  # a dataclass without one writes its signature there
        if docstring is not None:
            cls.__doc__ = _with_inherited_parameters(cls)
        if "build" in vars(cls):
            setattr(cls, "build", _examined(vars(cls)["build"]))  # noqa: B010

    @classmethod
    def instead_of(cls, value: Any) -> str | None:
        """Return what to write instead of `value`, as code; None if nothing is known.

        `value` was given where such an object is asked for. A subclass names its adapters.
        """
        return None

    def set_params(self, **params: Any) -> Self:
        """Set parameters; those of a parameter that is an object, as ``part__parameter``.

        Parameters
        ----------
        **params : dict
            Values by name.

        Returns
        -------
        self : object
            Itself.

        Raises
        ------
        ValueError
            If a name is unknown, or if a part is None, a number or a string, which have none.
        """
        own = self.get_params(deep=False)
        for name in params:
            part, _, inner = name.partition("__")
            value = params.get(part, own.get(part))
            if inner and part in own and not hasattr(value, "set_params"):
                raise ValueError(
                    f"The {part!r} parameter of {type(self).__name__} is {value!r}, which has no "
                    f"parameter {inner!r} to set. {self._parts_with(part, inner)}"
                )
        super().set_params(**params)
        return self

    def _examine(self, built: Any) -> Any:
        """Return what `build` gave, or raise: a base class says which mistakes it looks for."""
        return built

    def _parts_with(self, part: str, inner: str) -> str:
        """Return which objects to set first, such that `part` has the parameter `inner`."""
        first = inner.partition("__")[0]
        names = sorted(
            kind.__name__
            for base in _kinds(self._parameter_constraints.get(part))
            for kind in (*_public_subclasses(base), *([] if base.__subclasses__() else [base]))
            if first in kind._get_param_names()
        )
        if not names:
            return "Set an object that has it first."
        others = f", or {', '.join(names[1:])}" if names[1:] else ""
        return f"Set an object that has it first: {part}={names[0]}({first}=...){others}."

    def _validate_params(self) -> None:
        """Check the parameters one by one, and add to an error what to write instead."""
        owner, constraints = type(self).__name__, self._parameter_constraints
        for name, value in self.get_params(deep=False).items():
            if name in constraints:
                check_parameter(name, value, constraints[name], owner, self._elsewhere)

    def _elsewhere(self, value: Any) -> str:
        """Return which parameter takes a value that was given as another one."""
        for name, constraints in self._parameter_constraints.items():
            if any(isinstance(value, kind) for kind in _kinds(constraints)):
                return f" Write {name}={type(value).__name__}(...)."
        return ""


def check_parameter(
    name: str,
    value: Any,
    constraints: list[Any],
    owner: str,
    elsewhere: Callable[[Any], str] | None = None,
) -> None:
    """Raise unless a parameter is among what it takes, and say what to write instead.

    Parameters
    ----------
    name : str
        The parameter.
    value : object
        What was given.
    constraints : list
        What it takes, as scikit-learn declares it.
    owner : str
        Whose parameter it is.
    elsewhere : callable, default=None
        Gives what to write of a value of which the constraints know nothing.

    Raises
    ------
    ValueError
        If the value is not among them.
    """
    try:
        validate_parameter_constraints({name: constraints}, {name: value}, caller_name=owner)
    except InvalidParameterError as error:
        hint = advice(constraints, value, name) or (elsewhere(value) if elsewhere else "")
        raise InvalidParameterError(f"{error}{hint}") from None


def is_function(value: Any) -> bool:
    """Whether something can be called, and is no parameter object, of which some can."""
    return callable(value) and not isinstance(value, ParameterObject)


def unfrozen(value: Any) -> Any:
    """Return what a `FrozenEstimator` holds; anything else as it is."""
    while isinstance(value, FrozenEstimator):
        value = value.estimator
    return value


def is_integer(value: Any, least: int) -> bool:
    """Whether something is an integer of at least `least`; True and False are none."""
    return not isinstance(value, bool) and isinstance(value, Integral) and int(value) >= least


def integers(value: Any, *lengths: int, least: int = 1) -> tuple[int, ...] | None:
    """Return a tuple or a list of integers.

    Parameters
    ----------
    value : object
        What was given.
    *lengths : int
        How many there may be.
    least : int, default=1
        The least that each may be.

    Returns
    -------
    integers : tuple of int
        None if `value` is something else.
    """
    if not isinstance(value, tuple | list) or len(value) not in lengths:
        return None
    return tuple(map(int, value)) if all(is_integer(n, least) for n in value) else None


def height_and_width(value: Any) -> tuple[int, ...] | None:
    """Return two positive integers, of which one alone stands for both; None of anything else."""
    return integers(value if isinstance(value, tuple | list) else (value, value), 2)


def advice(constraints: Sequence[Any], value: Any, name: str = "") -> str:
    """Return what to write instead of a value that a parameter does not take.

    Parameters
    ----------
    constraints : sequence
        What it takes. Those that have `instead_of` are asked: `ParameterObject` and `StrOptions`.
    value : object
        What was given.
    name : str, default=""
        The parameter.

    Returns
    -------
    advice : str
        A sentence, with a space before it; empty if nothing is known.
    """
    line = None
    if isinstance(value, type) and issubclass(value, tuple(_kinds(constraints))):
        line = f"{value.__name__}(), an instance of the class"
    for constraint in constraints:
        if line is None and hasattr(constraint, "instead_of"):
            line = constraint.instead_of(value)
    return "" if line is None else f" Write {name}{'=' if name else ''}{line}."


def is_importable(kind: type) -> bool:
    """Whether a class is found by its name, as those that a function made are not."""
    return getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is kind


def comes_from(value: Any, package: str) -> bool:
    """Whether an object is of a class of `package`, or of a subclass of one."""
    return any(kind.__module__.partition(".")[0] == package for kind in type(value).__mro__)


def described(value: Any) -> str:
    """Return a value as errors show it: of an array or a tensor shape and type, no numbers."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"shape {tuple(value.shape)}, {value.dtype}"
    return reprlib.repr(value)


def _is_generated(cls: type[ParameterObject]) -> bool:
    """Return whether the constructor of a class is made of its fields.

    Raises
    ------
    TypeError
        If the class declares fields, but inherits a constructor that is written out.
    """
    owner = next(base for base in cls.__mro__ if "__init__" in vars(base))
    if owner is object or "__dataclass_fields__" in vars(owner):
        return True
    fields = _fields(cls)
    if fields and owner is not cls:
        raise TypeError(
            f"{cls.__name__} declares the parameters {', '.join(fields)}, but the constructor of "
            f"{owner.__name__} is written out: write that of {cls.__name__}, too."
        )
    return False


def _fields(cls: type[ParameterObject]) -> list[str]:
    """Return the parameters that a class itself declares."""
    return [name for name, kind in get_annotations(cls).items() if "ClassVar" not in str(kind)]


def _refuse_mutable_defaults(cls: type[ParameterObject]) -> None:
    """Raise if all objects of a class would share a default that can be changed.

    Raises
    ------
    TypeError
        If a default is a list or an array, say.
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
    """Return a `build` whose result is looked at, see `ParameterObject._examine`."""

    @wraps(build)
    def examined(self: ParameterObject, *args: Any, **kwargs: Any) -> Any:
        return self._examine(build(self, *args, **kwargs))

    return examined


def check_built(owner: object, built: Any, kind: type[Kind], instead: str) -> Kind:
    """Return what `build` gave, unless it is of another kind, or a module that was never set up.

    Parameters
    ----------
    owner : object
        Whose `build` it is.
    built : object
        What it gave.
    kind : type
        The class of modules that it should give.
    instead : str
        What to write, the end of the error.

    Returns
    -------
    built : kind
        The same object.

    Raises
    ------
    TypeError
        If it is of another kind, or its constructor did not call that of `kind`.
    """
    name = type(owner).__name__
    if not isinstance(built, kind):
        raise TypeError(
            f"{name}.build must return an instance of {kind.__name__}. Got {described(built)} "
            f"instead. {instead}"
        )
    if "_parameters" not in vars(built):
        raise TypeError(
            f"The constructor of {type(built).__name__}, which {name}.build returns, must call "
            f"super().__init__(...), that of {kind.__name__}, first."
        )
    return built


def _own_first(cls: type[ParameterObject]) -> Signature:
    """Return the constructor's signature, with inherited keywords after those of the class."""
    depth: dict[str, int] = {}
    for k, base in enumerate(cls.__mro__):
        depth = dict.fromkeys(get_annotations(base), k) | depth
    generated = signature(cls.__init__)
    named = [p for p in generated.parameters.values() if p.kind is Parameter.KEYWORD_ONLY]
    others = [p for p in generated.parameters.values() if p.kind is not Parameter.KEYWORD_ONLY]
    return generated.replace(parameters=[*others, *sorted(named, key=lambda p: depth[p.name])])


def _with_inherited_parameters(cls: type[ParameterObject]) -> str:
    """Return the docstring of a class, with the entries of parameters that it inherits."""
    before, entries, after = _parameter_entries(cls.__doc__)
    inherited: dict[str, str] = {}
    for base in cls.__mro__[1:]:
        inherited = _parameter_entries(base.__doc__)[1] | inherited
    known = inherited | entries
    ordered = {name: known[name] for name in signature(cls).parameters if name in known}
    told = dict.fromkeys((ordered | entries).values())  # one entry may have several names
    parts = [before, _TITLE + "\n".join(told) if told else "", after]
    return "\n\n".join(part for part in parts if part)


def _parameter_entries(docstring: str | None) -> tuple[str, dict[str, str], str]:
    """Return what a docstring says of each parameter, and what stands before and after that."""
    sections = re.split(r"\n\n(?=\S.*\n---)", cleandoc(docstring or ""))
    own = [section for section in sections[1:] if section.startswith(_TITLE)]
    after = [section for section in sections[1:] if not section.startswith(_TITLE)]
    entries: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", "".join(own).removeprefix(_TITLE)) if own else ():
        names, _, _ = entry.partition(" :")
        entries |= dict.fromkeys(names.split(", "), entry)
    return sections[0], entries, "\n\n".join(after)


def _kinds(constraints: Any) -> list[type[ParameterObject]]:
    """Return the classes of parameter objects among what a parameter takes."""
    listed = constraints if isinstance(constraints, list) else []
    return [c for c in listed if isinstance(c, type) and issubclass(c, ParameterObject)]


def _public_subclasses(kind: type[ParameterObject]) -> Iterator[type[ParameterObject]]:
    """Iterate over what this library offers of a kind."""
    for subclass in kind.__subclasses__():
        ours = subclass.__module__.startswith("skmetainv.") and is_importable(subclass)
        if ours and not subclass.__name__.startswith("_"):
            yield subclass
        yield from _public_subclasses(subclass)


def _plain(word: str) -> str:
    """Return a word without capitals, spaces and signs."""
    return re.sub(r"[^a-z0-9]", "", word.lower())
