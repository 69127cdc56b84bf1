//! Finds a program in the documentation of a package.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::entry::Program;

/// The text of a program in an unpacked package.
pub(super) fn text_of(package: &Path, program: &Program) -> anyhow::Result<String> {
    let path = package.join(&program.file);
    let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let block = blocks(&documentation(&path, &text))
        .into_iter()
        .find(|block| block.trim_start().starts_with(&program.starts_with));
    let block =
        block.with_context(|| format!("{} has no code that starts with `{}`", path.display(), program.starts_with))?;
    let block = if is_rust(&path) { with_hidden_lines(&block) } else { block };
    Ok(format!("{}{block}{}", program.before, program.after))
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// A block of code in a comment of Rust, with the lines that rustdoc hides. They begin with `# `.
fn with_hidden_lines(block: &str) -> String {
    block.lines().map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or(line))).collect()
}

/// The blocks of code in a text. A document that a shell command writes with `cat >FILE <<EOF` is a block of its own.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        let is_fence = line.trim_start().starts_with("```");
        let is_edge_of_document = line == "EOF" || line.ends_with("<<EOF");
        open = match open {
            None => is_fence.then(String::new),
            Some(block) if is_fence || is_edge_of_document => {
                blocks.push(block);
                is_edge_of_document.then(String::new)
            }
            Some(block) => Some(block + line + "\n"),
        };
    }
    blocks
}

/// The text of a README as it is, and the comments of a source file in Rust without their markers.
fn documentation(path: &Path, text: &str) -> String {
    if !is_rust(path) {
        return text.to_owned();
    }
    let comments = text.lines().filter_map(|line| {
        let line = line.trim_start();
        line.strip_prefix("//!").or_else(|| line.strip_prefix("///"))
    });
    comments.map(|text| format!("{}\n", text.strip_prefix(' ').unwrap_or(text))).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{blocks, documentation, with_hidden_lines};

    #[test]
    fn blocks_of_a_readme_and_of_a_shell_command_are_found() {
        let text = "# Use\n```rust\n/// Does it.\nfn main() {}\n```\ntext\n\
            ```shell\ncat >app.py <<EOF\nimport spin_sdk\nEOF\n```\n";
        let text = documentation(Path::new("README.md"), text);
        assert_eq!(blocks(&text), ["/// Does it.\nfn main() {}\n", "", "import spin_sdk\n", ""]);
    }

    #[test]
    fn blocks_of_a_comment_are_found() {
        let text = "//! Use:\n//! ```\n//! struct Component;\n//!\n//! // It does nothing.\n//! ```\nfn other() {}\n";
        let text = documentation(Path::new("src/lib.rs"), text);
        assert_eq!(blocks(&text), ["struct Component;\n\n// It does nothing.\n"]);
    }

    #[test]
    fn the_lines_that_rustdoc_hides_are_part_of_a_program() {
        assert_eq!(with_hidden_lines("# use a::B;\n#[test]\nlet c = 1; # d\n"), "use a::B;\n#[test]\nlet c = 1; # d\n");
    }
}
