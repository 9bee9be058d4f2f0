"""Build the docs: ``pip install -e ".[docs]" && sphinx-build docs docs/_build``."""

import skmetainv

project = "skmetainv"
author = "the skmetainv developers"
release = skmetainv.__version__
extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
exclude_patterns = ["_build"]
html_theme = "pydata_sphinx_theme"
autosummary_generate = True
numpydoc_class_members_toctree = False
numpydoc_show_inherited_class_members = False
myst_heading_anchors = 2
