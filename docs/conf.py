"""Build the docs: ``pip install -e ".[docs]" && sphinx-build docs docs/_build``."""

import re

import skmetainv

project = "skmetainv"
author = "the skmetainv developers"
release = skmetainv.__version__
extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
exclude_patterns = ["_build"]
html_theme = "pydata_sphinx_theme"
autosummary_generate = True
templates_path = ["_templates"]
numpydoc_show_class_members = False  # the template of classes documents all methods
myst_heading_anchors = 2


def escape_shapes(app, what, name, obj, options, lines):
    """Escape shapes such as (n, *measurement_shape_), which would be emphasis and links."""
    for i, line in enumerate(lines):
        if "``" not in line:
            lines[i] = re.sub(r", \*\w+", lambda shape: re.sub("([*_])", r"\\\1", shape[0]), line)


def setup(app):
    """Escape shapes before numpydoc reads the docstrings."""
    app.connect("autodoc-process-docstring", escape_shapes, priority=100)
