# SPDX-License-Identifier: GPL-2.0
"""The documentation's check: a warning of Sphinx and a link that leads nowhere are failures."""

from __future__ import annotations

import importlib.util
import unittest

from check import docs
from check.core import Failed
from check.tests import Sample

CONF = {"Documentation/conf.py": 'project = "x"\nhtml_theme = "alabaster"\n'}


class Docs(Sample):
    @unittest.skipUnless(importlib.util.find_spec("sphinx"), "not installed: sphinx")
    def test_warnings_are_errors(self) -> None:
        good = self.tree(CONF | {"Documentation/index.rst": "Title\n=====\n\nText.\n"})
        docs.pages(good)
        self.assertTrue(good.path("build/docs/index.html").is_file())
        bad = self.tree(CONF | {"Documentation/index.rst": "Title\n=====\n\n:doc:`gone`\n"})
        with self.assertRaises(Failed) as failure:
            docs.pages(bad)
        self.assertTrue(any("gone" in line for line in failure.exception.details))

    def test_dead_links(self) -> None:
        page = '<a href="{}"></a><a href="#x"></a><a href="https://example.org/"></a>'
        tree = self.tree({"index.html": page.format("rust/a%20b.html#x"), "rust/a b.html": ""})
        self.assertEqual(docs.dead_links(tree.root), [])
        (tree.root / "rust" / "a b.html").unlink()
        (found,) = docs.dead_links(tree.root)
        self.assertIn("rust/a b.html", found)

    def test_links_into_the_kernel_source_become_text(self) -> None:
        page = '<a href="srctree/include/a.h"><code>include/a.h</code></a> <a href="b">b</a>'
        tree = self.tree({"krdma/index.html": page})
        docs.unlink_headers(tree.root)
        self.assertEqual(
            tree.text("krdma/index.html"), '<code>include/a.h</code> <a href="b">b</a>'
        )
