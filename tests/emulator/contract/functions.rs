//! Facts of worker functions.

use std::time::Duration;

use deathstar_controller::ports::{FunctionSpec, FunctionState, Functions};
use jiff::Timestamp;

use crate::account::Account;
use crate::aws::lambda_of;

const EXPIRES_AT: &str = "2026-11-24T07:00:00Z";

pub(super) async fn a_function_becomes_active(functions: &impl Functions) {
    assert_eq!(functions.state("f").await.unwrap(), FunctionState::Missing);
    functions.create(&spec("f")).await.unwrap();
    let mut seen = vec![functions.state("f").await.unwrap()];
    while *seen.last().unwrap() == FunctionState::Pending {
        tokio::time::sleep(Duration::from_millis(1)).await;
        seen.push(functions.state("f").await.unwrap());
    }
    assert_eq!(seen.first(), Some(&FunctionState::Pending));
    assert_eq!(seen.last(), Some(&FunctionState::Active));
    functions.delete("f").await.unwrap();
    assert_eq!(functions.state("f").await.unwrap(), FunctionState::Missing);
}

pub(super) async fn creating_and_deleting_may_be_repeated(functions: &impl Functions) {
    functions.delete("f").await.unwrap();
    functions.create(&spec("f")).await.unwrap();
    while functions.state("f").await.unwrap() == FunctionState::Pending {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    functions.create(&spec("f")).await.unwrap();
    assert_eq!(functions.state("f").await.unwrap(), FunctionState::Active, "a repeat makes no new one");
    functions.delete("f").await.unwrap();
    functions.delete("f").await.unwrap();
    assert_eq!(names(functions, "").await, [""; 0]);
}

pub(super) async fn functions_are_listed_by_prefix(functions: &impl Functions) {
    for name in ["run-a-0", "run-b-0", "run-a-1", "other"] {
        functions.create(&spec(name)).await.unwrap();
    }
    assert_eq!(names(functions, "run-a-").await, ["run-a-0", "run-a-1"]);
    assert_eq!(names(functions, "run-c-").await, [""; 0]);
    for listed in functions.list("").await.unwrap() {
        assert_eq!(listed.expires_at, Some(EXPIRES_AT.parse::<Timestamp>().unwrap()), "{}", listed.name);
    }
}

pub(super) async fn a_name_that_is_too_long_is_refused(functions: &impl Functions) {
    functions.create(&spec(&"f".repeat(64))).await.unwrap();
    for name in ["f".repeat(65), String::new()] {
        let refused = functions.create(&spec(&name)).await.unwrap_err();
        assert_eq!(refused.name(), "DeathStar.OverLimit", "{refused}");
    }
    assert_eq!(functions.state(&"f".repeat(65)).await.unwrap(), FunctionState::Missing);
}

/// Two stacks of an account may have runs of the same name.
#[tokio::test]
async fn stacks_of_one_account_neither_share_nor_delete_each_others_functions() {
    let account = Account::new();
    let (_folder, one) = lambda_of(&account, "one").await;
    let (_folder, other) = lambda_of(&account, "other").await;
    one.create(&spec("f")).await.unwrap();
    one.create(&spec("f")).await.unwrap();
    let taken = other.create(&spec("f")).await.unwrap_err();
    assert_eq!(taken.name(), "DeathStar.NotOurs", "{taken}");
    assert!(taken.to_string().contains("function f belongs to the installation \"one\""), "{taken}");
    other.delete("f").await.unwrap();
    assert_eq!((names(&one, "").await, names(&other, "").await), (vec!["f".to_owned()], vec![]));
    one.delete("f").await.unwrap();
    other.create(&spec("f")).await.unwrap();
    assert_eq!(names(&other, "").await, ["f"]);
}

async fn names(functions: &impl Functions, prefix: &str) -> Vec<String> {
    functions.list(prefix).await.unwrap().into_iter().map(|listed| listed.name).collect()
}

fn spec(name: &str) -> FunctionSpec {
    FunctionSpec {
        name: name.to_owned(),
        run: "a-run".parse().unwrap(),
        memory_mb: 128,
        expires_at: EXPIRES_AT.parse().unwrap(),
    }
}
