//! A crate as the tree of its modules, each with the paths that it names outside of tests.
//!
//! The source is read as tokens, so comments and strings count for nothing. Macros are not expanded: a path inside a
//! macro's arguments counts, and a path that a macro makes does not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The way to a module or an item from the crate's root: `["plugin", "run", "Generation"]`.
pub(crate) type ModPath = Vec<String>;

/// The modules of a crate.
#[derive(Debug, Default)]
pub(crate) struct Crate {
    pub(crate) modules: BTreeMap<ModPath, Module>,
}

/// A module, without what it has for its tests alone.
#[derive(Debug, Default)]
pub(crate) struct Module {
    pub(crate) file: PathBuf,
    /// Paths into the same crate, from its root.
    pub(crate) names: BTreeSet<ModPath>,
    /// First segments of all other paths: crates, and whatever else is in scope.
    pub(crate) heads: BTreeSet<String>,
    /// What `use` brings into scope, by the name that it has here.
    imported: BTreeMap<String, ModPath>,
}

/// Reads a crate from its root file. `read` answers a file's text, if the file exists.
pub(crate) fn read_crate(root: &Path, read: &dyn Fn(&Path) -> Option<String>) -> anyhow::Result<Crate> {
    let mut result = Crate::default();
    let directory = root.parent().unwrap_or(Path::new("")).to_owned();
    result.read_file(&[], root, &directory, read)?;
    Ok(result)
}

impl Crate {
    fn read_file(
        &mut self,
        path: &[String],
        file: &Path,
        children: &Path,
        read: &dyn Fn(&Path) -> Option<String>,
    ) -> anyhow::Result<()> {
        let text = read(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let tokens: TokenStream = text.parse().map_err(|error| anyhow!("{}: {error}", file.display()))?;
        self.read_module(path, file, children, tokens, read)
    }

    fn read_module(
        &mut self,
        path: &[String],
        file: &Path,
        children: &Path,
        tokens: TokenStream,
        read: &dyn Fn(&Path) -> Option<String>,
    ) -> anyhow::Result<()> {
        let mut scan = Scanner {
            path,
            module: Module { file: file.to_owned(), ..Module::default() },
            nested: Vec::new(),
            pending: Vec::new(),
        };
        scan.tokens(tokens);
        let Scanner { mut module, nested, pending, .. } = scan;
        // In edition 2024 a path may begin with a module that lies inside this one.
        for (name, written) in pending {
            let is_nested = |head: &String| nested.iter().any(|(nested, _)| nested == head);
            if written.first().is_some_and(is_nested) {
                module.imported.insert(name, [path, &written].concat());
            }
        }
        self.modules.insert(path.to_vec(), module);
        for (name, body) in nested {
            let below = children.join(&name);
            let child = [path, std::slice::from_ref(&name)].concat();
            if let Some(body) = body {
                self.read_module(&child, file, &below, body, read)?;
                continue;
            }
            let beside = children.join(format!("{name}.rs"));
            let file = if read(&beside).is_some() { beside } else { below.join("mod.rs") };
            self.read_file(&child, &file, &below, read)?;
        }
        Ok(())
    }

    /// The module that has the item of this path, as far as `use` declarations tell.
    pub(crate) fn owner(&self, path: &[String]) -> ModPath {
        /// Longer chains of `use` declarations than this are circles.
        const CHAIN: usize = 8;
        let mut path = path.to_vec();
        for _ in 0..CHAIN {
            let depth = (0..=path.len()).rev().find(|depth| self.modules.contains_key(&path[..*depth])).unwrap_or(0);
            let owner = &path[..depth];
            let Some(origin) = path.get(depth).and_then(|name| self.modules[owner].imported.get(name)) else {
                return owner.to_vec();
            };
            path = [&origin[..], &path[depth + 1..]].concat();
        }
        path
    }
}

struct Scanner<'a> {
    path: &'a [String],
    module: Module,
    /// Modules inside this one, with their text if it stands here.
    nested: Vec<(String, Option<TokenStream>)>,
    /// What `use` brings into scope by paths of which only the modules inside this one tell where they lead.
    pending: Vec<(String, Vec<String>)>,
}

impl Scanner<'_> {
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at = if is_test_attribute(&tokens[at..]) { after_item(&tokens, at + 2) } else { self.step(&tokens, at) };
        }
    }

    /// Takes in what begins here, and answers where the next thing does.
    fn step(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        match &tokens[at] {
            TokenTree::Group(group) => self.tokens(group.stream()),
            TokenTree::Ident(ident) if ident == "mod" => return self.nested_module(tokens, at),
            TokenTree::Ident(ident) if ident == "use" => {
                let end = (at..tokens.len()).find(|at| is_punct(tokens.get(*at), ';')).unwrap_or(tokens.len());
                self.use_tree(&tokens[at + 1..end], &[]);
                return end;
            }
            TokenTree::Ident(ident) if is_path_separator(&tokens[at + 1..]) => {
                let (path, end) = plain_path(tokens, at, ident.to_string());
                self.name(&path);
                return end;
            }
            _ => {}
        }
        at + 1
    }

    fn nested_module(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let Some(TokenTree::Ident(name)) = tokens.get(at + 1) else { return at + 1 };
        match tokens.get(at + 2) {
            Some(TokenTree::Group(body)) if body.delimiter() == Delimiter::Brace => {
                self.nested.push((name.to_string(), Some(body.stream())));
            }
            next if is_punct(next, ';') => self.nested.push((name.to_string(), None)),
            _ => return at + 1,
        }
        at + 3
    }

    /// Takes in one branch of a `use` declaration, or several with commas between them.
    fn use_tree(&mut self, tokens: &[TokenTree], prefix: &[String]) {
        for branch in tokens.split(|token| is_punct(Some(token), ',')) {
            let mut path = prefix.to_vec();
            let mut alias = None;
            let mut rest = branch.iter();
            while let Some(token) = rest.next() {
                match token {
                    TokenTree::Ident(ident) if ident == "as" => alias = rest.next().map(ToString::to_string),
                    TokenTree::Ident(ident) => path.push(ident.to_string()),
                    TokenTree::Group(group) => {
                        let branches: Vec<_> = group.stream().into_iter().collect();
                        self.use_tree(&branches, &path);
                        path.clear();
                    }
                    _ => {}
                }
            }
            if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
                path.pop();
            }
            let Some(last) = path.last() else { continue };
            let name = alias.unwrap_or_else(|| last.clone());
            match self.name(&path) {
                Some(path) => drop(self.module.imported.insert(name, path)),
                None => self.pending.push((name, path)),
            }
        }
    }

    /// Takes in a path as it is written. Answers it from the crate's root, if that is where it leads.
    fn name(&mut self, written: &[String]) -> Option<ModPath> {
        let supers = written.iter().take_while(|segment| *segment == "super").count();
        let path = match written.first()?.as_str() {
            "crate" => written[1..].to_vec(),
            "self" => [self.path, &written[1..]].concat(),
            "super" => [&self.path[..self.path.len().checked_sub(supers)?], &written[supers..]].concat(),
            head => {
                self.module.heads.insert(head.to_owned());
                return None;
            }
        };
        self.module.names.insert(path.clone());
        Some(path)
    }
}

/// Reads a path of names with `::` between them, and answers where it ends.
fn plain_path(tokens: &[TokenTree], mut at: usize, head: String) -> (Vec<String>, usize) {
    let mut path = vec![head];
    at += 1;
    while is_path_separator(&tokens[at..]) {
        let Some(TokenTree::Ident(ident)) = tokens.get(at + 2) else { break };
        path.push(ident.to_string());
        at += 3;
    }
    // What follows may be the separator before a turbofish.
    (path, if is_path_separator(&tokens[at..]) { at + 2 } else { at })
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

fn is_path_separator(tokens: &[TokenTree]) -> bool {
    is_punct(tokens.first(), ':') && is_punct(tokens.get(1), ':')
}

/// Whether `#[cfg(test)]` is next.
fn is_test_attribute(tokens: &[TokenTree]) -> bool {
    let Some(TokenTree::Group(group)) = tokens.get(1) else { return false };
    is_punct(tokens.first(), '#') && group.stream().to_string().replace(' ', "") == "cfg(test)"
}

/// Where the item that begins here, with its other attributes, has ended.
fn after_item(tokens: &[TokenTree], from: usize) -> usize {
    let is_end = |at: &usize| match &tokens[*at] {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        token => is_punct(Some(token), ';'),
    };
    (from..tokens.len()).find(is_end).map_or(tokens.len(), |end| end + 1)
}
