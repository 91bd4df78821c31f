"""Sphinx settings: MyST pages, the API from docstrings, nothing fetched."""

from importlib.metadata import version as _version

project = "Ziggurat"
author = "the Ziggurat authors"
version = release = _version("ziggurat")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "demo"]
html_theme = "furo"
html_title = f"Ziggurat {release}"
html_copy_source = False

myst_heading_anchors = 3

default_role = "code"  # docstrings write `name` for code
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

# Types in signatures are not linked to the manuals of other projects: a build fetches nothing.
nitpick_ignore_regex = [("py:(class|obj|data|exc|attr)", ".*")]
