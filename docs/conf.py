"""The configuration of Sphinx, which builds the documentation.

``.ci/run docs`` builds it without any network, and Read the Docs publishes it.
"""

from __future__ import annotations

from pathlib import Path

from sphinx.pycode import ModuleAnalyzer

import aioteredo

project = "aioteredo"
author = "The aioteredo authors"
project_copyright = "2026, The aioteredo authors"
release = aioteredo.__version__
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.intersphinx"]

nitpicky = True  # each name that a page or docstring refers to must have a target
nitpick_ignore = [
    # The type variable of a stream's events. Each public stream names its own class.
    ("py:class", "aioteredo._mailbox.EventT"),
]

# Markdown

myst_heading_anchors = 3  # a page can link to a heading of another page: page.md#heading

# The API reference

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True

# The links to Python and anyio come from small lists in this directory. Sphinx would
# otherwise download their inventories, and the build must not need a network.
intersphinx_mapping = {
    "python": ("https://docs.python.org/3/", "inventories/python.txt"),
    "anyio": ("https://anyio.readthedocs.io/en/stable/", "inventories/anyio.txt"),
}

# The page

html_theme = "furo"
html_title = "aioteredo"
html_theme_options = {
    "source_repository": "https://github.com/aioteredo/aioteredo/",
    "source_branch": "main",
    "source_directory": "docs/",
}


def read_docstrings_of_attributes() -> None:
    """Let autodoc find the docstrings of attributes, which only the source code has.

    Each public class names ``aioteredo`` as its module, so autodoc reads the source of
    that module. The class, and the strings below its attributes, are in a private module.
    """
    package = Path(aioteredo.__file__).parent
    public = ModuleAnalyzer.for_module("aioteredo")
    public.analyze()

    for path in sorted(package.glob("_*.py")):
        if path.name not in ("__init__.py", "__main__.py"):
            private = ModuleAnalyzer.for_module(f"aioteredo.{path.stem}")
            private.analyze()
            public.attr_docs.update(private.attr_docs)
            public.tagorder.update(private.tagorder)


read_docstrings_of_attributes()
