//! The run's table on DynamoDB, as a worker reads and writes it.
//!
//! A worker reads the replicas of its bucket and writes to its bucket, so that
//! 10,000 of them stay below what a partition bears. See
//! [`rows`] for what there is.
//!
//! Reads may be a moment old, at half the price, where that does no harm: the
//! plan and a round never change, so what is there is right, and only what is
//! missing is asked for again as it is now; a stop is seen a moment later. What
//! is read as it is now: the mark of a run that is over, after a claim was
//! written, so that no claim made after the mark is won; the votes, after a vote
//! was written, so that the last voter sees all of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::primitives::Blob;
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

/// How long one try of a call may take, and all tries of it.
const TRY: Duration = Duration::from_secs(5);
const ALL_TRIES: Duration = Duration::from_secs(12);

/// The same for the look of each second: one that hangs must not hide the stop
/// that the next would see.
const LOOK_TRY: Duration = Duration::from_millis(700);
const LOOK_ALL_TRIES: Duration = Duration::from_millis(1500);

/// From one worker's vote to the next one's of its bucket, when all vote at
/// once: a row of so many voters bears 500 writes a second.
const VOTE_SPACING: Duration = Duration::from_millis(2);

/// How long a voter waits for a later one of its bucket, who counts for both.
const LATER_VOTE: Duration = Duration::from_millis(100);

/// Of a stream of voters that does not end, one in so many counts, too.
const COUNTING_VOTES: u32 = 16;

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
    /// For what must not take long.
    quick: Client,
    name: String,
    /// The bucket of the worker that reads.
    bucket: u32,
    /// Whether workers may vote to stop, as far as is known: they do when the
    /// plan says by what. If not, there is one row less to look at each second.
    may_vote: Arc<AtomicBool>,
}

impl DynamoWorkerTable {
    /// The table of that name, for the worker of this shard.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "a handle, as all adapters take it")]
    pub fn new(client: Client, name: String, shard: u32) -> Self {
        let within = |one, all| {
            let timeouts =
                TimeoutConfig::builder().operation_attempt_timeout(one).operation_timeout(all).build();
            Client::from_conf(client.config().to_builder().timeout_config(timeouts).build())
        };
        let (patient, quick) = (within(TRY, ALL_TRIES), within(LOOK_TRY, LOOK_ALL_TRIES));
        Self {
            client: patient,
            quick,
            name,
            bucket: rows::bucket_of(shard),
            may_vote: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Reads a row, as it is now.
    async fn get(&self, pk: &str, sk: &str) -> Result<Option<Item>, TaskError> {
        self.read(pk, sk, true).await
    }

    async fn read(&self, pk: &str, sk: &str, now: bool) -> Result<Option<Item>, TaskError> {
        let got = self.client.get_item().table_name(&self.name).consistent_read(now);
        let got = got.key("pk", text(pk)).key("sk", text(sk)).send().await;
        Ok(got.map_err(|error| self.failed(&error))?.item)
    }

    /// Reads a row that never changes once it is there, which it must be.
    async fn lasting(&self, run: &RunId, sk: &str) -> Result<Item, TaskError> {
        let pk = rows::read_partition(run, self.bucket);
        let item = match self.read(&pk, sk, false).await? {
            Some(item) => Some(item),
            None => self.get(&pk, sk).await?,
        };
        item.ok_or_else(|| TaskError::Broken(format!("run {run} has no {sk}")))
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
        let damaged = || TaskError::Broken(format!("the {name} of run {run} is damaged"));
        let head = self.lasting(run, &rows::head(name)).await?;
        let parts = head.get("parts").and_then(|parts| parts.as_n().ok()?.parse().ok()).unwrap_or(1);
        let digest = string(&head, "digest").unwrap_or_default();
        let mut chunks = vec![string(&head, "body").ok_or_else(damaged)?.to_owned()];
        for part in 1..parts {
            let item = self.lasting(run, &rows::tail(name, digest, part)).await?;
            chunks.push(string(&item, "body").ok_or_else(damaged)?.to_owned());
        }
        Ok(chunks)
    }

    /// Who has voted in the other buckets.
    async fn votes_of_others(&self, slice: &SliceId) -> Result<u32, TaskError> {
        let others = (0..BUCKETS).filter(|bucket| *bucket != rows::bucket_of(slice.shard));
        let key = |bucket| key(&rows::work_partition(&slice.run, bucket), rows::VOTES);
        let mut left: Vec<_> = others.map(key).collect();
        let mut votes = 0;
        for _ in 0..BATCH_TRIES {
            let keys = KeysAndAttributes::builder().set_keys(Some(left)).consistent_read(true).build();
            let keys = keys.map_err(|error| TaskError::Broken(error.to_string()))?;
            let got = self.client.batch_get_item().request_items(&self.name, keys).send().await;
            let got = got.map_err(|error| self.failed(&error))?;
            let items = got.responses.and_then(|mut tables| tables.remove(&self.name)).unwrap_or_default();
            votes += items.iter().map(votes_in).sum::<u32>();
            let unread = got.unprocessed_keys.and_then(|mut tables| tables.remove(&self.name));
            left = unread.map(|unread| unread.keys).unwrap_or_default();
            if left.is_empty() {
                return Ok(votes);
            }
            tokio::time::sleep(BATCH_PAUSE).await;
        }
        Err(TaskError::Throttled(format!("table {}: votes stay unread", self.name)))
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
        let region = self.client.config().region().map_or("", AsRef::as_ref);
        TaskError::of_dynamodb(&self.name, region, error.code(), &what)
    }
}

impl WorkerTable for DynamoWorkerTable {
    async fn plan(&self, run: &RunId) -> Result<Plan, TaskError> {
        let plan: Plan = rows::join_document(rows::PLAN, &self.chunks(run, rows::PLAN).await?)?;
        self.may_vote.store(plan.config.stop_if().is_some(), Ordering::Relaxed);
        Ok(plan)
    }

    async fn round(&self, run: &RunId, number: u32) -> Result<Round, TaskError> {
        let item = self.lasting(run, &rows::round(number)).await?;
        let damaged = || TaskError::Broken(format!("round {number} of run {run} is damaged"));
        parse("a round", string(&item, "body").ok_or_else(damaged)?)
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
        // Looked at after the claim is written, as it is now. Whoever marks the run
        // as over writes the mark to this row before it says that it did: a claim
        // made later is not won, and one made before sees the mark at its next
        // look, within a second.
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
        let Some(item) = item else { return Ok(None) };
        match item.get("body") {
            Some(AttributeValue::B(body)) => rows::unpack("a slice's end", body.as_ref()).map(Some),
            _ => Err(TaskError::Broken(format!("the end of {slice} is damaged"))),
        }
    }

    async fn checkpoint(&self, slice: &SliceId, windows: Vec<Window>) -> Result<(), TaskError> {
        let mut items = Vec::new();
        for window in windows {
            let key = rows::window(window.at, slice);
            for (number, body) in rows::split_window(&window)?.into_iter().enumerate() {
                let mut item = row(slice, rows::chunk(&key, number));
                item.insert("body".to_owned(), AttributeValue::B(Blob::new(body)));
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
            item.insert("body".to_owned(), AttributeValue::B(Blob::new(body)));
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
        let mut keys = vec![key(&rows::read_partition(run, self.bucket), rows::CONTROL)];
        if self.may_vote.load(Ordering::Relaxed) {
            keys.push(key(&rows::work_partition(run, self.bucket), rows::STOP));
        }
        let keys = KeysAndAttributes::builder().set_keys(Some(keys)).build();
        let keys = keys.map_err(|error| TaskError::Broken(error.to_string()))?;
        let got = self.quick.batch_get_item().request_items(&self.name, keys).send().await;
        let got = got.map_err(|error| self.failed(&error))?;
        let items = got.responses.and_then(|mut tables| tables.remove(&self.name)).unwrap_or_default();
        let says = |item: &Item| ["over", "stop", "body"].iter().any(|word| item.contains_key(*word));
        let stop = items.iter().any(says);
        let unread = got.unprocessed_keys.is_some_and(|tables| !tables.is_empty());
        if unread && !stop {
            return Err(TaskError::Throttled(format!("table {}: what to obey stays unread", self.name)));
        }
        Ok(Control { stop })
    }

    /// How many have voted, to the last voter of each bucket; to one who had
    /// others of its bucket behind it, how many of that bucket have, which is no
    /// more. Whoever votes last of all is the last of its bucket, so the vote
    /// that makes a majority is seen, and 10,000 voters need not each read what
    /// all the others wrote.
    async fn vote(&self, slice: &SliceId) -> Result<u32, TaskError> {
        tokio::time::sleep(VOTE_SPACING * (slice.shard / BUCKETS)).await;
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
        let own = updated.attributes.as_ref().map_or(0, votes_in);
        if !own.is_multiple_of(COUNTING_VOTES) {
            tokio::time::sleep(LATER_VOTE).await;
            let now = self.get(&partition(slice), rows::VOTES).await?.as_ref().map_or(0, votes_in);
            if now > own {
                return Ok(now);
            }
        }
        Ok(own + self.votes_of_others(slice).await?)
    }

    async fn request_stop(&self, run: &RunId, stop: Stop) -> Result<(), TaskError> {
        let stop = AttributeValue::S(json(&stop)?);
        // To each bucket's workers; the first reason is kept. The controller looks
        // at the first bucket.
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

fn key(pk: &str, sk: &str) -> Item {
    HashMap::from([("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))])
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn string<'a>(item: &'a Item, attribute: &str) -> Option<&'a str> {
    item.get(attribute)?.as_s().ok().map(String::as_str)
}

/// When a row of today may be forgotten, in seconds of the epoch.
fn expires() -> AttributeValue {
    let kept = i64::try_from(rows::KEPT.as_secs()).unwrap_or(i64::MAX);
    AttributeValue::N(SystemClock.now().as_second().saturating_add(kept).to_string())
}
