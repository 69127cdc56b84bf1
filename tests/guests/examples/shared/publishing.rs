//! Publishing for services that do not use the SDK otherwise.

use sandbus_sdk::bindings::sandbus::plugin::bus;

pub(crate) fn publish(when: &str) {
    let message = bus::Message {
        type_: "service.done".to_owned(),
        subject: Some(when.to_owned()),
        datacontenttype: None,
        dataschema: None,
        extensions: Vec::new(),
        data: None,
        due: bus::Due::Now,
    };
    bus::publish(&message).expect("it is granted");
}
