"""Sphinx configuration; build with ``sphinx-build -W docs docs/_build``."""

import shutil
from pathlib import Path

import sphinx_autosummary_accessors

# Importing registers the accessor that autosummary documents.
import xpatch

HERE = Path(__file__).parent


def copy_notebooks() -> None:
    """Copy the executed notebooks into the source tree, where Sphinx can find them."""
    target = HERE / "notebooks"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for notebook in sorted((HERE.parent / "notebooks").glob("*.ipynb")):
        shutil.copy2(notebook, target)


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
    "myst_nb",
]
templates_path = [sphinx_autosummary_accessors.templates_path]
exclude_patterns = ["_build", "jupyter_execute", "**.ipynb_checkpoints"]
default_role = "autolink"

autosummary_generate = True
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
