//! Filters of subscriptions, in the dialects of the CloudEvents Subscriptions API, as JSON.

use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, LitStr, Result};

use crate::attributes::{self, Keys, comma, value};

/// The filters in parentheses, of which all must match, as a JSON array.
pub(crate) fn parse(input: ParseStream<'_>) -> Result<String> {
    let content;
    let parentheses = syn::parenthesized!(content in input);
    let filters = list(&content)?;
    if filters.is_empty() {
        return Err(Error::new(
            parentheses.span.join(),
            "which events? Name a filter, such as `filter(prefix(source = \"/shop\"))`",
        ));
    }
    Ok(array(&filters))
}

/// A filter, as the JSON object of its dialect.
struct Filter(String);

impl Parse for Filter {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let dialect = input.call(Ident::parse_any)?;
        let name = dialect.to_string();
        if !matches!(name.as_str(), "exact" | "prefix" | "suffix" | "all" | "any" | "not") {
            return Err(Error::new(
                dialect.span(),
                format!("unknown filter `{name}`; known are `exact`, `prefix`, `suffix`, `all`, `any` and `not`"),
            ));
        }
        let content;
        syn::parenthesized!(content in input);
        let inner = match name.as_str() {
            "exact" | "prefix" | "suffix" => attributes(&content, &dialect)?,
            "not" => match list(&content)?.as_slice() {
                [filter] => filter.clone(),
                _ => {
                    return Err(Error::new(dialect.span(), "`not(…)` takes one filter; put several in `any` or `all`"));
                }
            },
            _ => match list(&content)?.as_slice() {
                [] => return Err(Error::new(dialect.span(), format!("`{name}(…)` takes at least one filter"))),
                filters => array(filters),
            },
        };
        Ok(Self(format!("{{\"{name}\":{inner}}}")))
    }
}

fn list(input: ParseStream<'_>) -> Result<Vec<String>> {
    let mut filters = Vec::new();
    while !input.is_empty() {
        filters.push(input.parse::<Filter>()?.0);
        comma(input)?;
    }
    Ok(filters)
}

fn array(filters: &[String]) -> String {
    format!("[{}]", filters.join(","))
}

/// The attributes and the values that a dialect compares them with, as a JSON object.
fn attributes(input: ParseStream<'_>, dialect: &Ident) -> Result<String> {
    let mut seen = Keys::default();
    let mut members = Vec::new();
    while !input.is_empty() {
        let attribute = input.call(Ident::parse_any)?;
        let name = attribute.to_string();
        if !attributes::is_attribute(&name) || name == "data" {
            return Err(Error::new(
                attribute.span(),
                format!("`{name}` is no attribute of an event; those are `source`, `subject`, `type` and such"),
            ));
        }
        seen.once(&attribute)?;
        let text = value::<LitStr>(input)?;
        if text.value().is_empty() {
            return Err(Error::new(text.span(), "an attribute is never empty"));
        }
        members.push(format!("{}:{}", string(&name), string(&text.value())));
        comma(input)?;
    }
    if members.is_empty() {
        return Err(Error::new(
            dialect.span(),
            format!("which attribute? Write it and its value: `{dialect}(subject = \"…\")`"),
        ));
    }
    Ok(format!("{{{}}}", members.join(",")))
}

/// A JSON string.
fn string(text: &str) -> String {
    let mut json = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            '\0'..='\x1f' => json.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => json.push(character),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use syn::parse::Parser as _;

    fn parse(text: &str) -> Result<String, String> {
        super::parse.parse_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn filters_become_the_dialects_of_cloudevents() {
        let text = r#"(
            exact(subject = "x", type = "y"),
            not(suffix(subject = ".tmp")),
            any(prefix(source = "/a"), all(exact(region = "\"eu\"\n"))),
        )"#;
        let json: serde_json::Value = serde_json::from_str(&parse(text).unwrap()).unwrap();
        let expected = serde_json::json!([
            { "exact": { "subject": "x", "type": "y" } },
            { "not": { "suffix": { "subject": ".tmp" } } },
            { "any": [{ "prefix": { "source": "/a" } }, { "all": [{ "exact": { "region": "\"eu\"\n" } }] }] },
        ]);
        assert_eq!(json, expected);
    }

    #[test]
    fn filters_that_say_nothing_are_mistakes() {
        for text in [
            "()",
            "(exact())",
            "(not())",
            "(not(exact(id = \"1\"), exact(id = \"2\")))",
            "(any())",
            "(exact(id = \"\"))",
            "(exact(id = \"1\", id = \"2\"))",
            "(exact(Subject = \"x\"))",
            "(exact(data = \"x\"))",
            "(sql(subject = \"x\"))",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
