//! `deathstar destroy`: take an installation away, and leave nothing.
//!
//! It starts from what there is, so it also finishes what was interrupted: a
//! stack half deleted, a bucket without a stack, workers without either.

use std::io::{self, BufRead, IsTerminal, Write};

use super::deploy::{delete, prefix, refuse_foreign};
use super::signals::Signals;
use super::{CommandError, block_on, eprintln_quietly, print};
use crate::aws::bucket::Bucket;
use crate::aws::connection::Connection;
use crate::aws::error::Why;
use crate::aws::functions::Functions;
use crate::aws::stack::{Phase, Stack, Stacks};
use crate::cli::DestroyArgs;
use crate::exit::Exit;
use crate::install::StackName;

pub(super) fn destroy(args: &DestroyArgs) -> Result<Exit, CommandError> {
    block_on(async {
        let found = Found::look(args).await?;
        if found.is_nothing() {
            print(&format!("there is no {}\n", found.title()))?;
            return Ok(Exit::Passed);
        }
        if !args.yes {
            confirm(&found.name, &found.title())?;
        }
        // Only now: until here Ctrl-C ends the process, and nothing is lost.
        let mut signals =
            Signals::listen().map_err(|error| CommandError::Broken(format!("no signals: {error}")))?;
        tokio::select! {
            exit = found.remove() => exit,
            () = signals.next() => {
                eprintln_quietly(
                    "interrupted; what CloudFormation has begun goes on. deathstar destroy waits for it and finishes",
                );
                Ok(Exit::Interrupted)
            }
        }
    })
}

/// What there is of an installation.
struct Found {
    name: StackName,
    region: String,
    account: String,
    connection: Connection,
    stacks: Stacks,
    functions: Functions,
    stack: Option<Stack>,
    /// The bucket of deploy's own making.
    bucket: Option<Bucket>,
    /// Worker functions, of runs under way or of runs past.
    workers: Vec<String>,
}

impl Found {
    async fn look(args: &DestroyArgs) -> Result<Self, CommandError> {
        let name = args.at.stack.clone();
        let connection = Connection::open(args.at.region.as_deref()).await?;
        let account = connection.identity().await?.account;
        let region = connection.region().to_owned();
        let (stacks, functions) = (Stacks::new(&connection, &name), Functions::new(&connection, &name));
        let stack = stacks.find().await?;
        stack.iter().try_for_each(|stack| refuse_foreign(stack, &name))?;
        let bucket = Bucket::new(&connection, name.bucket(&account, &region), &account);
        let bucket = bucket.exists().await?.then_some(bucket);
        let workers = functions.workers().await?;
        Ok(Self { name, region, account, connection, stacks, functions, stack, bucket, workers })
    }

    fn is_nothing(&self) -> bool {
        self.stack.is_none() && self.bucket.is_none() && self.workers.is_empty()
    }

    fn title(&self) -> String {
        format!("installation {} in {} of account {}", self.name, self.region, self.account)
    }

    async fn remove(self) -> Result<Exit, CommandError> {
        let Self { name, stacks, functions, .. } = &self;
        if let Some(stack) = settled(stacks, self.stack.as_ref(), name).await? {
            // What was never complete, or is half deleted, has run nothing, or
            // has no controller to ask any more.
            if stack.phase != Phase::Rubble {
                refuse_while_live(functions, name).await?;
            }
            eprintln_quietly(&format!("deleting the stack {name}"));
            delete(stacks, &stack, name).await?;
            self.empty_foreign_bucket(&stack).await?;
        }
        if let Some(bucket) = &self.bucket {
            eprintln_quietly(&format!("deleting the bucket {}", bucket.name()));
            bucket.empty("", &[]).await?;
            bucket.delete().await?;
        }
        // Without their table, workers send nothing and end; but they would
        // stay. A run may also have begun after the janitor looked.
        let mut exit = Exit::Passed;
        for worker in functions.workers().await? {
            match functions.delete(&worker).await {
                Ok(()) => eprintln_quietly(&format!("deleted {worker}, which a run had left behind")),
                Err(error) => {
                    eprintln_quietly(&format!("error: {error}"));
                    exit = Exit::NotTornDown;
                }
            }
        }
        if exit == Exit::Passed {
            print(&format!("removed: {}\n", self.title()))?;
        }
        Ok(exit)
    }

    /// In a bucket that `deploy` was given, only the objects are ours.
    async fn empty_foreign_bucket(&self, stack: &Stack) -> Result<(), CommandError> {
        let Some(name) = stack.parameters.get("CodeBucket") else { return Ok(()) };
        if *name == self.name.bucket(&self.account, &self.region) {
            return Ok(());
        }
        let bucket = Bucket::new(&self.connection, name.clone(), &self.account);
        if bucket.exists().await? {
            bucket.empty(&prefix(&self.name), &[]).await?;
        }
        Ok(())
    }
}

/// The stack, once no operation on it is under way.
async fn settled(
    stacks: &Stacks,
    stack: Option<&Stack>,
    name: &StackName,
) -> Result<Option<Stack>, CommandError> {
    match stack {
        Some(stack) if stack.phase == Phase::Busy => {
            eprintln_quietly(&format!("the stack {name} is busy ({}); waiting for it", stack.status));
            Ok(stacks.settle(&stack.id).await?)
        }
        other => Ok(other.cloned()),
    }
}

/// Has the janitor look, and refuses while it finds runs under way.
async fn refuse_while_live(functions: &Functions, name: &StackName) -> Result<(), CommandError> {
    let janitor = match functions.janitor().await {
        // It is there, and broken: nobody knows what is under way.
        Err(error) if matches!(error.why(), Why::Refused { .. } | Why::Garbled(_)) => {
            return Err(CommandError::Broken(format!(
                "{error}; nothing was deleted. deathstar deploy renews the controller"
            )));
        }
        answer => answer?,
    };
    let Some(janitor) = janitor else { return Ok(()) };
    for deleted in &janitor.deleted {
        eprintln_quietly(&format!("deleted {deleted}, which had outlived its run"));
    }
    if janitor.live.is_empty() {
        return Ok(());
    }
    let runs: Vec<String> = janitor.live.iter().map(ToString::to_string).collect();
    Err(CommandError::BadInput(format!(
        "runs are under way on {name}: {}; wait for them or stop them with deathstar stop",
        runs.join(", ")
    )))
}

/// Asks on the terminal, so that nobody loses results by a slip.
fn confirm(name: &StackName, title: &str) -> Result<(), CommandError> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(CommandError::BadInput(format!(
            "destroy deletes the {title}, and the results of all its runs; there is no terminal to ask on, so say --yes"
        )));
    }
    let mut err = io::stderr();
    let question =
        format!("This deletes the {title}, and the results of all its runs.\nType its name to go on: ");
    // A closed standard error leaves the question unasked; the answer still counts.
    let _ = err.write_all(question.as_bytes()).and_then(|()| err.flush());
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).map_err(|error| CommandError::Broken(error.to_string()))?;
    if answer.trim() == name.as_str() {
        Ok(())
    } else {
        Err(CommandError::BadInput(format!("its name is {name}; nothing was deleted")))
    }
}
