"""The page of a class in the docs, to which the HTML diagrams of estimators link."""

from __future__ import annotations

import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata


def page_of(cls: type) -> str:
    """Return the address of a class's page in the docs.

    It is empty for a class that is not public in this library, and if the package does not say
    where its docs are: it reads their address from its own metadata (``Documentation`` in
    ``project.urls`` of ``pyproject.toml``).
    """
    address, name = _address_of_docs(), _public_name(cls)
    return f"{address}/generated/{name}.html" if address and name else ""


def _public_name(cls: type) -> str:
    """Return the name under which the reference lists a class; empty if it is not public."""
    package, *inner = cls.__module__.split(".")
    if package == "skmetainv":
        for module in (package, ".".join([package, *inner[:1]])):
            if getattr(sys.modules[module], cls.__name__, None) is cls:
                return f"{module}.{cls.__name__}"
    return ""


@cache
def _address_of_docs() -> str:
    """Return the address of the docs without a slash at its end; empty if unknown."""
    try:
        urls: list[str] = metadata("skmetainv").get_all("Project-URL") or []
    except PackageNotFoundError:  # a copy of the source that is not installed
        return ""
    by_label: dict[str, str] = dict(url.split(", ", 1) for url in urls)
    return by_label.get("Documentation", "").rstrip("/")
