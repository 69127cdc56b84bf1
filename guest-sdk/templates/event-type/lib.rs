
/// The data of `{{type}}`. Until it has fields, it accepts every object.
#[derive(Clone, Debug, PartialEq, Event, Serialize, Deserialize)]
#[event(type = "{{type}}")]
pub struct {{Type}} {}
