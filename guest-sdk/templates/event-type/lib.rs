
/// The data of `{{type}}`.
#[derive(Clone, Debug, PartialEq, Event, Serialize, Deserialize)]
#[event(type = "{{type}}")]
pub struct {{Type}} {
    /// A name.
    pub name: String,
}
