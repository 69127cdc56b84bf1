//! Fills templates.
//!
//! Placeholders such as `{{name}}` in a template are replaced. Lines from `[[on]]` or `[[route]]` to `[[end]]` are for
//! projects with such a handler, lines from `[[alone]]` for crates outside a workspace, lines from `[[shared]]` or
//! `[[own]]` for plugins in a shared workspace or elsewhere, and lines from `[[typed]]` or `[[untyped]]` for event
//! handlers with or without a shared event type.

use crate::handler::{Handler, example};
use crate::sdk::SdkPlace;

/// The values of a template's placeholders.
#[derive(Default)]
pub(crate) struct Substitutions {
    values: Vec<(&'static str, String)>,
    on: bool,
    route: bool,
    is_alone: bool,
    /// Whether the project is a plugin in a shared workspace.
    pub(crate) is_shared: bool,
    /// Whether the event handler has a shared event type.
    pub(crate) is_typed: bool,
}

impl Substitutions {
    /// Values for a template without conditions.
    pub(crate) fn of(values: &[(&'static str, &str)]) -> Self {
        let values = values.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { values, ..Self::default() }
    }

    /// Values for a new project.
    pub(crate) fn new(name: &str, handlers: &[Handler], sdk: SdkPlace) -> Self {
        let mut values = vec![("name", name.to_owned()), ("module", name.replace('-', "_"))];
        let mut fill = Self { is_alone: sdk.is_own, ..Self::default() };
        values.push(("sdk", sdk.path));
        for handler in handlers {
            match handler {
                Handler::Event(pattern) => {
                    fill.on = true;
                    // An event type that matches the pattern, for the test.
                    values.push(("example", example(pattern)));
                    values.push(("type", pattern.clone()));
                }
                Handler::Route(method, path) => {
                    fill.route = true;
                    let target = path.replace("{*", "").replace(['{', '}'], "");
                    values.push(("route", format!("{method} {path}")));
                    values.push(("target", format!("{method} {target}")));
                    values.push(("method", method.clone()));
                    values.push(("path", path.clone()));
                }
            }
        }
        Self { values, ..fill }
    }

    /// Sets a value, which replaces an earlier one of the name.
    pub(crate) fn set(&mut self, name: &'static str, value: String) {
        self.values.retain(|(known, _)| *known != name);
        self.values.push((name, value));
    }

    /// Whether the lines from a marker on are wanted; none if the line is not a marker.
    fn condition(&self, line: &str) -> Option<bool> {
        Some(match line {
            "[[on]]" => self.on,
            "[[route]]" => self.route,
            "[[alone]]" => self.is_alone,
            "[[shared]]" => self.is_shared,
            "[[own]]" => !self.is_shared,
            "[[typed]]" => self.on && self.is_typed,
            "[[untyped]]" => self.on && !self.is_typed,
            _ => return None,
        })
    }

    /// Adds values.
    pub(crate) fn extend(&mut self, values: Vec<(&'static str, String)>) {
        self.values.extend(values);
    }

    /// The text of a template with the values and without the lines that are not wanted.
    pub(crate) fn text(&self, template: &str) -> String {
        let mut text = String::new();
        let mut conditions = Vec::new();
        for line in template.lines() {
            match (line, self.condition(line)) {
                (_, Some(condition)) => conditions.push(condition),
                ("[[end]]", None) => drop(conditions.pop()),
                (line, None) if conditions.iter().all(|wanted| *wanted) => {
                    text.push_str(&self.values(line));
                    text.push('\n');
                }
                _ => {}
            }
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }

    /// A text with the values in place of their placeholders.
    pub(crate) fn values(&self, text: &str) -> String {
        self.values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str =
        "a {{name}}\n[[on]]\non {{type}} {{example}}\n[[end]]\n[[route]]\n{{route}} at {{target}}\n[[end]]\n";

    fn sdk() -> SdkPlace {
        SdkPlace { path: "vendor/sdk".to_owned(), is_own: true }
    }

    #[test]
    fn conditions_may_be_nested() {
        let on = [Handler::Event("user.registered".into())];
        let template =
            "[[on]]\na\n[[typed]]\nb\n[[end]]\n[[untyped]]\nc\n[[end]]\nd\n[[end]]\n[[shared]]\ne\n[[end]]\nf\n";
        let mut fill = Substitutions::new("a", &on, sdk());
        assert_eq!(fill.text(template), "a\nc\nd\nf\n");
        (fill.is_shared, fill.is_typed) = (true, true);
        assert_eq!(fill.text(template), "a\nb\nd\ne\nf\n");
        assert_eq!(Substitutions::new("a", &[], sdk()).text(template), "f\n");
    }

    #[test]
    fn a_template_has_what_the_project_handles() {
        let both = [Handler::Event("user.*".into()), Handler::Route("GET".into(), "/u/{id}/{*rest}".into())];
        let text = Substitutions::new("a-b", &both, sdk()).text(TEMPLATE);
        assert_eq!(text, "a a-b\non user.* user.any\nGET /u/{id}/{*rest} at GET /u/id/rest\n");
        assert_eq!(Substitutions::new("a-b", &both[..1], sdk()).text(TEMPLATE), "a a-b\non user.* user.any\n");
        assert_eq!(Substitutions::new("a-b", &[], sdk()).values("{{module}}.py"), "a_b.py");
    }
}
