"""Build the docs: ``pip install -e ".[docs]" && sphinx-build docs docs/_build``.

The build runs the gallery's scripts, which takes some minutes. With
``-D plot_gallery=0`` they are shown without their output.
"""

import os
import re

# Two scripts of the gallery run at a time, each in one thread. Torch reads this at its import.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import skmetainv

project = "skmetainv"
author = "the skmetainv developers"
release = skmetainv.__version__
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
autosummary_generate = True
autodoc_typehints = "none"  # docstrings have the types, with shapes and ranges
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False  # the template of classes documents all methods
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

html_theme = "pydata_sphinx_theme"
html_title = f"skmetainv {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_context = {"default_mode": "auto"}
html_theme_options = {
    "header_links_before_dropdown": 4,
    "navigation_with_keys": False,
    "show_toc_level": 2,
}
html_sidebars = {"index": [], "start": []}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "subsection_order": [
        f"../examples/{name}" for name in ("idea", "problems", "practice", "own_parts")
    ],
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "capture_repr": (),
    "parallel": 2,
    "write_computation_times": False,
    "remove_config_comments": True,
    "show_memory": False,
    "doc_module": ("skmetainv",),
    "backreferences_dir": "generated/backreferences",
    "reference_url": {"skmetainv": None},
}


def escape_shapes(app, what, name, obj, options, lines):
    """Escape shapes such as (n, *measurement_shape_), which would be emphasis and links."""
    for i, line in enumerate(lines):
        if "``" not in line:
            lines[i] = re.sub(r", \*\w+", lambda shape: re.sub("([*_])", r"\\\1", shape[0]), line)


def setup(app):
    """Escape shapes before numpydoc reads the docstrings."""
    app.connect("autodoc-process-docstring", escape_shapes, priority=100)
