//! The run's table on DynamoDB: one table for all runs of a stack.
//!
//! What rows there are is in [`rows`]; here is how they are read and written.
//! What the controller decides it writes to the run's own partition first and
//! then to the replicas that workers read, so whoever sees a replica can rely on
//! the original. Each write can be repeated.

mod items;

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, PutRequest, ReturnValue, TransactWriteItem, Update, WriteRequest,
};
use deathstar_statemachine::config::Config;
use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::{RunId, SliceId};
use deathstar_statemachine::message::ConfigRef;
use deathstar_statemachine::plan::Plan;
use deathstar_statemachine::report::{Report, Round, SliceEnd, Stop};
use deathstar_statemachine::table::rows::{self, BUCKETS, json, parse};
use deathstar_statemachine::table::{LedgerEntry, LedgerState};
use deathstar_statemachine::window::Window;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use super::credentials_failed;
use crate::clock::{Clock, SystemClock};
use crate::ports::{REFUSED, RunSummary, Table, TableResult};

use items::{
    Group, Item, add_to_groups, body, document_items, expires, number, rank, row, string, summary, text,
};

/// How long one try of a call may take, and all tries of it: a call that hangs
/// would take the whole time of a task, which has retries of its own.
const TRY: Duration = Duration::from_secs(10);
const ALL_TRIES: Duration = Duration::from_secs(30);

/// The most bytes of a config with its bodies, as JSON. Its plan is written for
/// every bucket and read by every worker, before the load begins: a partition
/// gives 12 MB a second, so 1,000 workers on 16 of them take 6 s for as much.
/// See <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html>.
pub const CONFIG_LIMIT: usize = 1 << 20;

/// The most rows of one batch. See
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>.
const BATCH: usize = 25;

/// How often what a batch left unwritten is tried again, with growing pauses.
const BATCH_TRIES: u32 = 8;

/// The first of these pauses; each is twice the one before.
const BATCH_PAUSE: Duration = Duration::from_millis(50);

/// The run's table.
#[derive(Debug, Clone)]
pub struct DynamoTable {
    client: Client,
    name: String,
}

impl DynamoTable {
    /// The table of that name.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "a handle, as all adapters take it")]
    pub fn new(client: Client, name: String) -> Self {
        let timeouts =
            TimeoutConfig::builder().operation_attempt_timeout(TRY).operation_timeout(ALL_TRIES).build();
        let config = client.config().to_builder().timeout_config(timeouts).build();
        Self { client: Client::from_conf(config), name }
    }

    /// Reads a row, as it is now.
    async fn get(&self, pk: &str, sk: &str) -> TableResult<Option<Item>> {
        let got = self.client.get_item().table_name(&self.name).consistent_read(true);
        let got = got.key("pk", text(pk)).key("sk", text(sk)).send().await;
        Ok(got.map_err(|error| self.failed(&error))?.item)
    }

    /// Reads all rows of a partition between two sort keys, both included.
    async fn range(&self, pk: &str, from: &str, to: &str) -> TableResult<Vec<Item>> {
        let mut items = Vec::new();
        let mut start = None;
        loop {
            let (page, more) = self.page(pk, from, to, start, None).await?;
            items.extend(page);
            start = more;
            if start.is_none() {
                return Ok(items);
            }
        }
    }

    async fn page(
        &self,
        pk: &str,
        from: &str,
        to: &str,
        start: Option<Item>,
        limit: Option<i32>,
    ) -> TableResult<(Vec<Item>, Option<Item>)> {
        let query = self.client.query().table_name(&self.name).consistent_read(true);
        let query = query
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":pk", text(pk))
            .expression_attribute_values(":from", text(from))
            .expression_attribute_values(":to", text(to));
        let page = query.set_exclusive_start_key(start).set_limit(limit).send().await;
        let page = page.map_err(|error| self.failed(&error))?;
        let more = page.last_evaluated_key.filter(|key| !key.is_empty());
        Ok((page.items.unwrap_or_default(), more))
    }

    async fn put(&self, item: Item) -> TableResult<()> {
        let put = self.client.put_item().table_name(&self.name).set_item(Some(item)).send().await;
        put.map(|_| ()).map_err(|error| self.failed(&error))
    }

    /// Writes many rows, in no order.
    async fn put_all(&self, items: Vec<Item>) -> TableResult<()> {
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
                SystemClock.sleep(pause).await;
                pause *= 2;
            }
            if !left.is_empty() {
                let what = format!("{} rows of a batch stay unwritten", left.len());
                return Err(TaskError::Throttled(format!("table {}: {what}", self.name)));
            }
        }
        Ok(())
    }

    /// Writes a document; its head comes last, so that a reader sees all of it or
    /// nothing.
    async fn put_document(&self, pk: &str, name: &str, document: &impl Serialize) -> TableResult<()> {
        let (head, rest) = document_items(pk, name, document)?;
        self.put_all(rest).await?;
        self.put(head).await
    }

    async fn document<T: DeserializeOwned>(&self, pk: &str, name: &str) -> TableResult<Option<T>> {
        let Some(head) = self.get(pk, &rows::head(name)).await? else { return Ok(None) };
        let mut chunks = vec![body(&head, name)?];
        let parts: usize = number(&head, "parts").unwrap_or(1);
        if parts > 1 {
            let digest = string(&head, "digest").unwrap_or_default();
            let (from, to) = (rows::tail(name, digest, 1), rows::tail(name, digest, parts - 1));
            for item in self.range(pk, &from, &to).await? {
                chunks.push(body(&item, name)?);
            }
        }
        if chunks.len() != parts {
            return Err(TaskError::Broken(format!("{name} of {pk} has {} of {parts} rows", chunks.len())));
        }
        rows::join_document(name, &chunks).map(Some)
    }

    /// The same rows for every bucket of a run's workers, to be forgotten later.
    fn replicas(run: &RunId, item: &Item) -> Vec<Item> {
        let replica = |bucket| {
            let mut replica = item.clone();
            replica.insert("pk".to_owned(), AttributeValue::S(rows::read_partition(run, bucket)));
            replica.insert("expires".to_owned(), expires());
            replica
        };
        (0..BUCKETS).map(replica).collect()
    }

    /// Sets attributes of a row, and makes it when there is none. Returns all of
    /// it; `None` when the condition does not hold.
    async fn update(
        &self,
        pk: &str,
        sk: &str,
        expression: &str,
        condition: Option<&str>,
        names: &[(&str, &str)],
        values: Vec<(&str, AttributeValue)>,
    ) -> TableResult<Option<Item>> {
        let mut update = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(pk))
            .key("sk", text(sk))
            .update_expression(expression)
            .set_condition_expression(condition.map(ToOwned::to_owned))
            .return_values(ReturnValue::AllNew);
        for (name, attribute) in names {
            update = update.expression_attribute_names(*name, *attribute);
        }
        for (name, value) in values {
            update = update.expression_attribute_values(name, value);
        }
        match update.send().await {
            Ok(updated) => Ok(Some(updated.attributes.unwrap_or_default())),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// The run's first row, if it was claimed.
    async fn claimed(&self, run: &RunId) -> TableResult<Item> {
        let meta = self.get(&rows::run_partition(run), rows::META).await?;
        meta.filter(|meta| meta.contains_key("execution"))
            .ok_or_else(|| TaskError::Broken(format!("run {run} was never claimed")))
    }

    /// Writes a run's verdict, in its own row and in the list.
    async fn conclude(&self, run: &RunId, verdict: &str) -> TableResult<()> {
        let values = vec![(":v", text(verdict))];
        let pk = rows::run_partition(run);
        let meta = self.update(&pk, rows::META, "SET verdict = :v", None, &[], values).await?;
        self.relist(run, &meta.unwrap_or_default()).await
    }

    /// Brings a run's row in the list up to date, once the run is claimed. What
    /// another task wrote there meanwhile stays.
    async fn relist(&self, run: &RunId, meta: &Item) -> TableResult<()> {
        let (Some(claimed_at), true) = (string(meta, "claimed_at"), meta.contains_key("execution")) else {
            return Ok(());
        };
        let listed = ["claimed_at", "name", "execution", "over", "verdict"];
        let mut set = vec!["#run = :run".to_owned()];
        let mut values = vec![(":run".to_owned(), text(run.as_str()))];
        let mut names = vec![("#run".to_owned(), "run")];
        for attribute in listed {
            if let Some(value) = meta.get(attribute) {
                set.push(format!("#{attribute} = :{attribute}"));
                names.push((format!("#{attribute}"), attribute));
                values.push((format!(":{attribute}"), value.clone()));
            }
        }
        let names: Vec<(&str, &str)> =
            names.iter().map(|(name, attribute)| (name.as_str(), *attribute)).collect();
        let values = values.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let set = format!("SET {}", set.join(", "));
        self.update(rows::RUNS, &rows::listed(claimed_at, run), &set, None, &names, values).await?;
        Ok(())
    }

    /// Writes an attribute to all rows that workers obey; one that is there stays.
    async fn tell_workers(&self, run: &RunId, attribute: &str, value: &AttributeValue) -> TableResult<()> {
        let mut told = JoinSet::new();
        for bucket in 0..BUCKETS {
            let (table, value, attribute) = (self.clone(), value.clone(), attribute.to_owned());
            let pk = rows::read_partition(run, bucket);
            told.spawn(async move {
                let set = "SET #a = if_not_exists(#a, :v), expires = :e";
                let values = vec![(":v", value), (":e", expires())];
                table.update(&pk, rows::CONTROL, set, None, &[("#a", &attribute)], values).await
            });
        }
        while let Some(result) = told.join_next().await {
            result.map_err(|error| TaskError::Broken(error.to_string()))??;
        }
        Ok(())
    }

    /// Windows, or ends of slices, of one bucket from a sort key on: those whose
    /// rows were all read, and whether there are more.
    async fn groups_of_bucket(
        &self,
        run: &RunId,
        bucket: u32,
        (from, to): (&str, &str),
        limit: i32,
    ) -> TableResult<(Vec<Group>, bool)> {
        let pk = rows::work_partition(run, bucket);
        let mut groups = Vec::new();
        let mut start = None;
        loop {
            let (page, more) = self.page(&pk, from, to, start, Some(limit)).await?;
            for item in page {
                add_to_groups(run, &mut groups, item)?;
            }
            if more.is_none() {
                return Ok((groups, false));
            }
            // The last one's further rows may be in the next page.
            if groups.len() > 1 {
                groups.pop();
                return Ok((groups, true));
            }
            start = more;
        }
    }

    fn failed<E, R>(&self, error: &SdkError<E, R>) -> TaskError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        let what = match error.message() {
            Some(message) => format!("{}: {message}", error.code().unwrap_or("error")),
            None => DisplayErrorContext(error).to_string(),
        };
        if let Some(refused) =
            credentials_failed(error.code(), error, &format!("table {}: {what}", self.name))
        {
            return refused;
        }
        let region = self.client.config().region().map_or("", AsRef::as_ref);
        TaskError::of_dynamodb(&self.name, region, error.code(), &what)
    }

    /// Why the workers want the run to stop, if more than half of them do.
    async fn voted(&self, run: &RunId) -> TableResult<Option<Item>> {
        // They write it to all buckets, to this one first.
        let row = self.get(&rows::work_partition(run, 0), rows::STOP).await?;
        Ok(row.filter(|row| row.contains_key("body")))
    }
}

fn round_item(run: &RunId, round: &Round) -> TableResult<Item> {
    let mut item = row(&rows::run_partition(run), &rows::round(round.number));
    item.insert("body".to_owned(), AttributeValue::S(json(round)?));
    Ok(item)
}

impl Table for DynamoTable {
    async fn put_config(&self, at: &ConfigRef, config: &Config) -> TableResult<()> {
        self.put_document(&rows::config_partition(&at.name), &at.version, config).await
    }

    async fn config(&self, at: &ConfigRef) -> TableResult<Option<Config>> {
        self.document(&rows::config_partition(&at.name), &at.version).await
    }

    async fn claim_run(&self, run: &RunId, execution: &str, name: &str, now: Timestamp) -> TableResult<bool> {
        let claim = "SET execution = :x, #n = :n, claimed_at = if_not_exists(claimed_at, :t)";
        let free = "attribute_not_exists(execution) OR execution = :x";
        // With all digits, so that the order of texts is the order of times.
        let values =
            vec![(":x", text(execution)), (":n", text(name)), (":t", AttributeValue::S(format!("{now:.9}")))];
        let pk = rows::run_partition(run);
        let claimed = self.update(&pk, rows::META, claim, Some(free), &[("#n", "name")], values).await?;
        let Some(meta) = claimed else { return Ok(false) };
        self.relist(run, &meta).await?;
        Ok(true)
    }

    async fn refuse_run(&self, run: &RunId) -> TableResult<()> {
        self.conclude(run, REFUSED).await
    }

    async fn put_plan(&self, plan: &Plan) -> TableResult<()> {
        self.claimed(&plan.run).await?;
        let pk = rows::run_partition(&plan.run);
        self.put_document(&pk, rows::PLAN, plan).await?;
        let (head, rest) = document_items(&pk, rows::PLAN, plan)?;
        let rest = rest.iter().flat_map(|item| Self::replicas(&plan.run, item)).collect();
        self.put_all(rest).await?;
        self.put_all(Self::replicas(&plan.run, &head)).await
    }

    async fn plan(&self, run: &RunId) -> TableResult<Option<Plan>> {
        self.document(&rows::run_partition(run), rows::PLAN).await
    }

    async fn open_round(&self, run: &RunId, round: &Round) -> TableResult<Round> {
        let item = round_item(run, round)?;
        let put = self.client.put_item().table_name(&self.name).set_item(Some(item.clone()));
        let item = match put.condition_expression("attribute_not_exists(pk)").send().await {
            Ok(_) => item,
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => {
                let opened = self.get(&rows::run_partition(run), &rows::round(round.number)).await?;
                opened
                    .ok_or_else(|| TaskError::Broken(format!("run {run} has lost round {}", round.number)))?
            }
            Err(error) => return Err(self.failed(&error)),
        };
        // Again if need be: whoever opened it may have come no further.
        self.put_all(Self::replicas(run, &item)).await?;
        parse("a round", &body(&item, "a round")?)
    }

    async fn put_round(&self, run: &RunId, round: &Round) -> TableResult<()> {
        let item = round_item(run, round)?;
        self.put(item.clone()).await?;
        self.put_all(Self::replicas(run, &item)).await
    }

    async fn rounds(&self, run: &RunId) -> TableResult<Vec<Round>> {
        let to = format!("{}{}", rows::ROUND_PREFIX, rows::LAST);
        let items = self.range(&rows::run_partition(run), rows::ROUND_PREFIX, &to).await?;
        items.iter().map(|item| parse("a round", &body(item, "a round")?)).collect()
    }

    async fn slice_ends(
        &self,
        run: &RunId,
        after: Option<&SliceId>,
        limit: u32,
    ) -> TableResult<Vec<(SliceId, SliceEnd)>> {
        let first = after.map_or(0, |slice| rows::bucket_of(slice.shard));
        let to = format!("{}{}", rows::END_PREFIX, rows::LAST);
        let mut ends = Vec::new();
        for bucket in first..BUCKETS {
            let mut from = match after.filter(|_| bucket == first) {
                Some(slice) => format!("{}#{}", rows::end(slice), rows::LAST),
                None => rows::END_PREFIX.to_owned(),
            };
            loop {
                let wanted = i32::try_from(limit).unwrap_or(i32::MAX).saturating_add(1);
                let (groups, more) = self.groups_of_bucket(run, bucket, (&from, &to), wanted).await?;
                let last = groups.last().map(|group| group.key.clone());
                for group in groups {
                    // An end's first row comes last, and says how many there are:
                    // without it the end is still being written.
                    if group.parts == Some(group.bodies.len())
                        && let Some(end) = rows::join_end(&group.bodies)?
                    {
                        ends.push((group.slice, end));
                        if ends.len() >= limit as usize {
                            return Ok(ends);
                        }
                    }
                }
                match last.filter(|_| more) {
                    Some(last) => from = format!("{last}#{}", rows::LAST),
                    None => break,
                }
            }
        }
        Ok(ends)
    }

    async fn windows(
        &self,
        run: &RunId,
        from: u64,
        after: Option<&(SliceId, Window)>,
        limit: u32,
    ) -> TableResult<Vec<(SliceId, Window)>> {
        let after = after.map(|(slice, window)| format!("{}#{}", rows::window(window.at, slice), rows::LAST));
        let from = rows::windows_from(from).max(after.unwrap_or_default());
        // Of each bucket somewhat more than its share.
        let each = i32::try_from(limit / BUCKETS * 2 + 8).unwrap_or(i32::MAX);
        let mut reading = JoinSet::new();
        for bucket in 0..BUCKETS {
            let (table, run, from) = (self.clone(), run.clone(), from.clone());
            let to = format!("{}{}", rows::WINDOW_PREFIX, rows::LAST);
            reading.spawn(async move { table.groups_of_bucket(&run, bucket, (&from, &to), each).await });
        }
        let mut all = Vec::new();
        // Where the first of the buckets that have more was left: beyond that,
        // something may be missing.
        let mut sure_up_to: Option<String> = None;
        while let Some(read) = reading.join_next().await {
            let (groups, more) = read.map_err(|error| TaskError::Broken(error.to_string()))??;
            if more && let Some(Group { key, .. }) = groups.last() {
                sure_up_to = Some(sure_up_to.map_or_else(|| key.clone(), |sure| sure.min(key.clone())));
            }
            all.extend(groups);
        }
        all.retain(|group| sure_up_to.as_ref().is_none_or(|sure| group.key <= *sure));
        all.sort_by(|a, b| a.key.cmp(&b.key));
        all.truncate(limit as usize);
        let mut windows = Vec::with_capacity(all.len());
        for Group { key, slice, bodies, .. } in all {
            let window = rows::join_window(&bodies)?;
            windows.push((slice, window.ok_or_else(|| TaskError::Broken(format!("{key} is empty")))?));
        }
        Ok(windows)
    }

    async fn intend(&self, run: &RunId, name: &str) -> TableResult<bool> {
        let built = |error: aws_sdk_dynamodb::error::BuildError| TaskError::Broken(error.to_string());
        let pk = rows::run_partition(run);
        let not_over = ConditionCheck::builder()
            .table_name(&self.name)
            .key("pk", text(&pk))
            .key("sk", text(rows::META))
            .condition_expression("attribute_not_exists(#over)")
            .expression_attribute_names("#over", "over")
            .build()
            .map_err(built)?;
        let intent = Update::builder()
            .table_name(&self.name)
            .key("pk", text(&pk))
            .key("sk", AttributeValue::S(rows::ledger(name)))
            .update_expression("SET #n = :n, #r = if_not_exists(#r, :r)")
            .expression_attribute_names("#n", "name")
            .expression_attribute_names("#r", "rank")
            .expression_attribute_values(":n", text(name))
            .expression_attribute_values(":r", rank(LedgerState::Intent))
            .build()
            .map_err(built)?;
        let written = self
            .client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().condition_check(not_over).build())
            .transact_items(TransactWriteItem::builder().update(intent).build())
            .send()
            .await;
        let Err(error) = written else { return Ok(true) };
        if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
            error.as_service_error()
        {
            let reasons: Vec<&str> =
                cancelled.cancellation_reasons().iter().filter_map(|reason| reason.code()).collect();
            if reasons.contains(&"ConditionalCheckFailed") {
                return Ok(false);
            }
            // Another task has its hands on one of the rows, or there were too
            // many: as good as throttled.
            if reasons.iter().any(|reason| *reason != "None" && *reason != "ValidationError") {
                let what = format!("table {}: {}", self.name, reasons.join(", "));
                return Err(TaskError::Throttled(what));
            }
        }
        Err(self.failed(&error))
    }

    async fn advance(&self, run: &RunId, name: &str, state: LedgerState) -> TableResult<()> {
        let (pk, sk) = (rows::run_partition(run), rows::ledger(name));
        let forwards = Some("attribute_exists(#r) AND #r < :r");
        let values = vec![(":r", rank(state))];
        let moved = self.update(&pk, &sk, "SET #r = :r", forwards, &[("#r", "rank")], values).await?;
        if moved.is_none() && self.get(&pk, &sk).await?.is_none() {
            return Err(TaskError::Broken(format!("{name} is not in the ledger of run {run}")));
        }
        Ok(())
    }

    async fn ledger(&self, run: &RunId) -> TableResult<Vec<LedgerEntry>> {
        let to = format!("{}{}", rows::LEDGER_PREFIX, rows::LAST);
        let items = self.range(&rows::run_partition(run), rows::LEDGER_PREFIX, &to).await?;
        let entry = |item: &Item| {
            let state = number(item, "rank").and_then(LedgerState::by_rank);
            let entry = string(item, "name").zip(state);
            let entry = entry.map(|(name, state)| LedgerEntry { name: name.to_owned(), state });
            entry.ok_or_else(|| TaskError::Broken(format!("the ledger of run {run} has a damaged row")))
        };
        items.iter().map(entry).collect()
    }

    async fn end_run(&self, run: &RunId) -> TableResult<()> {
        let over = AttributeValue::Bool(true);
        let values = vec![(":o", over.clone())];
        let pk = rows::run_partition(run);
        let meta = self.update(&pk, rows::META, "SET #o = :o", None, &[("#o", "over")], values).await?;
        self.tell_workers(run, "over", &over).await?;
        self.relist(run, &meta.unwrap_or_default()).await
    }

    async fn is_over(&self, run: &RunId) -> TableResult<bool> {
        let meta = self.get(&rows::run_partition(run), rows::META).await?;
        Ok(meta.is_some_and(|meta| meta.contains_key("over")))
    }

    async fn request_stop(&self, run: &RunId, stop: &Stop) -> TableResult<()> {
        let first = "SET #s = if_not_exists(#s, :s)";
        // Workers may have asked before, in the rows that they may write.
        let voted = self.voted(run).await?.and_then(|mut row| row.remove("body"));
        let reason = voted.map_or_else(|| json(stop).map(AttributeValue::S), Ok)?;
        let values = vec![(":s", reason)];
        let pk = rows::run_partition(run);
        let meta = self.update(&pk, rows::META, first, None, &[("#s", rows::STOP)], values).await?;
        match meta.as_ref().and_then(|meta| meta.get(rows::STOP)) {
            Some(kept) => self.tell_workers(run, rows::STOP, kept).await,
            None => Ok(()),
        }
    }

    async fn stop(&self, run: &RunId) -> TableResult<Option<Stop>> {
        let meta = self.get(&rows::run_partition(run), rows::META).await?.unwrap_or_default();
        if let Some(stop) = string(&meta, rows::STOP) {
            return parse("a stop", stop).map(Some);
        }
        let voted = self.voted(run).await?;
        voted.as_ref().and_then(|row| string(row, "body")).map(|stop| parse("a stop", stop)).transpose()
    }

    async fn put_report(&self, run: &RunId, report: &Report) -> TableResult<()> {
        self.claimed(run).await?;
        let pk = rows::run_partition(run);
        self.put_document(&pk, rows::REPORT, report).await?;
        self.conclude(run, report.verdict.name()).await
    }

    async fn report(&self, run: &RunId) -> TableResult<Option<Report>> {
        self.document(&rows::run_partition(run), rows::REPORT).await
    }

    async fn run(&self, run: &RunId) -> TableResult<Option<RunSummary>> {
        let meta = self.get(&rows::run_partition(run), rows::META).await?;
        let Some(mut meta) = meta.filter(|meta| meta.contains_key("execution")) else { return Ok(None) };
        meta.insert("run".to_owned(), text(run.as_str()));
        summary(&meta).map(Some)
    }

    async fn runs(&self) -> TableResult<Vec<RunSummary>> {
        let mut items = self.range(rows::RUNS, "0", rows::LAST).await?;
        items.reverse();
        items.iter().map(summary).collect()
    }
}
