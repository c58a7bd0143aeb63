# SPDX-License-Identifier: GPL-2.0
"""Where `unsafe` may stand and what has to be beside it."""

from __future__ import annotations

from check.tests import Sample
from check.unsafe import CHECK

RUST = "rust/kernel/sample.rs"


class Place(Sample):
    def test_allowed_folders(self) -> None:
        block = "fn f() {\n    // SAFETY: It is fine.\n    unsafe { g() }\n}\n"
        places = (
            RUST,
            "drivers/rrds/capi.rs",
            "tools/rds/src/sys.rs",
            "tools/rds/src/sys/memory.rs",
            "tools/raw/src/call.rs",
        )
        self.passes(CHECK, dict.fromkeys(places, block))
        for name in (
            "drivers/rrds/rrds.rs",
            "samples/rust/a.rs",
            "tools/a/src/main.rs",
            "tools/rds/src/socket.rs",
            "rusty/a.rs",
        ):
            self.fails(CHECK, {name: block}, f"{name}:3: `unsafe` outside rust/")

    def test_only_code_counts(self) -> None:
        self.passes(
            CHECK,
            {
                "drivers/rrds/rrds.rs": "#![deny(unsafe_code)]\n// unsafe { }\n"
                'const A: &str = "unsafe { }";\n/// unsafe fn f();\nfn r#unsafe() {}\n'
            },
        )

    def test_unsafe_attributes(self) -> None:
        for attribute in (
            "no_mangle",
            "unsafe(no_mangle)",
            'export_name = "x"',
            'link_section = "x"',
        ):
            self.fails(
                CHECK, {"samples/rust/a.rs": f"#[{attribute}]\npub fn f() {{}}\n"}, "outside"
            )
        self.passes(CHECK, {"samples/rust/a.rs": "fn no_mangle() {}\n"})


class Argued(Sample):
    def good(self, text: str) -> None:
        self.passes(CHECK, {RUST: text})

    def bad(self, text: str, expected: str = "without a SAFETY comment") -> None:
        self.fails(CHECK, {RUST: text}, expected)

    def test_block(self) -> None:
        self.good("fn f() {\n    // SAFETY: `p` is valid.\n    let x = unsafe { *p };\n}\n")
        self.bad("fn f() {\n    let x = unsafe { *p };\n}\n")
        self.bad("fn f() {\n    // It is safe.\n    let x = unsafe { *p };\n}\n")

    def test_comment_of_several_lines_and_attributes(self) -> None:
        self.good(
            "fn f() {\n    // SAFETY:\n    // - `p` is valid.\n    // - So is `q`.\n"
            "    #[cfg(A)]\n    let x = unsafe { *p };\n}\n"
        )

    def test_comment_must_be_directly_above(self) -> None:
        self.bad("fn f() {\n    // SAFETY: Yes.\n\n    let x = unsafe { *p };\n}\n")
        self.bad("fn f() {\n    // SAFETY: Yes.\n    g();\n    let x = unsafe { *p };\n}\n")
        self.bad("fn f() {\n    g(); // SAFETY: Yes.\n    let x = unsafe { *p };\n}\n")

    def test_put_off_is_not_argued(self) -> None:
        self.bad("fn f() {\n    // SAFETY: " + "TO" + "DO\n    unsafe { g() }\n}\n")

    def test_inside_an_expression(self) -> None:
        self.good("fn f() {\n    // SAFETY: Yes.\n    let x =\n        g(1, unsafe { *p });\n}\n")
        self.good(
            "fn f() {\n    g(\n        1,\n        // SAFETY: Yes.\n        unsafe { *p },\n    );\n}\n"
        )
        self.good(
            "fn f() {\n    // SAFETY: Yes.\n    match unsafe { *p } {\n        _ => {}\n    }\n}\n"
        )
        self.good("fn f() {\n    // SAFETY: Yes.\n    a.map(|| { 1 }).b(unsafe { *p });\n}\n")
        self.good(
            "fn f() -> S {\n    S {\n        a: 1,\n        // SAFETY: Yes.\n        b: unsafe { *p },\n    }\n}\n"
        )
        self.bad(
            "fn f() -> S {\n    // SAFETY: Yes.\n    S {\n        a: 1,\n        b: unsafe { *p },\n    }\n}\n"
        )

    def test_one_comment_serves_one_block(self) -> None:
        self.bad("fn f() {\n    // SAFETY: Yes.\n    let x = (unsafe { *p }, unsafe { *q });\n}\n")
        self.bad("// SAFETY: Yes.\nunsafe impl Send for S {}\nunsafe impl Sync for S {}\n")

    def test_impl(self) -> None:
        self.good("// SAFETY: Yes.\nunsafe impl<A, B> Send for S<A, B> {}\n")
        self.bad("/// SAFETY is fun.\nunsafe impl Send for S {}\n")

    def test_in_a_macro(self) -> None:
        self.bad("macro_rules! m {\n    ($x:expr) => {\n        unsafe { $x }\n    };\n}\n")

    def test_attribute_and_extern_block(self) -> None:
        self.bad("#[unsafe(no_mangle)]\npub fn f() {}\n")
        self.good("// SAFETY: Nobody else has this name.\n#[unsafe(no_mangle)]\npub fn f() {}\n")
        self.bad('unsafe extern "C" {\n    fn f();\n}\n')

    def test_function(self) -> None:
        self.good(
            "/// F.\n///\n/// # Safety\n///\n/// `p` is valid.\n#[inline]\npub(crate) unsafe fn f() {}\n"
        )
        self.bad("/// F.\npub unsafe fn f() {}\n", "without a `# Safety` section")
        self.bad('unsafe extern "C" fn f() {}\n', "without a `# Safety` section")
        self.bad("// SAFETY: Yes.\nconst unsafe fn f() {}\n", "without a `# Safety` section")

    def test_function_of_a_trait(self) -> None:
        self.good("// SAFETY: Yes.\nunsafe impl A for B {\n    unsafe fn f() {}\n}\n")
        self.good("impl<T> A<T> for B\nwhere\n    T: for<'a> C<'a>,\n{\n    unsafe fn f() {}\n}\n")
        self.bad("impl<T: for<'a> C<'a>> B<T> {\n    unsafe fn f() {}\n}\n", "`# Safety` section")

    def test_function_pointer_is_a_type(self) -> None:
        self.good('struct S {\n    f: unsafe extern "C" fn(i32) -> i32,\n    g: unsafe fn(),\n}\n')

    def test_trait(self) -> None:
        self.good("/// T.\n///\n/// # Safety\n///\n/// Be good.\npub unsafe trait T {}\n")
        self.bad("/// T.\npub unsafe trait T {}\n", "`unsafe trait` without a `# Safety` section")
