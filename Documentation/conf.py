# SPDX-License-Identifier: GPL-2.0
"""Sphinx's settings. Build with `make docs`; every warning is an error there."""

from pathlib import Path

from docutils import nodes
from sphinx.directives.patches import Figure

project = "krdma and rrds"
author = "the krdma developers"
copyright = author

extensions = ["sphinx.ext.autosectionlabel"]
# `page:Section` names a section, so that two pages may have one of the same title.
autosectionlabel_prefix_document = True

# Names in double back-quotes stay what they are; no quotes or dashes are made typographic,
# because much of the text is commands.
smartquotes = False
default_role = None
nitpicky = True

highlight_language = "none"
pygments_style = "friendly"

# Figures that `make figures` draws are not in the source tree: a page shows those that are there.
DRAWN = Path(__file__).parent.parent / "build" / "figures"


class Drawn(Figure):
    """A figure of build/figures, or a line that says how to get it."""

    def run(self):
        name = self.arguments[0]
        if not (DRAWN / name).is_file():
            text = f"(The figure {name} is drawn by make figures.)"
            return [nodes.paragraph("", "", nodes.emphasis("", text))]
        self.arguments[0] = f"/../build/figures/{name}"
        return super().run()


def setup(app):
    app.add_directive("drawn", Drawn)


html_theme = "alabaster"
html_title = project
html_static_path = ["_static"]
html_css_files = ["krdma.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False
html_sidebars = {"**": ["about.html", "navigation.html", "searchbox.html"]}
html_theme_options = {
    "description": "Safe Rust over RDMA, in the kernel",
    "page_width": "68rem",
    "sidebar_width": "15rem",
    "fixed_sidebar": True,
    "sidebar_collapse": True,
    "show_relbars": False,
    "show_relbar_bottom": True,
    "font_family": "system-ui, 'Noto Sans', 'DejaVu Sans', sans-serif",
    "head_font_family": "system-ui, 'Noto Sans', 'DejaVu Sans', sans-serif",
    "font_size": "1rem",
    "code_font_family": "ui-monospace, 'Noto Sans Mono', 'DejaVu Sans Mono', monospace",
    "code_font_size": "0.875em",
}
