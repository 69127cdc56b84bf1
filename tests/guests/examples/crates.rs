//! Gets random numbers from the usual crates, and publishes them.

use std::collections::HashMap;

use sandbus_sdk::prelude::*;

#[derive(Event, Serialize, Deserialize)]
#[event(type = "crates.used")]
struct Used {
    random: HashMap<String, String>,
}

#[on_event("crates.wanted")]
fn use_crates(_: Event<Vec<u8>>) -> Result<()> {
    publish(&Used { random: random() })?;
    Ok(())
}

fn random() -> HashMap<String, String> {
    /// More than the SDK requests from the host at a time.
    const LENGTH: usize = 5_000;
    let (mut old, mut middle, mut new) = (vec![0; LENGTH], vec![0; LENGTH], vec![0; LENGTH]);
    getrandom_02::getrandom(&mut old).expect("the SDK has random numbers");
    getrandom_03::fill(&mut middle).expect("the SDK has random numbers");
    getrandom::fill(&mut new).expect("the SDK has random numbers");
    let end = |bytes: &[u8]| format!("{:?}", &bytes[LENGTH - 16..]);
    let id = uuid::Uuid::new_v4();
    assert_eq!(id.get_version_num(), 4);
    HashMap::from([
        ("getrandom 0.2".to_owned(), end(&old)),
        ("getrandom 0.3".to_owned(), end(&middle)),
        ("getrandom 0.4".to_owned(), end(&new)),
        ("rand 0.9".to_owned(), rand_09::random::<u64>().to_string()),
        ("rand 0.10".to_owned(), rand::random::<u64>().to_string()),
        ("uuid".to_owned(), id.to_string()),
    ])
}

plugin! { name: "crates", handlers: [use_crates], publishes: [Used] }
