"""Docstrings of all public names keep numpydoc's rules, and the reference lists all of them."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
from numpydoc.validate import validate

from skmetainv import display, io, testing
from skmetainv.parameters import ParameterObject, public_subclasses

#: Rules that scikit-learn does not have either: "See Also", an extended summary and the place of
#: the opening quotes are free, and results have names.
EXCEPTIONS = {"SA01", "ES01", "GL02", "RT02"}
#: Records, whose fields are described one by one, and modules of torch without a constructor.
WITHOUT_PARAMETERS = {
    "SolverRecord",
    "solvers.Run",
    "meta.Adaptation",
    "meta.OuterLosses",
    "io.ModelDescription",
    "denoisers.DenoiserModule",
    "representations.ImageModule",
    "meta.InnerObjective",
}
#: Their example is that of another name, which their docstring names.
WITHOUT_EXAMPLE = {
    "meta.adapt",
    "meta.Adaptation",
    "meta.meta_learn",
    "io.load",
    "io.ModelDescription",
}
PAGES = sorted((Path(__file__).parents[1] / "docs" / "reference").glob("*.md"))
LISTED = [
    name
    for page in PAGES
    for name in re.findall(r"^    ([A-Za-z_][\w.]*)$", page.read_text(), re.MULTILINE)
]


def with_members(name):
    """Return a public name and, if it is a class, the names of its own public members."""
    module, _, attribute = f"skmetainv.{name}".rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    kinds = (property, classmethod, staticmethod)
    members = [
        member
        for member, value in (vars(found) if inspect.isclass(found) else {}).items()
        if not member.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, kinds))
        and not inherits_docstring(value, found, member)
    ]
    return [f"skmetainv.{name}", *(f"skmetainv.{name}.{member}" for member in members)]


def inherits_docstring(value, cls, member):
    """Whether a method overrides another, and has its docstring."""
    return value.__doc__ is None and bool(inspect.getdoc(getattr(cls, member)))


@pytest.mark.parametrize("name", LISTED)
def test_docstrings_keep_numpydoc_s_rules(name):
    exceptions = EXCEPTIONS | ({"PR01"} if name in WITHOUT_PARAMETERS else set())
    for documented in with_members(name):
        is_member = documented != f"skmetainv.{name}"
        free = {"EX01"} if is_member or name in WITHOUT_EXAMPLE else set()
        errors = [e for e in validate(documented)["errors"] if e[0] not in exceptions | free]
        assert not errors, documented


def test_the_reference_lists_every_class_with_parameters():
    listed = {name.rpartition(".")[2] for name in LISTED}
    assert {cls.__name__ for cls in public_subclasses(ParameterObject)} <= listed


@pytest.mark.parametrize("package", [display, io, testing])
def test_the_reference_lists_all_of_a_package(package):
    own = package.__name__.removeprefix("skmetainv.")
    documented = [name for name in package.__all__ if callable(getattr(package, name))]
    assert {f"{own}.{name}" for name in documented} <= set(LISTED)
