# SPDX-License-Identifier: GPL-2.0
"""How scripts/check builds our pages: with the kernel's own reader of kernel-doc comments.

GMEM_DOCS_KERNEL is a kernel tree, GMEM_DOCS_SOURCE the tree of our files.
"""

import os
import re
import sys

from docutils import nodes
from sphinx.util import logging

kernel = os.environ["GMEM_DOCS_KERNEL"]
# Where the kernel's extension finds its parser.
os.environ["srctree"] = kernel
sys.path.insert(0, os.path.join(kernel, "Documentation", "sphinx"))
sys.dont_write_bytecode = True

project = "GMEM"
extensions = ["kerneldoc"]
kerneldoc_srctree = os.environ["GMEM_DOCS_SOURCE"]
highlight_language = "none"
# As in the kernel's own configuration.
c_id_attributes = ["__user"]


def lost_headings(_app, doctree):
    """A heading that lost its underline, or got another's, reads as a paragraph without a warning."""
    for paragraph in doctree.findall(nodes.paragraph):
        if re.search(r"(?m)^([=~^*#-])\1{2,}", paragraph.astext()):
            logging.getLogger(__name__).warning("an underline without a heading", location=paragraph)


def setup(app):
    app.connect("doctree-read", lost_headings)
