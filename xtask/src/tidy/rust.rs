//! Rules for Rust files: their length, their functions' length, a paragraph that says what a module is, and `unsafe`
//! only where it may be.

use std::path::Path;

use anyhow::{Context, Result};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::Finding;

/// Lines of a file that are not tests.
const FILE_LINES_MAX: usize = 500;
/// Lines of a function, its signature and braces included. A test may be a longer table.
const FUNCTION_LINES_MAX: usize = 70;
/// The crates whose business is the kernel's interface.
const UNSAFE_MAY_BE_IN: [&str; 2] = ["sys", "e2e/ptrace-shim"];

pub(super) fn check(file: &Path, content: &str) -> Result<Vec<Finding>> {
    let tree = syn::parse_file(content).with_context(|| format!("cannot parse {}", file.display()))?;
    let mut visitor = Visitor {
        file,
        unsafe_allowed: UNSAFE_MAY_BE_IN.iter().any(|folder| file.starts_with(folder)),
        in_tests: file.components().any(|part| part.as_os_str() == "tests"),
        test_lines: 0,
        findings: Vec::new(),
    };
    if !tree.attrs.iter().any(|attribute| attribute.path().is_ident("doc")) {
        visitor.found(1, "no `//!` paragraph says what this module is".into());
    }
    visitor.visit_file(&tree);
    let lines = content.lines().count() - visitor.test_lines;
    if !visitor.in_tests && lines > FILE_LINES_MAX {
        visitor.found(
            1,
            format!("{lines} lines without its tests, {FILE_LINES_MAX} are enough for one subject"),
        );
    }
    Ok(visitor.findings)
}

struct Visitor<'a> {
    file: &'a Path,
    unsafe_allowed: bool,
    in_tests: bool,
    test_lines: usize,
    findings: Vec<Finding>,
}

impl Visitor<'_> {
    fn found(&mut self, line: usize, what: String) {
        self.findings.push(Finding { file: self.file.to_path_buf(), line, what });
    }

    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.span().start().line;
        let lines = block.span().end().line - first + 1;
        if !self.in_tests && lines > FUNCTION_LINES_MAX {
            let name = &signature.ident;
            self.found(
                first,
                format!("function {name} has {lines} lines, {FUNCTION_LINES_MAX} are the most"),
            );
        }
        if signature.unsafety.is_some() {
            self.unsafe_at(first);
        }
    }

    fn unsafe_at(&mut self, line: usize) {
        if !self.unsafe_allowed {
            self.found(line, format!("unsafe belongs into {}", UNSAFE_MAY_BE_IN.join(" or ")));
        }
    }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.content.is_none() || self.in_tests || !item.attrs.iter().any(is_cfg_test) {
            return visit::visit_item_mod(self, item);
        }
        let span = item.span();
        self.test_lines += span.end().line - span.start().line + 1;
        self.in_tests = true;
        visit::visit_item_mod(self, item);
        self.in_tests = false;
    }

    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.unsafe_at(block.unsafe_token.span.start().line);
        visit::visit_expr_unsafe(self, block);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let Some(token) = &item.unsafety {
            self.unsafe_at(token.span.start().line);
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_item_foreign_mod(&mut self, item: &'ast syn::ItemForeignMod) {
        if let Some(token) = &item.unsafety {
            self.unsafe_at(token.span.start().line);
        }
        visit::visit_item_foreign_mod(self, item);
    }
}

fn is_cfg_test(attribute: &syn::Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(file: &str, content: &str) -> Vec<String> {
        check(Path::new(file), content)
            .unwrap()
            .into_iter()
            .map(|f| format!("{}: {}", f.line, f.what))
            .collect()
    }

    #[test]
    fn a_module_says_what_it_is() {
        assert_eq!(findings("a.rs", "fn f() {}\n").len(), 1);
        assert!(findings("a.rs", "//! What it is.\nfn f() {}\n").is_empty());
    }

    #[test]
    fn a_long_function_is_found_wherever_it_is() {
        let body = |lines: usize| format!("{{\n{}}}", "    g();\n".repeat(lines - 2));
        for around in
            ["fn f() BODY", "impl A { fn f() BODY }", "trait T { fn f() BODY }", "mod m { fn f() BODY }"]
        {
            let text = |lines| format!("//! M.\n{}\n", around.replace("BODY", &body(lines)));
            assert!(findings("a.rs", &text(FUNCTION_LINES_MAX)).is_empty(), "{around}");
            let found = findings("a.rs", &text(FUNCTION_LINES_MAX + 1));
            assert_eq!(found, ["2: function f has 71 lines, 70 are the most"], "{around}");
        }
        let test = format!("//! M.\n#[cfg(test)]\nmod t {{ fn f() {} }}\n", body(FUNCTION_LINES_MAX + 1));
        assert!(findings("a.rs", &test).is_empty());
    }

    #[test]
    fn a_file_is_measured_without_its_tests() {
        let code = "const A: u8 = 0;\n".repeat(FILE_LINES_MAX - 1);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{code}}}\n");
        assert!(findings("a.rs", &format!("//! M.\n{code}{tests}")).is_empty());
        assert_eq!(findings("a.rs", &format!("//! M.\n{code}{code}{tests}")).len(), 1);
        assert!(findings("x/tests/a.rs", &format!("//! M.\n{code}{code}")).is_empty());
    }

    #[test]
    fn unsafe_is_found_in_every_form_and_only_where_it_may_not_be() {
        for text in [
            "fn f() { unsafe { g() } }",
            "unsafe fn f() {}",
            "unsafe impl S for A {}",
            "unsafe extern \"C\" {}",
        ] {
            let text = format!("//! M.\n{text}\n");
            assert_eq!(
                findings("operator/src/a.rs", &text),
                ["2: unsafe belongs into sys or e2e/ptrace-shim"],
                "{text}"
            );
            assert!(findings("sys/src/a.rs", &text).is_empty(), "{text}");
        }
        assert!(findings("a.rs", "//! M: `unsafe`.\nconst A: &str = \"unsafe { }\";\n").is_empty());
    }
}
