//! JSON Schemas of TOML files, for editors.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};

/// The JSON Schema of a file, from the type that reads it. It has draft 7, which all editors know.
pub(crate) fn schema<T: JsonSchema>(title: &str) -> Value {
    // Before the other transforms, so that a reference does not get siblings from an `anyOf` that is resolved later.
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.transforms.insert(0, Box::new(RecursiveTransform(|schema: &mut Schema| adapt(schema))))
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), title.into());
    schema.to_value()
}

/// Adapts a schema to TOML.
fn adapt(schema: &mut Schema) {
    let Some(members) = schema.as_object_mut() else { return };
    remove_null(members);
    // The lines of a comment are one sentence.
    if let Some(Value::String(description)) = members.get_mut("description") {
        *description = description.replace("\n\n", "\u{0}").replace('\n', " ").replace('\u{0}', "\n\n");
    }
    // Editors do not know the formats of numbers.
    let format = members.get("format").and_then(Value::as_str).map(str::to_owned);
    let max = match format.as_deref() {
        Some("uint16") => Some(u64::from(u16::MAX)),
        Some("uint32") => Some(u64::from(u32::MAX)),
        Some("uint64" | "uint" | "double") => None,
        _ => return,
    };
    members.remove("format");
    if let Some(max) = max {
        members.entry("maximum").or_insert_with(|| max.into());
    }
}

/// TOML has no null: an optional key is left out.
fn remove_null(members: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = members.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            members.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = members.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Array(options)) = members.get_mut("anyOf") {
        options.retain(|option| option["type"] != "null");
        if let [Value::Object(only)] = &options[..] {
            let only = only.clone();
            members.remove("anyOf");
            for (key, value) in only {
                members.entry(key).or_insert(value);
            }
        }
    }
    if members.get("default").is_some_and(Value::is_null) {
        members.remove("default");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is used")]
    struct Inner {
        port: u16,
    }

    #[derive(Default, JsonSchema)]
    #[serde(deny_unknown_fields, default)]
    struct Example {
        /// A name.
        name: Option<String>,
        /// A part.
        inner: Option<Inner>,
        numbers: BTreeMap<String, u32>,
        size: u64,
    }

    #[test]
    fn a_schema_has_no_null_and_no_format_of_numbers() {
        let schema = schema::<Example>("example.toml");
        assert_eq!(schema["title"], "example.toml");
        let text = schema.to_string();
        assert!(!text.contains("null") && !text.contains("format"), "{text}");
        let properties = &schema["properties"];
        assert_eq!(properties["name"], serde_json::json!({ "description": "A name.", "type": "string" }));
        let reference = serde_json::json!([{ "$ref": "#/definitions/Inner" }]);
        assert_eq!(properties["inner"]["allOf"], reference);
        assert_eq!(schema["definitions"]["Inner"]["properties"]["port"]["maximum"], 65_535);
        assert_eq!(properties["numbers"]["additionalProperties"]["maximum"], u32::MAX);
        assert_eq!(properties["size"].get("maximum"), None);
    }
}
