//! The files of the repository and the Rust in them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use proc_macro2::TokenStream;
use syn::visit::Visit;

use crate::run;

/// The repository as text and syntax.
pub(crate) struct Tree {
    /// All text files but `Cargo.lock`, by their path from the top, in order.
    pub(crate) texts: Vec<Text>,
    /// The Rust among them.
    pub(crate) sources: Vec<Source>,
}

/// A text file.
pub(crate) struct Text {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A Rust file.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
    /// It is compiled for tests or benches only.
    pub(crate) is_test: bool,
}

/// What is not ours, or not source.
const LEFT_OUT: [&str; 3] = ["target", ".git", "Cargo.lock"];

impl Tree {
    /// Reads the whole repository.
    pub(crate) fn read() -> Result<Self, String> {
        let mut texts = Vec::new();
        collect(&run::root(), "", &mut texts)?;
        texts.sort_by(|left, right| left.path.cmp(&right.path));
        let rust = || texts.iter().filter(|text| text.path.ends_with(".rs"));
        let tests: BTreeSet<String> = rust().flat_map(test_modules).collect();
        let sources = rust().map(|text| Source {
            is_test: is_test(&text.path, &tests),
            path: text.path.clone(),
            text: text.text.clone(),
        });
        let sources = sources.collect();
        Ok(Self { texts, sources })
    }

    /// The text of one file.
    pub(crate) fn text(&self, path: &str) -> Result<&str, String> {
        let found = self.texts.iter().find(|text| text.path == path);
        found.map(|text| text.text.as_str()).ok_or_else(|| format!("there is no {path}"))
    }
}

fn collect(folder: &Path, prefix: &str, texts: &mut Vec<Text>) -> Result<(), String> {
    let failed = |error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        let kind = entry.file_type().map_err(failed)?;
        if LEFT_OUT.contains(&name.as_str()) {
            continue;
        } else if kind.is_dir() {
            collect(&entry.path(), &path, texts)?;
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            texts.push(Text { path, text });
        }
    }
    Ok(())
}

fn is_test(path: &str, tests: &BTreeSet<String>) -> bool {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    path.split('/').any(|part| part == "tests" || part == "benches")
        || stem.match_indices('/').any(|(at, _)| tests.contains(&stem[..at]))
        || tests.contains(stem)
}

/// The paths, without `.rs`, of the modules that a file declares under `#[cfg(test)]`.
fn test_modules(text: &Text) -> Vec<String> {
    let stem = text.path.strip_suffix(".rs").unwrap_or(&text.path);
    let folder = match stem.rsplit_once('/') {
        Some((folder, "mod" | "lib" | "main")) => folder,
        _ => stem,
    };
    let mut modules = Vec::new();
    let mut marked = false;
    for line in text.text.lines().map(str::trim) {
        let module = line.strip_suffix(';').and_then(|line| line.split_once("mod "));
        if line.starts_with("#[cfg(") {
            marked |= line.contains("test") && !line.contains("not(");
        } else if let Some((_, name)) = module.filter(|_| marked) {
            modules.push(format!("{folder}/{name}"));
            marked = false;
        } else {
            // Other attributes may stand between.
            marked &= line.starts_with("#[");
        }
    }
    modules
}

impl Source {
    /// The file as syntax.
    pub(crate) fn syntax(&self) -> Result<syn::File, String> {
        syn::parse_file(&self.text).map_err(|error| {
            format!("{}:{}: not Rust: {error}", self.path, error.span().start().line)
        })
    }

    /// The file as tokens: words that stand in comments and strings are none.
    pub(crate) fn tokens(&self) -> Result<TokenStream, String> {
        self.text.parse().map_err(|error| format!("{}: not Rust: {error}", self.path))
    }
}

/// Whether something under these attributes is compiled for tests only.
pub(crate) fn for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        let is_test = path.segments.last().is_some_and(|last| last.ident == "test");
        is_test || (path.is_ident("cfg") && asks_for_test(attribute))
    })
}

fn asks_for_test(attribute: &syn::Attribute) -> bool {
    let syn::Meta::List(list) = &attribute.meta else { return false };
    let words = list.tokens.to_string();
    let mut words = words.split(|c: char| !c.is_alphanumeric() && c != '_');
    !list.tokens.to_string().contains("not") && words.any(|word| word == "test")
}

/// The functions of a file: name, first and last line.
pub(crate) fn functions(syntax: &syn::File) -> Vec<(String, usize, usize)> {
    struct Finder(Vec<(String, usize, usize)>);
    impl Finder {
        fn note(&mut self, signature: &syn::Signature, block: &syn::Block) {
            let first = signature.fn_token.span.start().line;
            let last = block.brace_token.span.close().end().line;
            self.0.push((signature.ident.to_string(), first, last));
        }
    }
    impl<'ast> Visit<'ast> for Finder {
        fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
            self.note(&item.sig, &item.block);
            syn::visit::visit_item_fn(self, item);
        }

        fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
            self.note(&item.sig, &item.block);
            syn::visit::visit_impl_item_fn(self, item);
        }

        fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
            if let Some(block) = &item.default {
                self.note(&item.sig, block);
            }
            syn::visit::visit_trait_item_fn(self, item);
        }
    }
    let mut finder = Finder(Vec::new());
    finder.visit_file(syntax);
    finder.0
}
