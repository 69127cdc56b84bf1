//! Helpers of tests that compare the documentation with the code.

use std::collections::BTreeSet;

use serde::de::value::Error;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;

/// The names of a struct's fields, as serde reads them.
pub(crate) fn fields_of<T: DeserializeOwned>() -> BTreeSet<String> {
    let mut fields: &[&str] = &[];
    // Reading ends with an error once the fields are known.
    drop(T::deserialize(FieldsOf(&mut fields)));
    assert!(!fields.is_empty(), "{} is not read as a struct", std::any::type_name::<T>());
    fields.iter().map(|field| (*field).to_owned()).collect()
}

struct FieldsOf<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldsOf<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("only the fields of a struct are read"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// A fenced block of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The text behind the opening fence: the language and what follows it.
    pub(crate) info: String,
    pub(crate) text: String,
}

/// The fenced blocks of a page, in order.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in page.lines() {
        // A block in a list is indented.
        match (line.trim_start().strip_prefix("```"), open.take()) {
            (Some(info), None) => open = Some(Block { info: info.to_owned(), text: String::new() }),
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some(mut block)) => {
                block.text += line;
                block.text.push('\n');
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    blocks
}

/// The text of the block with a title, which must exist.
pub(crate) fn titled(page: &str, title: &str) -> String {
    let title = format!("title=\"{title}\"");
    let block = blocks(page).into_iter().find(|block| block.info.ends_with(&title));
    block.unwrap_or_else(|| panic!("the page has no block with {title}")).text
}

/// The TOML of a block, including the keys that have no default and stand there as comments.
pub(crate) fn with_commented_keys(block: &str) -> String {
    block.lines().map(|line| line.strip_prefix("# ").unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_their_info_and_text() {
        let page = "a\n```toml title=\"x.toml\"\n# a = 1\nb = 2\n```\n\n- b\n  ```text\n  ```\n";
        let all = blocks(page);
        let all: Vec<_> = all.iter().map(|block| (&*block.info, &*block.text)).collect();
        assert_eq!(all, [("toml title=\"x.toml\"", "# a = 1\nb = 2\n"), ("text", "")]);
        assert_eq!(with_commented_keys(&titled(page, "x.toml")), "a = 1\nb = 2");
    }

    #[test]
    fn fields_have_their_written_names() {
        #[derive(Debug, serde::Deserialize)]
        #[allow(dead_code, reason = "only its fields matter")]
        struct Example {
            #[serde(rename = "type")]
            event_type: String,
            #[serde(skip)]
            hidden: u8,
        }
        assert_eq!(fields_of::<Example>().into_iter().collect::<Vec<_>>(), ["type"]);
    }
}
