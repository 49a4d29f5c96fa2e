//! The schema fits what reads, and nothing that does not.

use deathstar_statemachine::config;
use serde_json::{Value, json};

use super::{EXAMPLES, attack, read};

pub(super) fn fits_schema(document: &Value) -> Result<(), String> {
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("config.json", config::schema()).unwrap();
    let schema = compiler.compile("config.json", &mut schemas).unwrap();
    schemas.validate(document, schema).map_err(|error| error.to_string())
}

pub(super) fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

#[test]
fn what_reads_fits_the_schema() {
    for (name, text) in EXAMPLES {
        assert_eq!(fits_schema(&yaml(text)), Ok(()), "{name}");
        assert_eq!(fits_schema(&serde_json::to_value(read(text)).unwrap()), Ok(()), "{name}");
    }
    for text in [
        attack(
            "url: http://127.0.0.1/?a=b\nmethod: PATCH\njson: [1, null]\nheaders: { Host: h }\nslo: [p99.9 <= 5ms]",
        ),
        attack(
            "requests: [{ url: https://h, body_base64: AP8=, expect: { status: 204 } }, { get: /, weight: 3 }]",
        ),
        format!("{}workers: {{ count: auto }}\norder: sequence\n", attack("url: http://h/\njson: null")),
        format!(
            "{}workers: {{ memory: 2GB, regions: [eu-west-1] }}\nbudget: {{ max_usd: 0.5 }}\n",
            attack("url: 'http://h/${secret:secretsmanager:a#b}?c=$d'")
        ),
        attack("base_url: http://h\nrequests: [{ get: '/a?t=${secret:secretsmanager:a#b}' }]"),
    ] {
        assert_eq!(fits_schema(&yaml(&text)), Ok(()), "{text}");
    }
}

#[test]
fn what_is_wrong_does_not_fit_the_schema() {
    for text in [
        "name: t\n".to_owned(),
        "name: t\nattacks: []\n".to_owned(),
        attack("url: ftp://h/"),
        attack("url: http://user:secret@h/"),
        attack("url: http://h/\ntimeout: 5"),
        attack("url: http://h/\ntimeout: five"),
        attack("url: http://h/\ntimeout: null"),
        attack("url: http://h/\ndurration: 5s"),
        attack("url: http://h/\nmethod: \"GE T\""),
        attack("url: http://h/\nheaders: { x-a: 5 }"),
        attack("url: http://h/\nexpect: { status: 99 }"),
        attack("url: http://h/\nslo: [p99]"),
        attack("requests: [{ get: http://h/, weight: 0 }]"),
        attack("requests: [{ get: items }]"),
        "name: t\nattacks: [{ name: a, url: http://h/, load: { burst: {} } }]\n".to_owned(),
        attack("url: http://h/\narrivals: uniform"),
        attack("url: http://h/\nconnections: 0"),
        "name: t\nattacks: [{ name: a, url: http://h/, load: { constant: { rate: 500, for: 1s } } }]\n"
            .to_owned(),
        format!("{}workers: 0\n", attack("url: http://h/")),
        format!("{}workers: {{ memory: 2048 }}\n", attack("url: http://h/")),
        format!("{}workers: {{ regions: [] }}\n", attack("url: http://h/")),
        format!("{}workers: {{ regions: [eu-west-1, us-east-1] }}\n", attack("url: http://h/")),
        format!("{}budget: {{ max_usd: -1 }}\n", attack("url: http://h/")),
        attack("url: 'http://${env:HOST}/'"),
        attack("url: 'http://h/${env:A}#top'"),
        format!("{}order: parallel\n", attack("url: http://h/")),
        format!("{}stop_if: errors > 5%\n", attack("url: http://h/")),
    ] {
        assert!(fits_schema(&yaml(&text)).is_err(), "{text}");
    }
}

#[test]
fn the_schema_explains_every_field_and_knows_none_that_is_planned() {
    let schema = config::schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let text = schema.to_string();
    for planned in ["scenario", "within", "\"null\""] {
        assert!(!text.contains(planned), "{planned}");
    }
    let mut objects = vec![("config".to_owned(), &schema)];
    objects.extend(schema["$defs"].as_object().unwrap().iter().map(|(name, def)| (name.clone(), def)));
    let mut fields = 0;
    for (name, object) in objects {
        let Some(properties) = object["properties"].as_object() else { continue };
        assert_eq!(object["additionalProperties"], json!(false), "{name}");
        for (field, schema) in properties {
            assert!(
                schema["description"].as_str().is_some_and(|text| !text.contains('\n')),
                "{name}.{field}"
            );
            fields += 1;
        }
    }
    assert!(fields > 35, "{fields} fields");
}
