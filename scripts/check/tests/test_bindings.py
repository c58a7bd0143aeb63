# SPDX-License-Identifier: GPL-2.0
"""Nobody above rust/ names the bindings; nothing safe and public inside shows them."""

from __future__ import annotations

from check.bindings import CHECK
from check.tests import Sample


class Outside(Sample):
    def test_every_way_of_naming_them(self) -> None:
        for text in (
            "use kernel::bindings;\n",
            "use kernel::bindings::ib_device;\n",
            "use kernel::{\n    bindings,\n    prelude::*, //\n};\n",
            "use kernel::{prelude::*, bindings as b};\n",
            "extern crate krdma_bindings;\n",
            "fn f() { let x = kernel::bindings::GFP_KERNEL; }\n",
            "use kernel as k;\nfn f(x: k::bindings::page) {}\n",
        ):
            for name in ("drivers/rrds/rrds.rs", "samples/rust/a.rs", "tools/a/src/main.rs"):
                with self.subTest(text=text, name=name):
                    self.fails(CHECK, {name: text}, "outside rust/")

    def test_the_word_alone_is_free(self) -> None:
        self.passes(
            CHECK,
            {
                "drivers/rrds/socket.rs": "use crate::table;\n"
                "/// The bindings::x of a socket.\nfn f() { let bindings = 1; g(bindings); }\n",
                "rust/kernel/a.rs": "use kernel::bindings;\n",
            },
        )


class Inside(Sample):
    def bad(self, text: str, expected: str) -> None:
        self.fails(CHECK, {"rust/kernel/a.rs": text}, expected)

    def test_public_function(self) -> None:
        self.bad("pub fn f(x: &bindings::page) {}\n", "pub fn f shows a type of the C bindings")
        self.bad(
            "impl A {\n    pub const fn f(&self) -> *mut u8 {\n    }\n}\n", "shows a raw pointer"
        )
        self.bad("pub fn f<const N: usize>(a: A<{ N }>, x: *const u8) {}\n", "shows a raw pointer")

    def test_function_of_a_public_trait(self) -> None:
        self.bad("pub trait T {\n    fn f(x: *const u8);\n}\n", "pub fn f shows a raw pointer")

    def test_other_items(self) -> None:
        self.bad("pub use bindings::ib_device;\n", "pub use shows")
        self.bad("pub use crate::bindings::{a, b};\n", "pub use shows")
        self.bad("pub type A = bindings::ib_device;\n", "pub type A shows")
        self.bad("pub const A: bindings::gfp_t = 0;\n", "pub const A shows")
        self.bad("pub struct A(pub bindings::ib_device);\n", "pub field bindings shows")
        self.bad("pub struct A {\n    b: u8,\n    pub c: *mut u8,\n}\n", "pub field c shows")
        self.bad("impl From<bindings::a> for B {\n}\n", "impl of a trait shows")

    def test_what_a_client_does_not_see(self) -> None:
        self.passes(
            CHECK,
            {
                "rust/kernel/a.rs": "use bindings::ib_device;\n"
                "pub(crate) fn a(x: *mut bindings::ib_device) {}\n"
                "pub unsafe fn b(x: *mut bindings::ib_device) {}\n"
                'unsafe extern "C" fn c(x: *mut bindings::ib_device) {}\n'
                'pub unsafe extern "C" fn d(x: *mut bindings::ib_device) {}\n'
                "pub struct E(Opaque<bindings::ib_device>);\n"
                "pub struct F { f: *mut bindings::ib_device }\n"
                "pub const G: u32 = bindings::G;\n"
                "pub type H = Name<{ bindings::LENGTH as usize }>;\n"
                "trait I { fn i(x: *mut u8); }\n"
                "pub(crate) trait J { fn j(x: *mut u8); }\n"
                "pub fn k(x: u8) -> u8 { bindings::k(x) * 2 }\n"
                "unsafe impl L for Slice<*mut u8> {}\n"
                "impl M<N> { fn n(x: *mut u8) {} }\n",
                "rust/bindings/b.rs": "pub use bindings_raw::*;\npub fn f(x: *mut u8) {}\n",
            },
        )
