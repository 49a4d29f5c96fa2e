//! Metrics of CloudWatch, read by the controller once the load is over.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cloud::{Cloud, target};

/// A config that asks for metrics of a second each.
fn watched(address: std::net::SocketAddr) -> String {
    let metric = |namespace: &str, metric: &str| {
        format!(
            "      - cloudwatch: {{ namespace: {namespace}, metric: {metric}, dimensions: {{ Service: web }} }}\n        every: 1s\n"
        )
    };
    format!(
        "name: watched\nworkers: 2\nattacks:\n  - name: all\n    url: 'http://{address}/'\n    rate: 20/s\n    duration: 12s\n    resources:\n{}{}",
        metric("Test", "CPUUtilization"),
        metric("Test", "NeverPublished")
    )
}

#[test]
fn metrics_are_read_where_in_the_load_they_are() {
    let cloud = Cloud::new();
    let target = target();
    // Each second has its own number as its value, from now on for longer than the run is.
    let now = Timestamp::from_second(seconds_now(&cloud)).unwrap().as_second();
    for hundred in 0..3 {
        let data: Vec<Value> = (0..100)
            .map(|n| {
                let second = now + hundred * 100 + n;
                json!({
                    "MetricName": "CPUUtilization", "Timestamp": second, "Value": second,
                    "Dimensions": [{ "Name": "Service", "Value": "web" }],
                })
            })
            .collect();
        let put = json!({ "Namespace": "Test", "MetricData": data });
        cloud.account().ask("GraniteServiceVersion20100801.PutMetricData", &put.to_string());
    }
    cloud.submit("watched", &watched(target.address()));
    let report = cloud.report("watched");
    let resources = report["attacks"][0]["resources"].as_array().unwrap();
    let [cpu, never] = resources.as_slice() else { panic!("{resources:#?}") };
    assert_eq!((&cpu["name"], &cpu["capacity"], &cpu["missed"]), (&json!("cpu"), &json!(100.0), &json!(0)));
    // In 12 s lie eleven whole seconds, or twelve.
    let readings = cpu["readings"].as_u64().unwrap();
    assert!((11..=12).contains(&readings), "{cpu:#}");
    let started: Timestamp = report["started_at"].as_str().unwrap().parse().unwrap();
    for reading in cpu["series"].as_array().unwrap() {
        // A value is of the second that begins then, so it stands at that second's end.
        let second = reading["value"].as_f64().unwrap();
        let expected = second + 1.0 - started.as_millisecond() as f64 / 1000.0;
        let at = reading["at_s"].as_f64().unwrap();
        assert!((at - expected).abs() < 0.002, "{at} s is {expected} s");
    }
    assert_eq!((&never["metric"], &never["missed"]), (&Value::Null, &json!(1)));
    assert!(never["why"].as_str().unwrap().contains("CloudWatch has no value"), "{never:#}");
    cloud.is_clean();
}

#[test]
fn each_mode_says_what_it_cannot_read() {
    let cloud = Cloud::new();
    let pid = "name: here\nattacks: [{ name: a, url: 'http://127.0.0.1:1/', rate: 1/s, duration: 1s, resources: [{ pid: 1 }] }]\n";
    let output = cloud.call(&["submit", &cloud.config("pid", pid), "--id", "pid"]);
    let said = crate::cloud::words(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("cannot be read in mode aws"), "{said}");
    let output = cloud.call(&["run", &cloud.config("watched", &watched("127.0.0.1:1".parse().unwrap()))]);
    let said = crate::cloud::words(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("cannot be read in mode embedded"), "{said}");
}

/// The time by the emulator, whose machine is ours.
fn seconds_now(cloud: &Cloud<'_>) -> i64 {
    let answer =
        cloud.account().send(&cloud.account().request("GET /2015-03-31/functions/", &[], b"")).unwrap();
    let date = answer.header("date").expect("an answer has a date").to_owned();
    jiff::fmt::rfc2822::parse(&date).unwrap().timestamp().as_second()
}
