//! What the network feeds cannot panic.
//!
//! Looked for in the syntax, outside tests: methods and macros that panic, and indexing with
//! anything but a number that stands in the source. `debug_assert!` is allowed everywhere,
//! `assert!` where a constant is checked or something is made (`const`, `fn new…`).

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::Finding;
use super::source::{Source, Tree, for_tests};

/// The crates that the network feeds.
const FED: [&str; 8] = [
    "dataplane/agent/src/",
    "dataplane/config/src/",
    "dataplane/policy/src/",
    "dataplane/ring/src/",
    "dataplane/session/src/",
    "dataplane/tls/src/",
    "dataplane/upstream/src/",
    "dataplane/wire/src/",
];

const METHODS: [&str; 4] = ["unwrap", "expect", "unwrap_err", "expect_err"];
const MACROS: [&str; 5] = ["panic", "unreachable", "todo", "unimplemented", "dbg"];
const ASSERTIONS: [&str; 3] = ["assert", "assert_eq", "assert_ne"];

/// Places that may, each with its reason. One that matches nothing is a finding.
const ALLOWED: &[Allowed] = &[Allowed {
    path: "dataplane/ring/src/buf.rs",
    function: "advance",
    what: "assert!",
    why: "it guards memory: to go on would hand out bytes that nobody has written, and the count \
          comes from the driver, not from a peer",
}];

/// Something that may panic all the same.
struct Allowed {
    path: &'static str,
    function: &'static str,
    what: &'static str,
    /// Why it cannot happen. For people.
    #[allow(dead_code)]
    why: &'static str,
}

const WHY: &str = "a peer that finds a panic stops a worker, and with it everybody's connections";

/// Everything in the fed crates that may panic.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>, String> {
    let is_fed = |source: &&Source| FED.iter().any(|folder| source.path.starts_with(folder));
    let mut used = vec![false; ALLOWED.len()];
    let mut findings = Vec::new();
    for source in tree.sources.iter().filter(is_fed).filter(|source| !source.is_test) {
        for Panic { what, function, span } in of(&source.syntax()?) {
            let allowed = ALLOWED.iter().position(|allowed| {
                (allowed.path, allowed.function) == (source.path.as_str(), function.as_str())
                    && allowed.what == what
            });
            if let Some(used) = allowed.and_then(|at| used.get_mut(at)) {
                *used = true;
                continue;
            }
            findings.push(Finding {
                place: format!("{}:{}", source.path, span.start().line),
                what: format!("{what} in {function}"),
                why: WHY,
                remedy: "get, split_at_checked, let-else, ?; refuse, count and close instead",
            });
        }
    }
    for (allowed, _) in ALLOWED.iter().zip(used).filter(|(_, used)| !used) {
        findings.push(Finding {
            place: "tools/xtask/src/tidy/panics.rs".to_owned(),
            what: format!("{} in {} is allowed and not there", allowed.what, allowed.function),
            why: "an exception that nothing needs hides the next one",
            remedy: "remove it from the list",
        });
    }
    Ok(findings)
}

/// Something that may panic.
pub(super) struct Panic {
    pub(super) what: String,
    /// The function that it stands in.
    pub(super) function: String,
    span: Span,
}

/// All that may panic in a file, outside its tests.
pub(super) fn of(syntax: &syn::File) -> Vec<Panic> {
    let mut finder = Finder::default();
    finder.visit_file(syntax);
    finder.found
}

#[derive(Default)]
struct Finder {
    found: Vec<Panic>,
    functions: Vec<String>,
    /// Inside a constant: what panics there stops the compiler.
    constants: usize,
}

impl Finder {
    fn note(&mut self, what: String, span: Span) {
        if self.constants == 0 {
            let function = self.functions.last().cloned().unwrap_or_else(|| "no function".into());
            self.found.push(Panic { what, function, span });
        }
    }

    fn inside(&mut self, function: &syn::Ident, look: impl FnOnce(&mut Self)) {
        self.functions.push(function.to_string());
        look(self);
        self.functions.pop();
    }

    fn constant(&mut self, look: impl FnOnce(&mut Self)) {
        self.constants += 1;
        look(self);
        self.constants -= 1;
    }

    fn may_assert(&self) -> bool {
        self.functions.last().is_some_and(|name| name.starts_with("new"))
    }
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.inside(&item.sig.ident, |finder| visit::visit_item_fn(finder, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !for_tests(&item.attrs) {
            self.inside(&item.sig.ident, |finder| visit::visit_impl_item_fn(finder, item));
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.inside(&item.sig.ident, |finder| visit::visit_trait_item_fn(finder, item));
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.constant(|finder| visit::visit_item_const(finder, item));
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.constant(|finder| visit::visit_impl_item_const(finder, item));
    }

    fn visit_expr_const(&mut self, item: &'ast syn::ExprConst) {
        self.constant(|finder| visit::visit_expr_const(finder, item));
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let name = call.method.to_string();
        if METHODS.contains(&name.as_str()) {
            self.note(format!(".{name}()"), call.method.span());
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
        let segments = &path.path.segments;
        if let Some(last) = segments.last().filter(|_| segments.len() > 1)
            && METHODS.iter().any(|name| last.ident == name)
        {
            self.note(format!("{}", last.ident), path.span());
        }
        visit::visit_expr_path(self, path);
    }

    fn visit_expr_index(&mut self, index: &'ast syn::ExprIndex) {
        if !is_harmless(&index.index) {
            self.note("indexing".to_owned(), index.bracket_token.span.open());
        }
        visit::visit_expr_index(self, index);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let Some(name) = call.path.segments.last().map(|last| last.ident.to_string()) else {
            return;
        };
        let asserts = ASSERTIONS.contains(&name.as_str()) && !self.may_assert();
        if asserts || MACROS.contains(&name.as_str()) {
            self.note(format!("{name}!"), call.path.span());
        }
        // `debug_assert!` is not in a release build, and neither is what stands in it.
        if !name.starts_with("debug_assert") {
            self.arguments(&call.tokens);
        }
    }
}

impl Finder {
    /// What stands in a macro's brackets: expressions if it can be read as such, else words.
    fn arguments(&mut self, tokens: &TokenStream) {
        let list = Punctuated::<syn::Expr, syn::Token![,]>::parse_terminated;
        match list.parse2(tokens.clone()) {
            Ok(expressions) => {
                // The tokens are a copy: their lines are right, their life is short.
                let mut inner = Self {
                    functions: self.functions.clone(),
                    constants: self.constants,
                    found: Vec::new(),
                };
                expressions.iter().for_each(|expression| inner.visit_expr(expression));
                self.found.append(&mut inner.found);
            }
            Err(_) => self.words(tokens),
        }
    }

    fn words(&mut self, tokens: &TokenStream) {
        let mut after_dot = false;
        for token in tokens.clone() {
            match token {
                TokenTree::Group(group) => self.words(&group.stream()),
                TokenTree::Ident(word)
                    if after_dot && METHODS.iter().any(|name| word == name)
                        || MACROS.iter().any(|name| word == name) =>
                {
                    self.note(word.to_string(), word.span());
                }
                TokenTree::Punct(point) if point.as_char() == '.' => {
                    after_dot = true;
                    continue;
                }
                _ => {}
            }
            after_dot = false;
        }
    }
}

/// A number in the source, or `..` alone.
fn is_harmless(index: &syn::Expr) -> bool {
    match index {
        syn::Expr::Lit(literal) => matches!(literal.lit, syn::Lit::Int(_)),
        syn::Expr::Range(range) => range.start.is_none() && range.end.is_none(),
        _ => false,
    }
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
