//! Items of DynamoDB, made from our values and read back.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::{RunId, SliceId};
use deathstar_statemachine::table::LedgerState;
use deathstar_statemachine::table::rows::{self, Document};
use serde::Serialize;

use crate::clock::{Clock, SystemClock};
use crate::ports::{RunSummary, TableResult};

/// A row, by the names of its attributes.
pub(super) type Item = HashMap<String, AttributeValue>;

/// Rows of one window, or of one slice's end.
#[derive(Debug)]
pub(super) struct Group {
    /// Their sort key, without the chunk.
    pub key: String,
    pub slice: SliceId,
    /// How many rows there are, when the first says so.
    pub parts: Option<usize>,
    pub bodies: Vec<Blob>,
}

pub(super) fn summary(item: &Item) -> TableResult<RunSummary> {
    let damaged = || TaskError::Broken("the list of runs has a damaged row".to_owned());
    let needed = |attribute| string(item, attribute).ok_or_else(damaged);
    Ok(RunSummary {
        run: needed("run")?.parse().map_err(|_| damaged())?,
        execution: needed("execution")?.to_owned(),
        name: needed("name")?.to_owned(),
        claimed_at: needed("claimed_at")?.parse().map_err(|_| damaged())?,
        over: item.contains_key("over"),
        verdict: string(item, "verdict").map(ToOwned::to_owned),
    })
}

/// The rows of a document: its head, and the others.
pub(super) fn document_items(
    pk: &str,
    name: &str,
    document: &impl Serialize,
) -> TableResult<(Item, Vec<Item>)> {
    let document = Document::of(document)?;
    let item = |(key, body): (String, &String)| {
        let mut item = row(pk, &key);
        item.insert("body".to_owned(), text(body));
        item
    };
    let mut items: Vec<Item> = document.keys(name).zip(&document.chunks).map(item).collect();
    let mut head = items.remove(0);
    head.insert("parts".to_owned(), AttributeValue::N(document.chunks.len().to_string()));
    head.insert("digest".to_owned(), text(&document.digest));
    Ok((head, items))
}

/// Adds a row to those it belongs to; rows come in the order of their keys.
pub(super) fn add_to_groups(run: &RunId, groups: &mut Vec<Group>, mut item: Item) -> TableResult<()> {
    let Some(AttributeValue::B(body)) = item.remove("body") else {
        return Err(TaskError::Broken(format!("run {run} has a row without a body")));
    };
    let sk = string(&item, "sk").unwrap_or_default();
    let (key, slice) = rows::slice_of_chunk(run, sk)
        .ok_or_else(|| TaskError::Broken(format!("run {run} has a row {sk:?}, which is no slice's")))?;
    if let Some(group) = groups.last_mut().filter(|group| group.key == key) {
        group.bodies.push(body);
        return Ok(());
    }
    let first = sk == rows::chunk(key, 0);
    let parts = if first { number(&item, "parts") } else { None };
    groups.push(Group { key: key.to_owned(), slice, parts, bodies: vec![body] });
    Ok(())
}

pub(super) fn row(pk: &str, sk: &str) -> Item {
    HashMap::from([("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))])
}

pub(super) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

pub(super) fn rank(state: LedgerState) -> AttributeValue {
    AttributeValue::N(state.rank().to_string())
}

/// When a row of today may be forgotten, in seconds of the epoch.
pub(super) fn expires() -> AttributeValue {
    let kept = i64::try_from(rows::KEPT.as_secs()).unwrap_or(i64::MAX);
    AttributeValue::N(SystemClock.now().as_second().saturating_add(kept).to_string())
}

pub(super) fn string<'a>(item: &'a Item, attribute: &str) -> Option<&'a str> {
    item.get(attribute)?.as_s().ok().map(String::as_str)
}

pub(super) fn number<T: std::str::FromStr>(item: &Item, attribute: &str) -> Option<T> {
    item.get(attribute)?.as_n().ok()?.parse().ok()
}

pub(super) fn body(item: &Item, what: &str) -> TableResult<String> {
    let body = string(item, "body").map(ToOwned::to_owned);
    body.ok_or_else(|| TaskError::Broken(format!("the table has a row without a body: {what}")))
}
