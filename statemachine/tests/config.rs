//! What a config file may say, what it must not, and how it is told.

use deathstar_statemachine::config::{Config, RawConfig};

fn read(text: &str) -> Result<Config, String> {
    Config::from_text(text, |file| Err(format!("there is no {file}"))).map_err(|error| error.to_string())
}

#[test]
fn smoke() {
    for name in ["quickstart", "checkout", "users", "steps"] {
        let text = std::fs::read_to_string(format!("../client/examples/{name}.yaml")).unwrap();
        let config = read(&text).unwrap_or_else(|e| panic!("{name}:\n{e}"));
        let json = serde_json::to_string(&config).unwrap();
        println!("{json}");
        assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
        assert!(RawConfig::read(&text).is_ok());
        assert_eq!(read(&json).unwrap(), config);
    }
    for text in [
        "",
        "# only\n",
        "- a\n",
        "hello",
        "name: x\nname: y\n",
        "name: x\nattacks:\n  - name: a\n    url: http://h/\n    durration: 10s\n",
        "name: x\nattacks:\n  - name: a\n    url: http://h/\n    load: {burst: {a: 1}}\n",
        "name: x\nattacks:\n  - name: a\n    url: http://h/\n    load: {constant: {}, ramp: {}}\n",
        "name: x\nattacks:\n  - name: a\n    url: http://h/\n    load: {constant: {rate: 5/s}}\n",
        "name: x\nattacks:\n  - name: a\n    url: http://h/\n    load: constant\n",
        "name: x\nattacks:\n  - name: a\n    url: http://h/\n    rate: 500\n    duration: 10\n    timeout: 0s\nworkers: 0\nslo:\n - p199 < 5\n - errors < 1%\n - errors<1.0%\n",
        "name: 5\nattacks: []\n",
        "name: x\nattacks:\n",
        "name: x\nattacks: []\ntags: {}\n",
        "name: x\nattacks: []\nworkers: {count: 5, memory: 5MB}\n",
        "name: x\nattacks: []\nworkers: {cuont: 5}\n",
        "name: x\nattacks: []\nworkers: -5\n",
        "name: x\nattacks: []\n---\nname: y\n",
        "name: x\n  attacks: []\n",
        "name: x\nattacks: [}\n",
        "name: x\nattacks:\n\t- name: a\n",
        "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
        "name: *nope\n",
        "{\n\t\"name\": \"x\",\n\t\"attacks\": [\t{\"name\":\"a\",\"url\":\"http:\\/\\/h\\/\",\"json\":{\"z\":\"\\ud83d\\ude00\",\"a\":1.5e3,\"n\":12345678901234567890123},\"rate\":\"5/s\",\"duration\":\"1s\"}]\n}",
    ] {
        println!(
            "--- {text}\n{}",
            match read(text) {
                Ok(c) => format!(
                    "OK {:?} {}",
                    c.attacks(),
                    String::from_utf8_lossy(&c.attacks()[0].requests[0].body)
                ),
                Err(e) => e,
            }
        );
    }
}
