"""Sphinx configuration; build with ``sphinx-build -W docs docs/_build``."""

import inspect
import shutil
import sys
from pathlib import Path

import sphinx_autosummary_accessors
import xarray as xr

# Importing registers the accessor that autosummary documents.
import xpatch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_scripts"))

import gallery  # noqa: E402
import links  # noqa: E402


def copy_notebooks() -> None:
    """Copy the executed notebooks into the source tree, where Sphinx can find them."""
    target = HERE / "notebooks"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for notebook in sorted((HERE.parent / "notebooks").glob("*.ipynb")):
        shutil.copy2(notebook, target)
    gallery.write(HERE.parent / "notebooks", target)


def own_methods(cls: type) -> list[str]:
    """Give the methods of a class that no base of it has: those for its users."""
    if issubclass(cls, xr.indexes.Index):
        return []  # they are for xarray
    above = {m for base in cls.__mro__[1:] for m in vars(base)}
    return [
        name
        for name, member in vars(cls).items()
        if isinstance(member, classmethod | staticmethod) or inspect.isfunction(member)
        if not name.startswith("_") and name not in above
    ]


copy_notebooks()

project = "xpatch"
author = "xpatch developers"
copyright = "2026, xpatch developers"
release = xpatch.__version__
version = release

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_autosummary_accessors",
    "sphinx_copybutton",
    "sphinx_design",
    "myst_nb",
]
templates_path = ["_templates", sphinx_autosummary_accessors.templates_path]
exclude_patterns = ["_build", "jupyter_execute", "**.ipynb_checkpoints"]
default_role = "public"

autosummary_generate = True
PUBLIC = {f"xpatch.{name}": getattr(xpatch, name) for name in xpatch.__all__}
autosummary_context = {
    "own_methods": {name: own_methods(c) for name, c in PUBLIC.items() if inspect.isclass(c)}
}
autodoc_mock_imports = ["torch"]  # needed to run `Stream`, not to read about it
autodoc_typehints = "none"
numpydoc_show_class_members = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_merge_streams = True

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = f"xpatch {release}"
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
pygments_dark_style = "github-dark"


def setup(app):
    app.add_role("public", links.public)
    app.connect("doctree-read", links.trim_code)
