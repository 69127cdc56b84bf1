//! Filters of subscriptions, in the dialects of the CloudEvents Subscriptions API, as JSON.

use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, LitStr, Result};

use crate::attributes::{self, GivenOptions, comma, parentheses, text};

/// The filters in parentheses, all of which must match, as a JSON array.
pub(crate) fn parse(input: ParseStream<'_>) -> Result<String> {
    const EXAMPLE: &str = "filters(prefix(source = \"/shop\"))";
    let span = input.span();
    let filters = list(&parentheses(input, EXAMPLE)?)?;
    if filters.is_empty() {
        return Err(Error::new(span, format!("at least one filter is needed: `{EXAMPLE}`")));
    }
    Ok(array(&filters))
}

/// A filter as the JSON object of its dialect.
struct Filter(String);

impl Parse for Filter {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let dialect = input.call(Ident::parse_any)?;
        let name = dialect.to_string();
        if !matches!(name.as_str(), "exact" | "prefix" | "suffix" | "all" | "any" | "not") {
            return Err(Error::new(
                dialect.span(),
                format!("unknown filter `{name}`; the filters are `exact`, `prefix`, `suffix`, `all`, `any` and `not`"),
            ));
        }
        let content = parentheses(input, &format!("{name}(…)"))?;
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

/// The attributes with the values that they are compared with, as a JSON object.
fn attributes(input: ParseStream<'_>, dialect: &Ident) -> Result<String> {
    let mut given = GivenOptions::default();
    let mut members = Vec::new();
    while !input.is_empty() {
        let attribute = input.call(Ident::parse_any)?;
        let name = attribute.to_string();
        if !attributes::is_attribute(&name) || name == "data" {
            return Err(Error::new(
                attribute.span(),
                format!("`{name}` is not an attribute of an event; examples are `source`, `subject` and `type`"),
            ));
        }
        given.add(&attribute)?;
        let value: LitStr = text(input, &format!("{attribute} = \"…\""))?;
        if value.value().is_empty() {
            return Err(Error::new(value.span(), "an attribute is never empty"));
        }
        members.push(format!("{}:{}", string(&name), string(&value.value())));
        comma(input)?;
    }
    if members.is_empty() {
        return Err(Error::new(
            dialect.span(),
            format!("at least one attribute is needed: `{dialect}(subject = \"…\")`"),
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
    fn filters_without_a_condition_are_refused() {
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
