"""The signature and the docstring of a class with the parameters that it inherits."""

from __future__ import annotations

import re
from inspect import Parameter, Signature, cleandoc, get_annotations, signature

_TITLE = "Parameters\n----------\n"


def with_inherited_last(cls: type) -> Signature:
    """Return the constructor's signature, with inherited keyword-only parameters last."""
    depth: dict[str, int] = {}
    for k, base in enumerate(cls.__mro__):
        depth = dict.fromkeys(get_annotations(base), k) | depth

    def place(parameter: Parameter) -> int:
        return depth[parameter.name] if parameter.kind is Parameter.KEYWORD_ONLY else -1

    generated = signature(vars(cls)["__init__"])
    return generated.replace(parameters=sorted(generated.parameters.values(), key=place))


def with_inherited_parameters(cls: type) -> str:
    """Return the docstring of a class with the entries of its inherited parameters."""
    introduction, entries, other_sections = parameter_entries(cls.__doc__)
    entry_of = entries
    for base in cls.__mro__[1:]:
        entry_of = parameter_entries(base.__doc__)[1] | entry_of
    ordered = {name: entry_of[name] for name in signature(cls).parameters if name in entry_of}
    listed = dict.fromkeys((ordered | entries).values())  # one entry may have several names
    parts = [introduction, _TITLE + "\n".join(listed) if listed else "", other_sections]
    return "\n\n".join(part for part in parts if part)


def parameter_entries(docstring: str | None) -> tuple[str, dict[str, str], str]:
    """Split a docstring: introduction, entries of parameters by name, and all other sections."""
    sections = re.split(r"\n\n(?=\S.*\n---)", cleandoc(docstring or ""))
    of_parameters = [section for section in sections[1:] if section.startswith(_TITLE)]
    others = [section for section in sections[1:] if not section.startswith(_TITLE)]
    entries: dict[str, str] = {}
    text = "".join(of_parameters).removeprefix(_TITLE)
    for entry in re.split(r"\n(?=\S)", text) if text else ():
        names, _, _ = entry.partition(" :")
        entries |= dict.fromkeys(names.split(", "), entry)
    return sections[0], entries, "\n\n".join(others)
