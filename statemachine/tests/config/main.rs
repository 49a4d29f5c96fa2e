//! What a config file may say, what it must not, and in which words that is
//! told. Messages are compared whole wherever they are ours.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod forms;
mod http;
mod json;
mod reads;
mod schema;
mod shapes;
mod values;

use deathstar_statemachine::config::{Attack, Config, Request};

const EXAMPLES: [(&str, &str); 9] = [
    ("quickstart", include_str!("../../../client/examples/quickstart.yaml")),
    ("checkout", include_str!("../../../client/examples/checkout.yaml")),
    ("users", include_str!("../../../client/examples/users.yaml")),
    ("steps", include_str!("../../../client/examples/steps.yaml")),
    ("secrets", include_str!("../../../client/examples/secrets.yaml")),
    ("burst", include_str!("../../../client/examples/burst.yaml")),
    ("capacity", include_str!("../../../client/examples/capacity.yaml")),
    ("resources", include_str!("../../../client/examples/resources.yaml")),
    ("session", include_str!("../../../client/examples/session.yaml")),
];

fn no_files(file: &str) -> Result<Vec<u8>, String> {
    Err(format!("nobody expected {file}"))
}

fn read(text: &str) -> Config {
    Config::from_text(text, no_files).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn refused(text: &str) -> String {
    match Config::from_text(text, no_files) {
        Ok(config) => panic!("{text}\nwas read as {config:?}"),
        Err(error) => error.to_string(),
    }
}

/// An attack with a load, and a target unless `fields` has one; `fields` are
/// its lines from line 5 on.
fn attack(fields: &str) -> String {
    let mut text =
        "name: t\nattacks:\n  - name: a\n    load: { constant: { rate: 1/s, for: 1s } }\n".to_owned();
    for line in fields.lines() {
        text.push_str("    ");
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn only_request(text: &str) -> Request {
    read(text).attacks()[0].requests[0].clone()
}

fn only_attack(text: &str) -> Attack {
    read(text).attacks()[0].clone()
}

/// The config after a trip as JSON.
fn again(config: &Config) -> Config {
    serde_json::from_str(&serde_json::to_string(config).unwrap()).unwrap()
}
