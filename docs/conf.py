"""The documentation site: `make docs` builds it into build/site, with warnings as errors."""

from importlib.metadata import version as version_of
from pathlib import Path

HERE = Path(__file__).parent

project = "reactface_jax"
author = "the reactface_jax authors"
version = release = version_of("reactface-jax")
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "sphinx_copybutton"]
exclude_patterns = ["*.py", "images"]

# Pages that GitHub shows too: plain Markdown, with links to headings.
myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3

# Notebooks are run by the build; one that fails ends it.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "reactface_jax"
html_extra_path = ["llms.txt"]
html_theme_options = {"navigation_with_keys": True}
