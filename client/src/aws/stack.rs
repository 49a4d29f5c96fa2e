//! The CloudFormation stack: one operation at a time, followed by its events.

use std::collections::HashSet;
use std::time::Duration;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::types::{Capability, Parameter, StackEvent, StackStatus, Tag};

use super::connection::Connection;
use super::error::{AwsError, Permission, Why, failed};
use crate::install::{Parameters, StackName, TEMPLATE};

/// Says that a stack is an installation of ours, by its name.
const TAG: &str = "deathstar:stack";

/// How long until a stack is looked at again: short at first, so that a small
/// change is not waited for, and then as often as costs nothing.
const LOOK_FIRST: Duration = Duration::from_millis(250);
const LOOK_LAST: Duration = Duration::from_secs(5);

/// How often in a row a look may fail before the operation is given up: it goes
/// on without us, and the network comes back.
const LOOKS_FAILED: u32 = 6;

/// What CloudFormation says of a resource that it gave up because of another.
const CANCELLED: [&str; 2] = ["Resource creation cancelled", "Resource update cancelled"];

/// Stacks of one name.
#[derive(Debug, Clone)]
pub(crate) struct Stacks {
    client: Client,
    name: StackName,
}

/// A stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stack {
    /// Its ARN, which stays its own when another takes its name.
    pub(crate) id: String,
    /// CloudFormation's word for how it is.
    pub(crate) status: String,
    /// What that means for us.
    pub(crate) phase: Phase,
    /// Whether `deploy` made it.
    pub(crate) ours: bool,
    /// Its parameters.
    pub(crate) parameters: Parameters,
    /// Its outputs.
    pub(crate) outputs: Parameters,
}

/// How a stack is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// An operation is under way.
    Busy,
    /// It is as one of its deploys asked; the latest, or one before.
    Whole,
    /// It was never complete, or is half deleted: it can only be deleted.
    Rubble,
    /// An update and its undoing both failed: someone must look.
    Stuck,
    /// It is gone.
    Gone,
}

/// A resource of a stack.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Resource {
    /// For example `AWS::Lambda::Function`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Its name, or its ARN or URL where that is what AWS calls it by.
    pub(crate) name: String,
}

impl Stacks {
    /// The stack `name`, if there is one.
    pub(crate) fn new(connection: &Connection, name: &StackName) -> Self {
        Self { client: Client::new(connection.config()), name: name.clone() }
    }

    /// The stack of this name now.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub(crate) async fn find(&self) -> Result<Option<Stack>, AwsError> {
        self.describe(self.name.as_str()).await
    }

    async fn describe(&self, name: &str) -> Result<Option<Stack>, AwsError> {
        let answer = self.client.describe_stacks().stack_name(name).send().await;
        let doing = format!("look at the stack {}", self.name);
        let answer = match answer.map_err(failed("cloudformation:DescribeStacks", doing)) {
            // A stack that does not exist is no error of its own here; a name
            // that could be none was refused by us.
            Err(error) if error.code() == Some("ValidationError") => return Ok(None),
            other => other?,
        };
        Ok(answer.stacks().first().map(Stack::of).filter(|stack| stack.phase != Phase::Gone))
    }

    /// Starts to create it, and returns its id. `token` marks its events.
    ///
    /// # Errors
    /// When it is refused.
    pub(crate) async fn create(&self, parameters: &Parameters, token: &str) -> Result<String, AwsError> {
        let create = self.client.create_stack().stack_name(self.name.as_str()).template_body(TEMPLATE);
        let create = create.capabilities(Capability::CapabilityNamedIam).client_request_token(token);
        let create = create.set_parameters(Some(sent(parameters))).tags(self.tag());
        let doing = format!("create the stack {}", self.name);
        let answer = create.send().await.map_err(failed("cloudformation:CreateStack", doing))?;
        Ok(answer.stack_id().unwrap_or(self.name.as_str()).to_owned())
    }

    /// Starts to update it. False when there is nothing to update.
    ///
    /// # Errors
    /// When it is refused.
    pub(crate) async fn update(&self, parameters: &Parameters, token: &str) -> Result<bool, AwsError> {
        let update = self.client.update_stack().stack_name(self.name.as_str()).template_body(TEMPLATE);
        let update = update.capabilities(Capability::CapabilityNamedIam).client_request_token(token);
        let update = update.set_parameters(Some(sent(parameters))).tags(self.tag());
        let doing = format!("update the stack {}", self.name);
        match update.send().await.map_err(failed("cloudformation:UpdateStack", doing)) {
            Ok(_) => Ok(true),
            // The one refusal that CloudFormation tells apart by its words only.
            Err(error) if says_nothing_to_update(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Starts to delete a stack by its id.
    ///
    /// # Errors
    /// When it is refused.
    pub(crate) async fn delete(&self, id: &str, token: &str) -> Result<(), AwsError> {
        let delete = self.client.delete_stack().stack_name(id).client_request_token(token);
        let doing = format!("delete the stack {}", self.name);
        delete.send().await.map_err(failed("cloudformation:DeleteStack", doing))?;
        Ok(())
    }

    /// Waits until a stack is not busy any more. `None` when it is gone.
    ///
    /// # Errors
    /// When it cannot be looked at for a while.
    pub(crate) async fn settle(&self, id: &str) -> Result<Option<Stack>, AwsError> {
        let (mut pause, mut failures) = (LOOK_FIRST, 0);
        loop {
            match self.describe(id).await {
                Ok(Some(stack)) if stack.phase == Phase::Busy => failures = 0,
                Ok(settled) => return Ok(settled),
                Err(error) => pass(error, &mut failures)?,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LOOK_LAST);
        }
    }

    /// Follows the operation that `token` marks to its end, and shows each
    /// resource that is done. `None` when the stack is gone.
    ///
    /// # Errors
    /// When the operation fails: with the first resource that did, and why.
    pub(crate) async fn follow(
        &self,
        id: &str,
        token: &str,
        doing: &str,
        mut show: impl FnMut(&str),
    ) -> Result<Option<Stack>, AwsError> {
        let mut seen = HashSet::new();
        let mut first = None;
        let (mut pause, mut failures) = (LOOK_FIRST, 0);
        loop {
            // In this order: what is settled has no event after.
            let looked = match self.describe(id).await {
                Ok(stack) => self.events(id, token, &mut seen).await.map(|events| (stack, events)),
                Err(error) => Err(error),
            };
            match looked {
                Err(error) => pass(error, &mut failures)?,
                Ok((stack, events)) => {
                    failures = 0;
                    for event in &events {
                        if let Some(line) = line(event) {
                            show(&line);
                        }
                        first = first.or_else(|| failure(event));
                    }
                    match (stack, first) {
                        (Some(Stack { phase: Phase::Busy, .. }), known) => first = known,
                        (_, Some(why)) => return Err(AwsError::new(doing, why)),
                        (stack, None) => return Ok(stack),
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LOOK_LAST);
        }
    }

    /// The events of an operation that were not seen yet, the oldest first.
    async fn events(
        &self,
        id: &str,
        token: &str,
        seen: &mut HashSet<String>,
    ) -> Result<Vec<StackEvent>, AwsError> {
        let mut new = Vec::new();
        let mut pages = self.client.describe_stack_events().stack_name(id).into_paginator().send();
        'pages: while let Some(page) = pages.next().await {
            let doing = format!("follow the stack {}", self.name);
            let page = page.map_err(failed("cloudformation:DescribeStackEvents", doing));
            let page = match page {
                // A stack that is gone has none.
                Err(error) if error.code() == Some("ValidationError") => break,
                page => page?,
            };
            for event in page.stack_events() {
                let ours = event.client_request_token() == Some(token);
                let fresh = seen.insert(event.event_id().unwrap_or_default().to_owned());
                if !fresh || !ours {
                    // The newest come first: the rest is older still.
                    break 'pages;
                }
                new.push(event.clone());
            }
        }
        new.reverse();
        Ok(new)
    }

    /// What it is made of.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub(crate) async fn resources(&self) -> Result<Vec<Resource>, AwsError> {
        let answer = self.client.describe_stack_resources().stack_name(self.name.as_str()).send().await;
        let doing = format!("list the resources of the stack {}", self.name);
        let answer = answer.map_err(failed("cloudformation:DescribeStackResources", doing))?;
        let mut resources: Vec<_> = answer
            .stack_resources()
            .iter()
            .map(|resource| Resource {
                kind: resource.resource_type().unwrap_or_default().to_owned(),
                name: resource.physical_resource_id().unwrap_or_default().to_owned(),
            })
            .collect();
        resources.sort_by(|a, b| (&a.kind, &a.name).cmp(&(&b.kind, &b.name)));
        Ok(resources)
    }

    fn tag(&self) -> Tag {
        Tag::builder().key(TAG).value(self.name.as_str()).build()
    }
}

impl Stack {
    fn of(stack: &aws_sdk_cloudformation::types::Stack) -> Self {
        let pair = |key: Option<&str>, value: Option<&str>| Some((key?.to_owned(), value?.to_owned()));
        let status = stack.stack_status().map_or("", StackStatus::as_str).to_owned();
        Self {
            id: stack.stack_id().or(stack.stack_name()).unwrap_or_default().to_owned(),
            phase: Phase::of(&status),
            status,
            ours: stack.tags().iter().any(|tag| tag.key() == Some(TAG)),
            parameters: stack
                .parameters()
                .iter()
                .filter_map(|parameter| pair(parameter.parameter_key(), parameter.parameter_value()))
                .collect(),
            outputs: stack
                .outputs()
                .iter()
                .filter_map(|output| pair(output.output_key(), output.output_value()))
                .collect(),
        }
    }
}

impl Phase {
    fn of(status: &str) -> Self {
        match status {
            "DELETE_COMPLETE" => Self::Gone,
            "CREATE_FAILED" | "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" | "DELETE_FAILED"
            // A change set that nobody executed: there is nothing in it.
            | "REVIEW_IN_PROGRESS" => Self::Rubble,
            "UPDATE_FAILED" | "UPDATE_ROLLBACK_FAILED" => Self::Stuck,
            busy if busy.ends_with("_IN_PROGRESS") => Self::Busy,
            _ => Self::Whole,
        }
    }
}

fn sent(parameters: &Parameters) -> Vec<Parameter> {
    let sent = parameters
        .iter()
        .map(|(name, value)| Parameter::builder().parameter_key(name).parameter_value(value).build());
    sent.collect()
}

fn says_nothing_to_update(error: &AwsError) -> bool {
    matches!(error.why(), Why::Refused { code, message }
        if code == "ValidationError" && message.contains("No updates are to be performed"))
}

/// Lets a failed look pass, unless too many did in a row, or it would fail for
/// ever.
fn pass(error: AwsError, failures: &mut u32) -> Result<(), AwsError> {
    *failures += 1;
    if error.may_pass() && *failures < LOOKS_FAILED { Ok(()) } else { Err(error) }
}

/// What is shown of an event: a resource that is done, or failed.
fn line(event: &StackEvent) -> Option<String> {
    let status = event.resource_status()?.as_str();
    let (kind, name) = (event.resource_type()?, event.logical_resource_id()?);
    let done = status.ends_with("_COMPLETE") || status.ends_with("_FAILED");
    (done && kind != "AWS::CloudFormation::Stack").then(|| format!("{status:<16}  {kind:<32}  {name}"))
}

/// Why an operation failed, when this event says it: not the stack itself, of
/// which CloudFormation only says that something in it failed, nor what was
/// given up for that.
fn failure(event: &StackEvent) -> Option<Why> {
    let status = event.resource_status()?.as_str();
    let kind = event.resource_type()?;
    let reason = event.resource_status_reason().unwrap_or("no reason is given");
    if kind == "AWS::CloudFormation::Stack" || !status.ends_with("_FAILED") || CANCELLED.contains(&reason) {
        return None;
    }
    Some(Why::Stack {
        resource: format!("{} ({kind})", event.logical_resource_id().unwrap_or_default()),
        reason: reason.to_owned(),
        denied: Permission::read(reason),
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudformation::types::ResourceStatus;

    use super::*;

    fn event(kind: &str, status: &str, reason: &str) -> StackEvent {
        StackEvent::builder()
            .logical_resource_id("It")
            .resource_type(kind)
            .resource_status(ResourceStatus::from(status))
            .resource_status_reason(reason)
            .build()
    }

    #[test]
    fn the_resource_to_blame_is_the_one_that_failed_by_itself() {
        let role = "AWS::IAM::Role";
        assert!(failure(&event(role, "CREATE_FAILED", "Resource creation cancelled")).is_none());
        assert!(failure(&event(role, "CREATE_IN_PROGRESS", "")).is_none());
        assert!(failure(&event("AWS::CloudFormation::Stack", "UPDATE_FAILED", "It failed")).is_none());
        let reason = "Resource handler returned message: \"User: u is not authorized to perform: iam:CreateRole on resource: r because no identity-based policy allows the iam:CreateRole action\"";
        let why = failure(&event(role, "CREATE_FAILED", reason)).unwrap();
        let error = AwsError::new("create the stack deathstar", why);
        assert!(error.to_string().contains("It (AWS::IAM::Role) failed: Resource handler"), "{error}");
        assert!(error.hint().unwrap().contains("allow iam:CreateRole"), "{:?}", error.hint());
        assert_eq!(error.exit(), crate::exit::Exit::BadInput);
    }

    #[test]
    fn every_status_is_told_apart() {
        let whole = ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"];
        // Someone may bring resources into a stack by hand; it is whole after.
        let imported = ["IMPORT_COMPLETE", "IMPORT_ROLLBACK_COMPLETE", "IMPORT_ROLLBACK_FAILED"];
        let stuck = ["UPDATE_FAILED", "UPDATE_ROLLBACK_FAILED"];
        let rubble =
            ["CREATE_FAILED", "DELETE_FAILED", "REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"];
        for status in StackStatus::values() {
            let expected = match *status {
                status if whole.contains(&status) || imported.contains(&status) => Phase::Whole,
                status if stuck.contains(&status) => Phase::Stuck,
                status if rubble.contains(&status) => Phase::Rubble,
                "DELETE_COMPLETE" => Phase::Gone,
                status => {
                    assert!(status.ends_with("_IN_PROGRESS"), "{status} is known");
                    Phase::Busy
                }
            };
            assert_eq!(Phase::of(status), expected, "{status}");
        }
    }
}
