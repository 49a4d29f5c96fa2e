//! What a config may say of the target's resources and of its fleet, what it must
//! not, and in which words that is told.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use deathstar_statemachine::config::source::{CloudWatch, Instances, Statistic};
use deathstar_statemachine::config::{self, Config, Probe, Source};
use deathstar_statemachine::plan::{Place, Plan, PlanError};
use deathstar_statemachine::scaling::Demand;
use serde_json::Value;

/// An attack with these lines from line 6 on.
fn text(fields: &str) -> String {
    let mut text = "name: t\nattacks:\n  - name: a\n    url: http://h/\n    load: { constant: { rate: 1/s, for: 1s } }\n".to_owned();
    for line in fields.lines() {
        text.push_str(&format!("    {line}\n"));
    }
    text
}

fn read(fields: &str) -> Config {
    let text = text(fields);
    Config::from_text(&text, |_| Err(String::new())).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn refused(fields: &str) -> String {
    let text = text(fields);
    match Config::from_text(&text, |_| Err(String::new())) {
        Ok(config) => panic!("{text}\nwas read as {config:?}"),
        Err(error) => error.to_string(),
    }
}

fn resource(fields: &str) -> Probe {
    let config = read(&format!("resources: [{{ {fields} }}]"));
    config.attacks()[0].resources[0].clone()
}

const CLOUDWATCH: &str =
    "cloudwatch: { namespace: AWS/EC2, metric: CPUUtilization, dimensions: { InstanceId: i-0abc } }";

#[test]
fn a_resource_is_short() {
    let probe = resource("prometheus: http://10.0.0.5:9100/metrics");
    let expected = Probe {
        name: "10.0.0.5:9100".to_owned(),
        source: Source::Prometheus("http://10.0.0.5:9100/metrics".parse().unwrap()),
        every: Duration::from_secs(1),
        series: Vec::new(),
        instances: None,
        capacity: BTreeMap::new(),
    };
    assert_eq!(probe, expected);
    assert!(read("").attacks()[0].resources.is_empty());
}

#[test]
fn every_source_has_a_name_and_a_period_by_default() {
    for (fields, name, every) in [
        ("prometheus: https://h/metrics", "h", 1),
        ("prometheus: 'http://[::1]:90/'", "[::1]:90", 1),
        ("pid: 1234", "pid 1234", 1),
        ("cgroup: /sys/fs/cgroup/web.slice", "web.slice", 1),
        ("cgroup: /", "/", 1),
        (CLOUDWATCH, "CPUUtilization", 60),
        ("pid: 1, name: ' web '", "web", 1),
    ] {
        let probe = resource(fields);
        assert_eq!((probe.name.as_str(), probe.every), (name, Duration::from_secs(every)), "{fields}");
    }
}

#[test]
fn a_resource_is_read_as_it_says() {
    let probe = resource(
        r#"prometheus: "http://h:1/m?a=b", every: 250ms, series: [up, 'q{b="2", a="1"}'], instances: ready, capacity: { cpu: 4, memory: 1.5e9, 'q{a="1",b="2"}': 0.5 }"#,
    );
    let series: Vec<String> = probe.series.iter().map(ToString::to_string).collect();
    assert_eq!(series, ["up", "q{a=\"1\",b=\"2\"}"]);
    assert_eq!(probe.instances, Some(Instances::Series("ready".parse().unwrap())));
    assert_eq!(probe.every, Duration::from_millis(250));
    let capacity = [("cpu", 4.0), ("memory", 1.5e9), ("q{a=\"1\",b=\"2\"}", 0.5)];
    assert_eq!(probe.capacity, capacity.map(|(name, full)| (name.to_owned(), full)).into());

    let probe =
        resource(&format!("{CLOUDWATCH}, every: 10s, instances: true, capacity: {{ CPUUtilization: 100 }}"));
    let expected = CloudWatch {
        namespace: "AWS/EC2".to_owned(),
        metric: "CPUUtilization".to_owned(),
        dimensions: [("InstanceId".to_owned(), "i-0abc".to_owned())].into(),
        statistic: Statistic::Average,
    };
    assert_eq!(probe.source, Source::CloudWatch(expected));
    assert_eq!((probe.instances, probe.every), (Some(Instances::Metric), Duration::from_secs(10)));
    assert_eq!(probe.capacity, [("CPUUtilization".to_owned(), 100.0)].into());
    let probe = resource(
        "cloudwatch: { namespace: A, metric: b, statistic: SampleCount }, every: 2m, instances: false",
    );
    let Source::CloudWatch(CloudWatch { statistic, .. }) = probe.source else { panic!("CloudWatch") };
    assert_eq!((statistic, probe.instances), (Statistic::SampleCount, None));
}

#[test]
fn what_cannot_be_read_is_refused() {
    let at = |fields: &str, problem: &str| {
        let told = refused(&format!("resources: [{{ {fields} }}]"));
        assert_eq!(told, format!("  line 6: attacks[0].resources[0]{problem}"), "{fields}");
    };
    at("every: 1s", ": there is nothing to read; write prometheus, pid, cgroup or cloudwatch");
    at(
        "pid: 1, cgroup: /a",
        ": a resource is read in one place, and this one has pid and cgroup; write one resource for each",
    );
    at("prometheus: h:9100", ".prometheus: \"h:9100\" has no scheme; write http://h:9100 or https://h:9100");
    at(
        "prometheus: 'http://u:p@h/'",
        ".prometheus: the URL carries a user name or a password; remove it, and send an authorization header",
    );
    let filled =
        "what is read of resources holds no reference, since reports say where it was read; write it out";
    at("prometheus: 'http://h/${env:A}'", &format!(".prometheus: {filled}"));
    at("cgroup: '/a/${secret:ssm:/b}'", &format!(".cgroup: {filled}"));
    at(
        "prometheus: 'http://h/{{ a }}'",
        ".prometheus: \"{{\" is not yet supported, and is never sent as it stands",
    );
    at("pid: 0", ".pid: pid 0 is out of range; write 1 to 4194304");
    at("pid: 4194305", ".pid: pid 4194305 is out of range; write 1 to 4194304");
    for path in ["web.slice", "/a/../b"] {
        let told = format!(
            ".cgroup: {path:?} is no directory of a cgroup; write its whole path, such as /sys/fs/cgroup/web.slice"
        );
        at(&format!("cgroup: {path}"), &told);
    }
    at("pid: 1, name: ' '", ".name: a name needs at least one visible character");
    at("pid: 1, every: 5", ".every: duration 5 has no unit; write 5s, 5ms or 5m");
    for every in ["99ms", "301s"] {
        let told = format!(".every: a time between two readings of {every} is outside 100ms … 5m");
        at(&format!("pid: 1, every: {every}"), &told);
    }
    for every in ["2s", "90s", "100ms"] {
        let told = format!(
            ".every: CloudWatch has no period of {every}; write 1s, 5s, 10s, 30s, or whole minutes up to 5m"
        );
        at(&format!("{CLOUDWATCH}, every: {every}"), &told);
    }
    at(
        "pid: 1, series: [up]",
        ".series: series are read of a Prometheus endpoint only; remove them, or write prometheus",
    );
    at(
        "prometheus: http://h/, series: ['a b']",
        ".series[0]: \"a b\" is no series; write its name, such as http_requests_total, or name{label=\"value\"}",
    );
    at("prometheus: http://h/, series: [up, 'up{}']", ".series[1]: up is written twice");
    let long = "a".repeat(201);
    at(
        &format!("prometheus: http://h/, series: [{long}]"),
        ".series[0]: a series of 201 bytes is too long; the limit is 200",
    );
    let instances =
        ".instances: instances is the name of a series beside prometheus, and true beside cloudwatch";
    at("pid: 1, instances: true", instances);
    at("prometheus: http://h/, instances: true", instances);
    at(&format!("{CLOUDWATCH}, instances: up"), instances);
    at("pid: 1, capacity: { cpu: 0 }", ".capacity.cpu: a capacity of 0 is none; write a number above zero");
    at(
        "pid: 1, capacity: { memory: -1 }",
        ".capacity.memory: a capacity of -1 is none; write a number above zero",
    );
    at(
        "prometheus: http://h/, series: [up], capacity: { upp: 1 }",
        ".capacity.upp: there is no \"upp\" here to be full; this resource has up, cpu, memory, descriptors",
    );
    at(
        "cgroup: /a, capacity: { descriptors: 1 }",
        ".capacity.descriptors: there is no \"descriptors\" here to be full; this resource has cpu, memory",
    );
    at(
        "cloudwatch: { namespace: '', metric: m }",
        ".cloudwatch.namespace: \"\" is no namespace of CloudWatch; write 1 to 255 visible ASCII characters, the first not a colon",
    );
    at(
        &format!("cloudwatch: {{ namespace: n, metric: {long} }}"),
        &format!(
            ".cloudwatch.metric: {long:?} is no metric of CloudWatch; write 1 to 200 visible ASCII characters, the first not a colon"
        ),
    );
    at(
        "cloudwatch: { namespace: n, metric: m, dimensions: { a: é } }",
        ".cloudwatch.dimensions.a: \"é\" is no dimension of CloudWatch; write 1 to 1024 visible ASCII characters, the first not a colon",
    );
}

#[test]
fn names_differ_whoever_gave_them() {
    assert_eq!(
        refused("resources:\n  - pid: 1\n  - pid: 2\n    name: pid 1"),
        "  line 9: attacks[0].resources[1].name: attacks[0].resources[0] is called \"pid 1\" too; names must differ"
    );
    assert_eq!(
        refused("resources:\n  - prometheus: http://h/a\n  - prometheus: http://h/b"),
        "  line 8: attacks[0].resources[1]: attacks[0].resources[0] is \"h\" too; give each a name of its own"
    );
}

#[test]
fn what_is_too_many_is_refused() {
    let many = |count: u32| (1..=count).map(|pid| format!("{{ pid: {pid} }}, ")).collect::<String>();
    assert_eq!(read(&format!("resources: [{}]", many(20))).attacks()[0].resources.len(), 20);
    let told = refused(&format!("resources: [{}]", many(21)));
    assert_eq!(told, "  line 6: attacks[0].resources: 21 resources are too many; the limit is 20");
    let series: String = (0..51).map(|number| format!("s{number}, ")).collect();
    let told = refused(&format!("resources: [{{ prometheus: http://h/, series: [{series}] }}]"));
    assert_eq!(told, "  line 6: attacks[0].resources[0].series: 51 series are too many; the limit is 50");
}

#[test]
fn a_wrong_shape_is_told_with_a_suggestion() {
    for (fields, told) in [
        (
            "resources: [{ prometeus: http://h/ }]",
            "unknown field \"prometeus\" in a resource; did you mean \"prometheus\"?",
        ),
        ("resources: { pid: 1 }", "expected a list, found fields"),
        ("resources: [{ pid: one }]", "expected a whole number, found the text \"one\""),
        (
            "resources: [{ pid: 1, capacity: { cpu: two } }]",
            "expected a number such as 16 or 0.5, found the text \"two\"",
        ),
        ("resources: [{ pid: 1, capacity: { cpu: .inf } }]", "value `.inf` is not a finite number"),
        (
            "resources: [{ pid: 1, instances: 5 }]",
            "expected the name of a series, or true, found the number 5",
        ),
        ("resources: [{ cloudwatch: { namespace: n } }]", "cloudwatch needs \"metric\""),
        (
            "resources: [{ cloudwatch: { namespace: n, metric: m, statistic: average } }]",
            "unknown word \"average\"; did you mean \"Average\"?",
        ),
        ("autoscaling: { peak: 5/s, minimum_fleet: 1 }", "autoscaling needs \"scale_out_delay\""),
        ("autoscaling: { peek: 5/s }", "unknown field \"peek\" in autoscaling; did you mean \"peak\"?"),
    ] {
        let refusal = refused(fields);
        assert!(refusal.starts_with("  line 6 column ") && refusal.contains(told), "{refusal}");
    }
}

#[test]
fn what_is_expected_of_a_fleet_is_read_with_its_defaults() {
    let fleet = |count| NonZeroU32::new(count).unwrap();
    let demand = Demand {
        peak: 6000.0,
        climb: Duration::from_secs(600),
        scale_out_delay: Duration::from_secs(90),
        minimum_fleet: fleet(2),
        tested_fleet: fleet(1),
    };
    let short = "autoscaling: { peak: 6000/s, scale_out_delay: 90s, minimum_fleet: 2 }";
    assert_eq!(read(short).attacks()[0].autoscaling, Some(demand.clone()));
    let long =
        "autoscaling: { peak: 6000/m, scale_out_delay: 90s, minimum_fleet: 2, tested_fleet: 3, climb: 1h }";
    let demand = Demand { peak: 100.0, climb: Duration::from_secs(3600), tested_fleet: fleet(3), ..demand };
    assert_eq!(read(long).attacks()[0].autoscaling, Some(demand));
    assert_eq!(read("").attacks()[0].autoscaling, None);
}

#[test]
fn all_that_no_fleet_can_be_is_told_at_once() {
    assert_eq!(
        refused(
            "autoscaling:\n  peak: 0/s\n  scale_out_delay: 500ms\n  minimum_fleet: 0\n  tested_fleet: 10001\n  climb: 2d"
        ),
        "  line 7: attacks[0].autoscaling.peak: arrival rate 0/s never sends anything; write at least 1/h
  line 8: attacks[0].autoscaling.scale_out_delay: a scale-out delay of 500ms is outside 1s … 1h
  line 9: attacks[0].autoscaling.minimum_fleet: number of instances 0 is out of range; write 1 to 10000
  line 10: attacks[0].autoscaling.tested_fleet: number of instances 10001 is out of range; write 1 to 10000
  line 11: attacks[0].autoscaling.climb: a climb of 2d is outside 1s … 1d"
    );
}

#[test]
fn a_plan_refuses_what_cannot_be_read_there() {
    let plan = |mode: &str, fields: &str| {
        let one = NonZeroU32::MIN;
        let place = Place {
            mode: mode.to_owned(),
            cores: one,
            rate_per_worker: one,
            sockets: one,
            workers_share_process: true,
            workers_per_function: one,
            lead: Duration::from_secs(1),
            checkpoint: Duration::from_secs(1),
            slice: Duration::from_secs(60),
            invocation: Duration::from_secs(900),
            setup: Duration::from_secs(1),
            grace: Duration::from_secs(1),
        };
        Plan::new("t".parse().unwrap(), read(fields), place, "2026-01-01T00:00:00Z".parse().unwrap())
    };
    let local = "resources: [{ pid: 7 }, { cgroup: /a/b, name: web }, { prometheus: http://h/ }]";
    assert!(plan("embedded", local).is_ok());
    let PlanError::Resources(sentences) = plan("aws", local).unwrap_err() else { panic!("resources") };
    assert_eq!(
        sentences,
        [
            "resource \"pid 7\" of attack \"a\" cannot be read in mode aws: process 7 is read on the machine that sends, so it needs a run there (embedded)",
            "resource \"web\" of attack \"a\" cannot be read in mode aws: cgroup /a/b is read on the machine that sends, so it needs a run there (embedded)",
        ]
    );
    let cloudwatch = format!("resources: [{{ {CLOUDWATCH} }}]");
    assert!(plan("aws", &cloudwatch).is_ok());
    assert_eq!(
        plan("embedded", &cloudwatch).unwrap_err().to_string(),
        "resource \"CPUUtilization\" of attack \"a\" cannot be read in mode embedded: CloudWatch AWS/EC2 CPUUtilization is read with the rights of a stack, so it needs a run on AWS"
    );
}

const WHOLE: &str = r#"resources:
  - prometheus: http://10.0.0.5:9100/metrics
    name: web
    every: 500ms
    series: [up, 'http_requests_total{code="500"}']
    capacity: { cpu: 8, up: 0.5 }
    instances: ready
  - pid: 1234
  - cgroup: /sys/fs/cgroup/web.slice
  - cloudwatch: { namespace: AWS/EC2, metric: CPUUtilization, dimensions: { InstanceId: i-0abc }, statistic: Maximum }
    instances: true
autoscaling: { peak: 6000/s, scale_out_delay: 90s, minimum_fleet: 2, tested_fleet: 1, climb: 10m }"#;

#[test]
fn a_config_with_resources_travels_as_the_document_it_was_read_from() {
    let config = read(WHOLE);
    let sent = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&sent).unwrap(), config);
}

fn fits_schema(document: &Value) -> Result<(), String> {
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("config.json", config::schema()).unwrap();
    let schema = compiler.compile("config.json", &mut schemas).unwrap();
    schemas.validate(document, schema).map_err(|error| error.to_string())
}

#[test]
fn the_schema_knows_them() {
    let yaml = |fields: &str| -> Value { serde_saphyr::from_str(&text(fields)).unwrap() };
    assert_eq!(fits_schema(&yaml(WHOLE)), Ok(()));
    assert_eq!(fits_schema(&serde_json::to_value(read(WHOLE)).unwrap()), Ok(()));
    for wrong in [
        "resources: [{ pid: 0 }]",
        "resources: [{ pid: 1, every: 5 }]",
        "resources: [{ cgroup: web.slice }]",
        "resources: [{ prometheus: 'ftp://h/' }]",
        "resources: [{ prometheus: 'http://h/', series: ['a b'] }]",
        "resources: [{ pid: 1, capacity: { cpu: 0 } }]",
        "resources: [{ cloudwatch: { namespace: n, metric: m, statistic: p99 } }]",
        "autoscaling: { peak: 5/s }",
        "autoscaling: { peak: 5/s, scale_out_delay: 1s, minimum_fleet: 0 }",
    ] {
        assert!(fits_schema(&yaml(wrong)).is_err(), "{wrong}");
    }
}
