"""Parameter objects: constructors only store, and docstrings list all parameters."""

import importlib
import inspect
import pkgutil
from dataclasses import KW_ONLY

import pytest
from sklearn.base import clone

import skmetainv
from skmetainv.docstrings import parameter_entries
from skmetainv.parameters import COUNT, Interval, ParameterObject, check_parameter


def public_classes():
    """All parameter objects that users can import from the library's packages."""
    packages = [skmetainv] + [
        importlib.import_module(f"skmetainv.{module.name}")
        for module in pkgutil.iter_modules(skmetainv.__path__)
    ]
    found = {
        value
        for package in packages
        for name, value in vars(package).items()
        if not name.startswith("_") and inspect.isclass(value)
    }
    own = {kind for kind in found if issubclass(kind, ParameterObject)}
    return sorted(own, key=lambda kind: kind.__name__)


every_class = pytest.mark.parametrize("kind", public_classes(), ids=lambda kind: kind.__name__)


class Part(ParameterObject):
    """A part.

    Parameters
    ----------
    size : int, default=3
        Its size.
    name : str, default="a"
        Its name.

    Notes
    -----
    None.
    """

    size: int = 3
    _: KW_ONLY
    name: str = "a"


class Larger(Part):
    """A larger part.

    Parameters
    ----------
    weight : float, default=1.0
        Its weight.
    """

    _: KW_ONLY
    weight: float = 1.0


class Other(Part):
    """Writes out its constructor, as scikit-learn's estimators do."""

    def __init__(self, depth=2):
        self.depth = depth


def test_a_constructor_stores_its_parameters():
    part = Larger(4, name="b")
    assert part.get_params() == {"size": 4, "name": "b", "weight": 1.0}
    assert repr(clone(part)) == "Larger(name='b', size=4)"
    assert list(inspect.signature(Larger).parameters) == ["size", "weight", "name"]
    with pytest.raises(TypeError, match="positional"):
        Larger(4, 1.0)
    assert part != Larger(4, name="b")  # compared by identity, like all estimators


def test_a_constructor_may_be_written_out():
    assert Other(depth=1).get_params() == {"depth": 1}

    class Same(Other):
        pass

    assert Same(1).get_params() == {"depth": 1}
    assert Same.__doc__ is None  # so help() shows the docstring of the base class
    with pytest.raises(
        TypeError, match=r"More declares the parameters width, but Other defines __init__"
    ):

        class More(Other):
            width: int = 1


@pytest.mark.parametrize(
    "use", [repr, clone, lambda part: part.get_params(), lambda part: part.build()]
)
def test_a_constructor_that_does_not_store_a_parameter_is_an_error(use):
    class Forgetful(Part):
        def __init__(self, depth=2):
            self._depth = depth

        def build(self):
            return self._depth

    text = "constructor of Forgetful must store its parameter 'depth'. Write self.depth = depth"
    with pytest.raises(AttributeError, match=text):
        use(Forgetful())


def test_a_part_that_is_none_says_which_object_has_a_parameter():
    est = skmetainv.UNetReconstructor()
    with pytest.raises(ValueError, match=r"early_stopping=EarlyStopping\(patience=\.\.\.\)"):
        est.set_params(early_stopping__patience=3)
    with pytest.raises(ValueError, match=r"optimizer=Adam\(schedule=.*AdamW.*SGD"):
        est.set_params(optimizer__schedule="constant")


def test_docstrings_are_completed_by_those_of_base_classes():
    before, entries, after = parameter_entries(Larger.__doc__)
    assert before == "A larger part."
    assert list(entries) == ["size", "weight", "name"]  # in the signature's order
    assert entries["name"] == 'name : str, default="a"\n    Its name.'
    assert after == ""
    assert parameter_entries(Part.__doc__)[2] == "Notes\n-----\nNone."
    assert Part.__doc__.endswith("    Its name.\n\nNotes\n-----\nNone.")
    assert "Parameters" not in Other.__doc__


@every_class
def test_every_parameter_is_documented_and_nothing_else(kind):
    _, entries, _ = parameter_entries(kind.__doc__)
    assert set(entries) == set(inspect.signature(kind).parameters)


@every_class
def test_documented_defaults_are_the_defaults(kind):
    _, entries, _ = parameter_entries(kind.__doc__)
    for name, parameter in inspect.signature(kind).parameters.items():
        head = entries[name].replace("\\\n", "").partition("\n")[0]
        names, _, default = head.partition(", default=")
        if parameter.default is inspect.Parameter.empty:
            assert not default
            continue
        place = names.partition(" :")[0].split(", ").index(name)
        told = eval(f"({default},)", {"__builtins__": {}})
        assert told[place if len(told) > 1 else 0] == parameter.default, name


TAKES_BOOLEANS = {"boolean", "verbose"}


@every_class
def test_no_number_is_a_boolean(kind):
    """In Python, True is an integer, and GridSearchCV might take it for 1."""
    for name, constraints in kind._parameter_constraints.items():
        is_number = any(isinstance(constraint, Interval) for constraint in constraints)
        if is_number and TAKES_BOOLEANS.isdisjoint(c for c in constraints if isinstance(c, str)):
            with pytest.raises(ValueError, match=f"The '{name}' parameter of .* Got True instead"):
                check_parameter(name, True, constraints, kind.__name__)


class Bounded(ParameterObject):
    """A part with a range."""

    size: int = 3

    _parameter_constraints = {"size": [COUNT]}

    def build(self):
        return self.size


class BoundedToo(Bounded):
    """A part whose own `build` does not call that of its base class."""

    def build(self):
        return -self.size


@pytest.mark.parametrize("kind", [Bounded, BoundedToo])
def test_every_build_checks_the_parameters(kind):
    assert abs(kind(2).build()) == 2
    with pytest.raises(ValueError, match=f"'size' parameter of {kind.__name__} must be an int"):
        kind(0).build()
