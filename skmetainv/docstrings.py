"""The signature and the docstring of a class with the parameters that it inherits."""

from __future__ import annotations

import re
from inspect import Parameter, Signature, cleandoc, get_annotations, signature

_TITLE = "Parameters\n----------\n"


def own_first(cls: type) -> Signature:
    """Return the constructor's signature, with inherited keyword-only parameters last."""
    depth: dict[str, int] = {}
    for k, base in enumerate(cls.__mro__):
        depth = dict.fromkeys(get_annotations(base), k) | depth
    generated = signature(vars(cls)["__init__"])
    named = [p for p in generated.parameters.values() if p.kind is Parameter.KEYWORD_ONLY]
    others = [p for p in generated.parameters.values() if p.kind is not Parameter.KEYWORD_ONLY]
    return generated.replace(parameters=[*others, *sorted(named, key=lambda p: depth[p.name])])


def with_inherited_parameters(cls: type) -> str:
    """Return the docstring of a class with the entries of its inherited parameters."""
    before, entries, after = parameter_entries(cls.__doc__)
    inherited: dict[str, str] = {}
    for base in cls.__mro__[1:]:
        inherited = parameter_entries(base.__doc__)[1] | inherited
    known = inherited | entries
    ordered = {name: known[name] for name in signature(cls).parameters if name in known}
    listed = dict.fromkeys((ordered | entries).values())  # one entry may have several names
    parts = [before, _TITLE + "\n".join(listed) if listed else "", after]
    return "\n\n".join(part for part in parts if part)


def parameter_entries(docstring: str | None) -> tuple[str, dict[str, str], str]:
    """Return a docstring's entries of parameters, and the text before and after them."""
    sections = re.split(r"\n\n(?=\S.*\n---)", cleandoc(docstring or ""))
    own = [section for section in sections[1:] if section.startswith(_TITLE)]
    after = [section for section in sections[1:] if not section.startswith(_TITLE)]
    entries: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", "".join(own).removeprefix(_TITLE)) if own else ():
        names, _, _ = entry.partition(" :")
        entries |= dict.fromkeys(names.split(", "), entry)
    return sections[0], entries, "\n\n".join(after)
