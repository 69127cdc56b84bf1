//! Pages of documentation: their blocks, links and names.

use std::path::{Path, PathBuf};

/// A page.
#[derive(Debug)]
pub(crate) struct Page {
    /// Its path in the repository.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// A fenced block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The number of its first line.
    pub(crate) line: usize,
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

/// What a block is for, by the text behind its fence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `console`: commands behind `$ `, each with its output below.
    Commands,
    /// `console background`: a command that runs until the end of the page.
    Background,
    /// `text background`: later output of the command in the background.
    BackgroundOutput,
    /// `LANGUAGE title="PATH"`: a file.
    File(String),
    /// Anything else, such as `console no-run`, with the text behind the fence.
    Other(String),
}

impl Kind {
    fn of(info: &str) -> Self {
        match info {
            "console" => Self::Commands,
            "console background" => Self::Background,
            "text background" => Self::BackgroundOutput,
            _ => match info.split_once(" title=\"") {
                Some((_, path)) => Self::File(path.trim_end_matches('"').to_owned()),
                None => Self::Other(info.to_owned()),
            },
        }
    }
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

impl Page {
    pub(crate) fn read(path: &str) -> Self {
        let text = std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path: path.into(), text }
    }

    /// All pages that users and contributors read.
    pub(crate) fn all() -> Vec<Self> {
        let mut paths = vec!["README.md".to_owned(), "ARCHITECTURE.md".to_owned()];
        for folder in ["docs", "docs/decisions", "guest-sdk", "tests/benches", "tests/frozen"] {
            let entries = std::fs::read_dir(root().join(folder)).unwrap().flatten();
            let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
            paths.extend(names.filter(|name| name.ends_with(".md")).map(|name| format!("{folder}/{name}")));
        }
        paths.iter().map(|path| Self::read(path)).collect()
    }

    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (index, line) in self.text.lines().enumerate() {
            match (line.trim_start().strip_prefix("```"), open.take()) {
                (Some(info), None) => open = Some(Block { line: index + 1, kind: Kind::of(info), text: String::new() }),
                (Some(_), Some(block)) => blocks.push(block),
                (None, Some(mut block)) => {
                    block.text += line;
                    block.text.push('\n');
                    open = Some(block);
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block has no end", self.path.display());
        blocks
    }

    /// The text of the first block in a language, without a title.
    pub(crate) fn example(&self, language: &str) -> String {
        let mut blocks = self.blocks().into_iter();
        let block = blocks.find(|block| block.kind == Kind::Other(language.to_owned()));
        block.unwrap_or_else(|| panic!("{} has no example in {language}", self.path.display())).text
    }

    /// The text of the block that is a file.
    pub(crate) fn file(&self, path: &str) -> String {
        let mut blocks = self.blocks().into_iter();
        let block = blocks.find(|block| block.kind == Kind::File(path.to_owned()));
        block.unwrap_or_else(|| panic!("{} has no file {path}", self.path.display())).text
    }

    /// The text outside of blocks.
    pub(crate) fn prose(&self) -> String {
        let mut inside = false;
        let outside = self.text.lines().filter(|line| {
            let is_fence = line.trim_start().starts_with("```");
            inside ^= is_fence;
            !inside && !is_fence
        });
        outside.collect::<Vec<_>>().join("\n")
    }

    /// The targets of its links.
    pub(crate) fn links(&self) -> Vec<String> {
        let prose = self.prose();
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        targets.map(|(target, _)| target.to_owned()).collect()
    }

    /// The anchors of its headings, as GitHub makes them.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let prose = self.prose();
        let headings = prose.lines().filter(|line| line.starts_with('#'));
        headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
    }

    /// The texts in backticks between two headings, or from the first one to the end.
    pub(crate) fn names(&self, from: &str, to: Option<&str>) -> Vec<String> {
        let prose = self.prose();
        let (_, section) = prose.split_once(from).unwrap_or_else(|| panic!("{} has no `{from}`", self.path.display()));
        let section = to.and_then(|to| section.split_once(to)).map_or(section, |(section, _)| section);
        section.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }
}

fn anchor(heading: &str) -> String {
    let plain = heading.to_lowercase().replace(' ', "-");
    plain.chars().filter(|char| char.is_alphanumeric() || "-_".contains(*char)).collect()
}
