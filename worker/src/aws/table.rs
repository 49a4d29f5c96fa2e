//! The run's table on DynamoDB, as a worker reads and writes it.
//!
//! A worker reads the replicas of its bucket and writes to its bucket, so that
//! 10,000 of them stay below what a partition bears. See
//! [`rows`] for what there is.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, PutRequest, ReturnValue, WriteRequest};
use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::{RunId, SliceId};
use deathstar_statemachine::plan::Plan;
use deathstar_statemachine::report::{Round, SliceEnd, Stop};
use deathstar_statemachine::table::Claim;
use deathstar_statemachine::table::rows::{self, BUCKETS, json, parse};
use deathstar_statemachine::window::Window;

use crate::clock::{SystemClock, WallClock};
use crate::ports::{Control, WorkerTable};

/// How long a worker's rows are kept: a failed run's may be looked at later.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The most rows of one batch. See
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>.
const BATCH: usize = 25;

/// How often what a batch left unwritten is tried again, with growing pauses.
const BATCH_TRIES: u32 = 5;

/// The first of these pauses; each is twice the one before.
const BATCH_PAUSE: Duration = Duration::from_millis(50);

type Item = HashMap<String, AttributeValue>;

/// The run's table, for one worker.
#[derive(Debug, Clone)]
pub struct DynamoWorkerTable {
    client: Client,
    name: String,
    /// The bucket of the worker that reads.
    bucket: u32,
}

impl DynamoWorkerTable {
    /// The table of that name, for the worker of this shard.
    #[must_use]
    pub const fn new(client: Client, name: String, shard: u32) -> Self {
        Self { client, name, bucket: rows::bucket_of(shard) }
    }

    /// Reads a row as it is now. What the controller wrote before it invoked us
    /// must be seen.
    async fn get(&self, pk: &str, sk: &str) -> Result<Option<Item>, TaskError> {
        let got = self.client.get_item().table_name(&self.name).consistent_read(true);
        let got = got.key("pk", text(pk)).key("sk", text(sk)).send().await;
        Ok(got.map_err(|error| self.failed(&error))?.item)
    }

    async fn put_all(&self, items: Vec<Item>) -> Result<(), TaskError> {
        let request = |item| {
            let put = PutRequest::builder().set_item(Some(item)).build();
            put.map(|put| WriteRequest::builder().put_request(put).build())
        };
        let requests: Result<Vec<_>, _> = items.into_iter().map(request).collect();
        let requests = requests.map_err(|error| TaskError::Broken(error.to_string()))?;
        for batch in requests.chunks(BATCH) {
            let mut left = batch.to_vec();
            let mut pause = BATCH_PAUSE;
            for _ in 0..BATCH_TRIES {
                let written = self.client.batch_write_item().request_items(&self.name, left).send().await;
                let unwritten = written.map_err(|error| self.failed(&error))?.unprocessed_items;
                left = unwritten.and_then(|mut tables| tables.remove(&self.name)).unwrap_or_default();
                if left.is_empty() {
                    break;
                }
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            if !left.is_empty() {
                let what = format!("{} rows of a batch stay unwritten", left.len());
                return Err(TaskError::Throttled(format!("table {}: {what}", self.name)));
            }
        }
        Ok(())
    }

    async fn put(&self, item: Item) -> Result<(), TaskError> {
        let put = self.client.put_item().table_name(&self.name).set_item(Some(item)).send().await;
        put.map(|_| ()).map_err(|error| self.failed(&error))
    }

    /// A document of the bucket's replicas.
    async fn chunks(&self, run: &RunId, name: &str) -> Result<Vec<String>, TaskError> {
        let pk = rows::read_partition(run, self.bucket);
        let missing = || TaskError::Broken(format!("run {run} has no {name}"));
        let first = self.get(&pk, &rows::chunk(name, 0)).await?.ok_or_else(missing)?;
        let parts = first.get("parts").and_then(|parts| parts.as_n().ok()?.parse().ok()).unwrap_or(1);
        let mut chunks = vec![string(&first, "body").ok_or_else(missing)?.to_owned()];
        for part in 1..parts {
            let item = self.get(&pk, &rows::chunk(name, part)).await?.ok_or_else(missing)?;
            chunks.push(string(&item, "body").ok_or_else(missing)?.to_owned());
        }
        Ok(chunks)
    }

    fn failed<E, R>(&self, error: &SdkError<E, R>) -> TaskError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug,
    {
        let what = match error.message() {
            Some(message) => format!("{}: {message}", error.code().unwrap_or("error")),
            None => DisplayErrorContext(error).to_string(),
        };
        TaskError::of_dynamodb(&self.name, error.code(), &what)
    }
}

impl WorkerTable for DynamoWorkerTable {
    async fn plan(&self, run: &RunId) -> Result<Plan, TaskError> {
        rows::join_document(rows::PLAN, &self.chunks(run, rows::PLAN).await?)
    }

    async fn round(&self, run: &RunId, number: u32) -> Result<Round, TaskError> {
        let pk = rows::read_partition(run, self.bucket);
        let item = self.get(&pk, &rows::round(number)).await?;
        let body = item.as_ref().and_then(|item| string(item, "body"));
        parse("a round", body.ok_or_else(|| TaskError::Broken(format!("run {run} has no round {number}")))?)
    }

    async fn claim(&self, slice: &SliceId, token: &str) -> Result<Claim, TaskError> {
        let mut item = row(slice, rows::claim(slice));
        item.insert("token".to_owned(), text(token));
        let put = self.client.put_item().table_name(&self.name).set_item(Some(item));
        let put = put
            .condition_expression("attribute_not_exists(pk) OR #t = :t")
            .expression_attribute_names("#t", "token")
            .expression_attribute_values(":t", text(token));
        let won = match put.send().await {
            Ok(_) => true,
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => false,
            Err(error) => return Err(self.failed(&error)),
        };
        // Looked at after the claim is written, as it is now: a run that was over
        // before sends nothing, and one that is over later is seen by the look of
        // each second.
        let pk = rows::read_partition(&slice.run, self.bucket);
        let control = self.get(&pk, rows::CONTROL).await?.unwrap_or_default();
        Ok(match (control.contains_key("over"), won) {
            (true, _) => Claim::RunOver,
            (false, true) => Claim::Won,
            (false, false) => Claim::Lost,
        })
    }

    /// The end with the totals of its first requests only: whoever waits for it
    /// wants to know when.
    async fn slice_end(&self, slice: &SliceId) -> Result<Option<SliceEnd>, TaskError> {
        let item = self.get(&partition(slice), &rows::chunk(&rows::end(slice), 0)).await?;
        let body = item.as_ref().and_then(|item| string(item, "body"));
        body.map(|body| parse("a slice's end", body)).transpose()
    }

    async fn checkpoint(&self, slice: &SliceId, windows: Vec<Window>) -> Result<(), TaskError> {
        let mut items = Vec::new();
        for window in windows {
            let key = rows::window(window.at, slice);
            for (number, body) in rows::split_window(&window)?.into_iter().enumerate() {
                let mut item = row(slice, rows::chunk(&key, number));
                item.insert("body".to_owned(), AttributeValue::S(body));
                items.push(item);
            }
        }
        self.put_all(items).await
    }

    async fn finish(&self, slice: &SliceId, end: SliceEnd) -> Result<(), TaskError> {
        let bodies = rows::split_end(&end)?;
        let parts = bodies.len();
        let key = rows::end(slice);
        let item = |(number, body)| {
            let mut item = row(slice, rows::chunk(&key, number));
            item.insert("body".to_owned(), AttributeValue::S(body));
            item.insert("parts".to_owned(), AttributeValue::N(parts.to_string()));
            item
        };
        let mut items: Vec<Item> = bodies.into_iter().enumerate().map(item).collect();
        let first = items.remove(0);
        self.put_all(items).await?;
        // Last, and with the number of all: an end is whole or not there.
        self.put(first).await
    }

    async fn control(&self, run: &RunId) -> Result<Control, TaskError> {
        let keys = [
            (rows::read_partition(run, self.bucket), rows::CONTROL),
            (rows::work_partition(run, self.bucket), rows::STOP),
        ];
        let key = |(pk, sk): &(String, &str)| {
            HashMap::from([("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))])
        };
        // A moment old is good enough, and half the price.
        let keys = KeysAndAttributes::builder().set_keys(Some(keys.iter().map(key).collect())).build();
        let keys = keys.map_err(|error| TaskError::Broken(error.to_string()))?;
        let got = self.client.batch_get_item().request_items(&self.name, keys).send().await;
        let got = got.map_err(|error| self.failed(&error))?;
        let items = got.responses.and_then(|mut tables| tables.remove(&self.name)).unwrap_or_default();
        let says = |item: &Item| ["over", "stop", "body"].iter().any(|word| item.contains_key(*word));
        Ok(Control { stop: items.iter().any(says) })
    }

    async fn vote(&self, slice: &SliceId) -> Result<u32, TaskError> {
        let updated = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", AttributeValue::S(partition(slice)))
            .key("sk", text(rows::VOTES))
            .update_expression("ADD shards :s SET expires = :e")
            .expression_attribute_values(":s", AttributeValue::Ns(vec![slice.shard.to_string()]))
            .expression_attribute_values(":e", expires())
            .return_values(ReturnValue::AllNew)
            .send()
            .await
            .map_err(|error| self.failed(&error))?;
        let mut votes = updated.attributes.as_ref().map_or(0, votes_in);
        let others = (0..BUCKETS).filter(|bucket| *bucket != rows::bucket_of(slice.shard));
        for bucket in others {
            let pk = rows::work_partition(&slice.run, bucket);
            votes += self.get(&pk, rows::VOTES).await?.as_ref().map_or(0, votes_in);
        }
        Ok(votes)
    }

    async fn request_stop(&self, run: &RunId, stop: Stop) -> Result<(), TaskError> {
        let stop = AttributeValue::S(json(&stop)?);
        // To each bucket's worker; the first reason is kept.
        for bucket in 0..BUCKETS {
            let told = self
                .client
                .update_item()
                .table_name(&self.name)
                .key("pk", AttributeValue::S(rows::work_partition(run, bucket)))
                .key("sk", text(rows::STOP))
                .update_expression("SET body = if_not_exists(body, :s), expires = :e")
                .expression_attribute_values(":s", stop.clone())
                .expression_attribute_values(":e", expires());
            told.send().await.map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }
}

/// The partition in which a slice's rows are.
fn partition(slice: &SliceId) -> String {
    rows::work_partition(&slice.run, rows::bucket_of(slice.shard))
}

/// A row of a slice's, with its expiry.
fn row(slice: &SliceId, sk: String) -> Item {
    HashMap::from([
        ("pk".to_owned(), AttributeValue::S(partition(slice))),
        ("sk".to_owned(), AttributeValue::S(sk)),
        ("expires".to_owned(), expires()),
    ])
}

fn votes_in(item: &Item) -> u32 {
    let shards = item.get("shards").and_then(|shards| shards.as_ns().ok());
    u32::try_from(shards.map_or(0, Vec::len)).unwrap_or(u32::MAX)
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn string<'a>(item: &'a Item, attribute: &str) -> Option<&'a str> {
    item.get(attribute)?.as_s().ok().map(String::as_str)
}

/// When a row of today may be forgotten, in seconds of the epoch.
fn expires() -> AttributeValue {
    let kept = i64::try_from(KEPT.as_secs()).unwrap_or(i64::MAX);
    AttributeValue::N(SystemClock.now().as_second().saturating_add(kept).to_string())
}
