"""Docstrings of all public names keep numpydoc's rules, and the API page lists all of them."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
from numpydoc.validate import validate

from skmetainv import display, io, testing
from skmetainv.parameters import ParameterObject, public_subclasses

#: Rules that the house does not have: sections that may be missing (see also, extended summary,
#: examples of methods, returns of short methods), quotes on the last line, and named results. The
#: parameters of methods that override others are described there.
EXCEPTIONS = {"SA01", "ES01", "EX01", "RT01", "GL02", "RT02", "PR01"}
PAGE = Path(__file__).parents[1] / "docs" / "api.md"
LISTED = re.findall(r"^    ([A-Za-z_][\w.]*)$", PAGE.read_text(), re.MULTILINE)


def with_members(name):
    """Return a public name and, if it is a class, the names of its own public members."""
    module, _, attribute = f"skmetainv.{name}".rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    kinds = (property, classmethod, staticmethod)
    members = [
        member
        for member, value in (vars(found) if inspect.isclass(found) else {}).items()
        if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, kinds))
    ]
    return [f"skmetainv.{name}", *(f"skmetainv.{name}.{member}" for member in members)]


@pytest.mark.parametrize("name", LISTED)
def test_docstrings_keep_numpydoc_s_rules(name):
    for documented in with_members(name):
        errors = [e for e in validate(documented)["errors"] if e[0] not in EXCEPTIONS]
        assert not errors, documented


def test_the_page_lists_every_class_with_parameters():
    listed = {name.rpartition(".")[2] for name in LISTED}
    assert {cls.__name__ for cls in public_subclasses(ParameterObject)} <= listed


@pytest.mark.parametrize("package", [display, io, testing])
def test_the_page_lists_all_of_a_package(package):
    own = package.__name__.removeprefix("skmetainv.")
    documented = [name for name in package.__all__ if callable(getattr(package, name))]
    assert {f"{own}.{name}" for name in documented} <= set(LISTED)
