//! A config as a message: JSON, there and back.

use deathstar_statemachine::config::{Config, RawConfig};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{EXAMPLES, again, no_files, read};

#[test]
fn a_config_travels_as_the_document_it_was_read_from() {
    for (name, text) in EXAMPLES {
        let config = read(text);
        assert_eq!(again(&config), config, "{name}");
        let raw: RawConfig = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
        assert_eq!(raw, RawConfig::read(text).unwrap(), "{name}");
        assert_eq!(
            read(&serde_json::to_string(&config).unwrap()),
            config,
            "{name}: JSON is a config file too"
        );
    }
}

#[test]
fn an_invalid_config_cannot_arrive_as_a_message() {
    let mut message = serde_json::to_value(read(EXAMPLES[0].1)).unwrap();
    message["attacks"][0]["rate"] = json!("0/s");
    let error = serde_json::from_value::<Config>(message.clone()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "  attacks[0].rate: arrival rate 0/s never sends anything; write at least 1/h"
    );
    message["attacks"][0]["scenario"] = json!({});
    assert!(serde_json::from_value::<Config>(message).is_err());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        proptest::num::f64::NORMAL.prop_map(Value::from),
        "[^{$]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z]{1,6}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn any_load() -> impl Strategy<Value = Value> {
    prop_oneof![
        (1_u32..1_000_000, 1_u32..1000)
            .prop_map(|(rate, secs)| json!({ "constant": { "rate": format!("{rate}/s"), "for": format!("{secs}s") } })),
        (0_u32..5000, 1_u32..5000, 1_u32..5000).prop_map(|(from, to, over)| json!({ "ramp": {
            "from": format!("{from}/m"), "to": format!("{to}.5/h"), "over": format!("{over}ms"), "hold": "1m30s" } })),
        proptest::collection::vec(1_u32..5000, 1..20).prop_map(|rates| json!({ "steps": {
            "rates": rates.iter().map(|rate| format!("{rate}/s")).collect::<Vec<_>>(), "each": "1.5s" } })),
        (1_u32..1_000_000).prop_map(|count| json!({ "users": { "count": count, "for": "10s" } })),
    ]
}

fn any_config() -> impl Strategy<Value = Value> {
    let request = (any_json(), proptest::option::of(1_u32..10_000), "[ -~&&[^{$]]{0,10}");
    let attack = (any_load(), proptest::collection::vec(request, 1..5));
    let workers = prop_oneof![Just(json!("auto")), (1_u32..=10_000).prop_map(Value::from)];
    (proptest::collection::vec(attack, 1..4), workers, any::<bool>()).prop_map(|(attacks, workers, sequence)| {
        let attacks: Vec<Value> = attacks
            .into_iter()
            .enumerate()
            .map(|(index, (load, requests))| {
                let requests: Vec<Value> = requests
                    .into_iter()
                    .enumerate()
                    .map(|(index, (body, weight, header))| {
                        let mut request =
                            json!({ "post": format!("/{index}"), "json": body, "headers": { "x-any": header } });
                        if let Some(weight) = weight {
                            request["weight"] = json!(weight);
                        }
                        request
                    })
                    .collect();
                json!({ "name": format!("attack {index}"), "base_url": "http://h", "load": load, "requests": requests })
            })
            .collect();
        json!({ "name": "t", "attacks": attacks, "workers": workers, "slo": ["p99 < 1s"],
                "order": if sequence { "sequence" } else { "side_by_side" } })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_valid_config_stays_itself_as_json(document in any_config()) {
        let raw: RawConfig = serde_json::from_value(document).unwrap();
        let config = Config::try_from(raw.clone()).unwrap();
        prop_assert_eq!(&RawConfig::from(config.clone()), &raw);
        prop_assert_eq!(&again(&config), &config);
        // And the tree reads JSON exactly as serde_json does.
        let text = serde_json::to_string_pretty(&config).unwrap();
        prop_assert_eq!(&Config::from_text(&text, no_files).unwrap(), &config);
    }

    #[test]
    fn no_text_makes_it_panic(text in "(name|attacks|load|- |: |\\[|\\]|\\{|\\}|\"|'|\n|  |\t|&a|\\*a|[0-9]|/s|é|#|---|!!|\\||>|\\PC){0,40}") {
        if let Err(error) = Config::from_text(&text, no_files) {
            prop_assert!(error.to_string().starts_with("  "));
        }
    }
}
