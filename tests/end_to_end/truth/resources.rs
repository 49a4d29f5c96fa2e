//! Resources of targets of which it is known what they take.

use serde_json::Value;

use super::scenario::{Enough, Target, attack, number, repeat};

/// An attack with a load, beside which the target's process is read.
fn watched(target: &Target, load: &str) -> String {
    format!(
        "name: watched\nattacks:\n  - name: open\n    url: http://{}/\n    load: {{ {load} }}\n    resources: [{{ pid: {}, every: 200ms }}]\n",
        target.address,
        target.id()
    )
}

fn binding(report: &Value) -> String {
    let binding = &report["binding_resource"];
    let verdict = binding["verdict"].as_str().unwrap_or("–");
    let (full_at, r2) = (number(&binding["full_at"]), number(&binding["r2"]));
    let (Some(name), Some(full_at), Some(r2)) = (binding["name"].as_str(), full_at, r2) else {
        return verdict.to_owned();
    };
    format!("{verdict} {name}, full at {full_at:.0}/s, R² {r2:.3}")
}

fn resource<'a>(report: &'a Value, name: &str) -> &'a Value {
    let resources = report["resources"].as_array().expect("resources");
    resources
        .iter()
        .find(|resource| resource["name"] == name)
        .unwrap_or_else(|| panic!("{name} was read: {report:#}"))
}

#[test]
fn a_target_that_burns_is_bound_by_its_processor() {
    // 2 ms of one processor for each request: full at 500/s, less what HTTP takes.
    repeat("CPU-bound", Enough::All, || {
        let report = attack("--service 0s --burn 2ms", None, &[0], |target| {
            watched(target, "steps: { rates: [100/s, 200/s, 300/s, 400/s, 600/s], each: 3s }")
        });
        let full_at = number(&report["binding_resource"]["full_at"]).unwrap_or(0.0);
        let right = report["binding_resource"]["verdict"] == "binds"
            && report["binding_resource"]["name"] == "cpu"
            && (400.0..525.0).contains(&full_at);
        if right { Ok(binding(&report)) } else { Err(binding(&report)) }
    });
}

#[test]
fn a_target_that_only_waits_is_bound_by_nothing_that_is_read() {
    repeat("idle", Enough::All, || {
        let report = attack("--service 20ms --servers 8", None, &[0], |target| {
            watched(target, "steps: { rates: [50/s, 100/s, 200/s, 300/s, 380/s, 450/s], each: 3s }")
        });
        let right = report["binding_resource"]["verdict"] == "none_binds";
        if right { Ok(binding(&report)) } else { Err(binding(&report)) }
    });
}

#[test]
fn a_target_that_holds_files_is_bound_by_its_descriptors() {
    // Each request holds five for 100 ms, its connection among them: half a descriptor
    // per request and second. Of 256, some twelve are its own.
    repeat("descriptor-bound", Enough::All, || {
        let report = attack("--service 100ms --servers 1000 --hold-files 4", Some(256), &[0], |target| {
            watched(target, "steps: { rates: [50/s, 100/s, 200/s, 300/s, 400/s, 600/s], each: 3s }")
        });
        let full_at = number(&report["binding_resource"]["full_at"]).unwrap_or(0.0);
        let right = report["binding_resource"]["verdict"] == "binds"
            && report["binding_resource"]["name"] == "descriptors"
            && (400.0..600.0).contains(&full_at);
        if right { Ok(binding(&report)) } else { Err(binding(&report)) }
    });
}

#[test]
fn a_target_that_keeps_memory_leaks() {
    // 20 MiB for every 1,000 requests at 300/s: 6 MiB a second, 21,600 MiB an hour.
    repeat("leaking", Enough::All, || {
        let report = attack("--service 1ms --servers 8 --leak 20MiB", None, &[0], |target| {
            watched(target, "constant: { rate: 300/s, for: 20s }")
        });
        let leak = &resource(&report, "memory")["leak"];
        let per_hour = number(&leak["per_hour"]).unwrap_or(0.0) / 1024.0 / 1024.0;
        let files = &resource(&report, "descriptors")["leak"]["verdict"];
        let found = format!("{}, {per_hour:.0} MiB an hour; descriptors {files}", leak["verdict"]);
        let right = leak["verdict"] == "leaks" && (per_hour - 21_600.0).abs() <= 2160.0 && files == "none";
        if right { Ok(found) } else { Err(found) }
    });
}
