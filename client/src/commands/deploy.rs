//! `deathstar deploy`: make or update an installation on AWS.
//!
//! The order makes it safe to repeat and to interrupt: the code is uploaded
//! under names that hold its hash, then CloudFormation makes the stack or
//! leaves it as it was, and the row that other commands read comes last.

use std::path::{Path, PathBuf};
use std::{fs, io};

use deathstar_statemachine::asl::ATTACK;
use sha2::{Digest, Sha256};

use super::signals::Signals;
use super::{CommandError, block_on, eprintln_quietly, print, print_json};
use crate::aws::bucket::Bucket;
use crate::aws::connection::Connection;
use crate::aws::install_row;
use crate::aws::stack::{Phase, Resource, Stack, Stacks};
use crate::cli::{DeployArgs, Output};
use crate::clock;
use crate::exit::Exit;
use crate::install::{self, Install, Parameters, Place, StackName};
use crate::output::install::{Change, Deployed};

/// The controller's package; it carries the workers'.
const PACKAGE: &str = "controller.zip";

/// Where `cargo dev package` puts it, from the workspace.
const BUILT: &str = "target/packages";

/// How every zip file begins.
const ZIP: &[u8] = b"PK\x03\x04";

pub(super) fn deploy(args: &DeployArgs) -> Result<Exit, CommandError> {
    // What this machine lacks is said before anyone is asked.
    let package = read_package(args.packages.as_deref())?;
    block_on(async {
        let mut signals =
            Signals::listen().map_err(|error| CommandError::Broken(format!("no signals: {error}")))?;
        tokio::select! {
            deployed = install(args, package) => {
                let deployed = deployed?;
                match args.output {
                    Output::Text => print(&deployed.text())?,
                    Output::Json => print_json(&deployed)?,
                }
                Ok(Exit::Passed)
            }
            () = signals.next() => {
                eprintln_quietly(
                    "interrupted; what CloudFormation has begun goes on. deathstar deploy waits for it and finishes",
                );
                Ok(Exit::Interrupted)
            }
        }
    })
}

async fn install(args: &DeployArgs, package: Vec<u8>) -> Result<Deployed, CommandError> {
    let name = &args.at.stack;
    let connection = Connection::open(args.at.region.as_deref()).await?;
    let identity = connection.identity().await?;
    let place = Place {
        partition: identity.partition().to_owned(),
        account: identity.account,
        region: connection.region().to_owned(),
    };
    let wanted = install::wanted(&args.settings, &place)
        .map_err(|contradiction| CommandError::BadInput(contradiction.to_string()))?;
    let stacks = Stacks::new(&connection, name);
    let existing = ready(&stacks, name).await?;

    let own = name.bucket(&place.account, &place.region);
    let parameters = existing.as_ref().map(|stack| &stack.parameters);
    let used = parameters.and_then(|parameters| parameters.get("CodeBucket"));
    let bucket = args.bucket.as_ref().or(used).unwrap_or(&own).clone();
    let bucket = Bucket::new(&connection, bucket, &place.account);
    if bucket.name() == own {
        // Also when it is there: a make may have been interrupted half way.
        bucket.make().await?;
    } else if !bucket.exists().await? {
        return Err(CommandError::BadInput(format!(
            "there is no bucket {} in account {}; without --bucket, deploy makes one",
            bucket.name(),
            place.account
        )));
    }
    let uploaded = upload(&bucket, name, package).await?;

    let uploaded_keys: Vec<String> = uploaded.values().cloned().collect();
    let mut asked: Parameters = wanted;
    asked.extend(uploaded);
    let merged = install::merge(asked, parameters);
    if !merged.kept.is_empty() {
        let kept: Vec<String> =
            merged.kept.iter().map(|(option, value)| format!("{option} {value}")).collect();
        eprintln_quietly(&format!("kept as it is: {}", kept.join(", ")));
    }
    let (stack, change) = apply(&stacks, name, existing.as_ref(), &merged.parameters).await?;
    // The code of earlier versions, which only the update that is done could still
    // have gone back to. An account that may not delete it keeps it until then.
    let used: Vec<&str> = uploaded_keys.iter().map(String::as_str).collect();
    if let Err(error) = bucket.empty(&prefix(name), &used).await {
        eprintln_quietly(&format!("warning: earlier packages stay in the bucket: {error}"));
    }
    let install = Install::of(name, &place, &stack.parameters, &stack.outputs)
        .map_err(|part| CommandError::Broken(format!("the stack {name} has no valid {part}")))?;
    // What cannot be read is written anew: it may be of another version.
    let known = install_row::read(&connection, name).await.ok().flatten();
    if known.as_ref() != Some(&install) {
        install_row::write(&connection, &install).await?;
    }
    if install.allow.is_empty() {
        eprintln_quietly("it may attack nothing yet; deathstar deploy --allow HOST names what it may");
    }
    let mut resources = stacks.resources().await?;
    if bucket.name() == own {
        let name = own;
        resources.push(Resource { kind: "AWS::S3::Bucket".to_owned(), name });
    }
    Ok(Deployed { change, install, resources })
}

/// The stack that is there to be updated; `None` when there is none, or only
/// what a deploy that failed left behind, which is deleted.
async fn ready(stacks: &Stacks, name: &StackName) -> Result<Option<Stack>, CommandError> {
    let Some(mut stack) = stacks.find().await? else { return Ok(None) };
    refuse_foreign(&stack, name)?;
    if stack.phase == Phase::Busy {
        eprintln_quietly(&format!("the stack {name} is busy ({}); waiting for it", stack.status));
        match stacks.settle(&stack.id).await? {
            Some(settled) => stack = settled,
            None => return Ok(None),
        }
    }
    match stack.phase {
        Phase::Whole => Ok(Some(stack)),
        Phase::Rubble => {
            eprintln_quietly(&format!("deleting what is left of a deploy that failed ({})", stack.status));
            delete(stacks, &stack, name).await?;
            Ok(None)
        }
        Phase::Gone => Ok(None),
        Phase::Busy | Phase::Stuck => Err(CommandError::BadInput(format!(
            "the stack {name} is {}: CloudFormation could not undo an update; continue its rollback in the console, or delete it with deathstar destroy",
            stack.status
        ))),
    }
}

/// A stack of someone else's that has the name is not touched.
pub(super) fn refuse_foreign(stack: &Stack, name: &StackName) -> Result<(), CommandError> {
    if stack.ours {
        return Ok(());
    }
    Err(CommandError::BadInput(format!(
        "the stack {name} is not DeathStar's; name another installation with --stack"
    )))
}

/// Deletes a stack and waits until it is gone.
pub(super) async fn delete(stacks: &Stacks, stack: &Stack, name: &StackName) -> Result<(), CommandError> {
    let token = token("destroy");
    stacks.delete(&stack.id, &token).await?;
    let doing = format!("delete the stack {name}");
    match stacks.follow(&stack.id, &token, &doing, |line| eprintln_quietly(&format!("  {line}"))).await? {
        None => Ok(()),
        Some(stack) => Err(CommandError::Broken(format!("cannot {doing}: it is {}", stack.status))),
    }
}

/// Creates or updates the stack, and waits for it.
async fn apply(
    stacks: &Stacks,
    name: &StackName,
    existing: Option<&Stack>,
    parameters: &Parameters,
) -> Result<(Stack, Change), CommandError> {
    let token = token("deploy");
    let (id, doing, change) = match existing {
        None => {
            eprintln_quietly(&format!("creating the stack {name}"));
            let id = stacks.create(parameters, &token).await?;
            (id, format!("create the stack {name}"), Change::Created)
        }
        Some(stack) if stacks.update(parameters, &token).await? => {
            eprintln_quietly(&format!("updating the stack {name}"));
            (stack.id.clone(), format!("update the stack {name}"), Change::Updated)
        }
        Some(stack) => {
            eprintln_quietly(&format!("nothing changed: the stack {name} is as asked for"));
            return Ok((stack.clone(), Change::Unchanged));
        }
    };
    let stack = stacks.follow(&id, &token, &doing, |line| eprintln_quietly(&format!("  {line}"))).await?;
    match stack {
        Some(stack) if matches!(stack.status.as_str(), "CREATE_COMPLETE" | "UPDATE_COMPLETE") => {
            Ok((stack, change))
        }
        Some(stack) => Err(CommandError::Broken(format!("cannot {doing}: it is {}", stack.status))),
        None => Err(CommandError::Broken(format!("cannot {doing}: someone deleted it meanwhile"))),
    }
}

/// Puts the code where CloudFormation takes it from, and says where. A key
/// holds its content's hash: what is there already is the same, and a new one
/// makes CloudFormation notice.
async fn upload(bucket: &Bucket, name: &StackName, package: Vec<u8>) -> Result<Parameters, CommandError> {
    let mut parameters = Parameters::from([("CodeBucket".to_owned(), bucket.name().to_owned())]);
    let files = [
        ("ControllerKey", "controller", "zip", package),
        ("DefinitionKey", "attack", "asl.json", ATTACK.as_bytes().to_vec()),
    ];
    for (parameter, stem, extension, content) in files {
        let key = format!("{}{stem}-{}.{extension}", prefix(name), fingerprint(&content));
        if !bucket.has(&key).await {
            eprintln_quietly(&format!("uploading {key} ({} KiB)", content.len().div_ceil(1024)));
            bucket.put(&key, content).await?;
        }
        parameters.insert(parameter.to_owned(), key);
    }
    Ok(parameters)
}

/// How every object of an installation begins.
pub(super) fn prefix(name: &StackName) -> String {
    format!("deathstar/{name}/")
}

/// The first half of the content's SHA-256, in hexadecimal.
fn fingerprint(content: &[u8]) -> String {
    Sha256::digest(content).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Marks the events of one operation, so that it is not taken for another.
fn token(verb: &str) -> String {
    format!("{verb}-{}-{}", clock::now().as_nanosecond(), std::process::id())
}

/// Reads the controller's package from `folder`, or from where it usually is.
fn read_package(folder: Option<&Path>) -> Result<Vec<u8>, CommandError> {
    let folders = match folder {
        Some(folder) => vec![folder.to_owned()],
        None => usual_folders(),
    };
    for folder in &folders {
        let path = folder.join(PACKAGE);
        match fs::read(&path) {
            Ok(content) if content.starts_with(ZIP) => return Ok(content),
            Ok(_) => return Err(CommandError::BadInput(format!("{} is no zip file", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(CommandError::BadInput(format!("cannot read {}: {error}", path.display())));
            }
        }
    }
    let looked: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    Err(CommandError::BadInput(format!(
        "there is no {PACKAGE} in {}; `cargo dev package` builds it",
        looked.join(", nor in ")
    )))
}

/// Beside this program, as a release is unpacked; where the workspace builds
/// it, for a program that was built there; and below the current folder.
fn usual_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Some(beside) = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_owned())) {
        folders.push(beside.clone());
        folders.push(beside.join("packages"));
        // From target/release to target/packages.
        folders.extend(beside.parent().map(|target| target.join("packages")));
    }
    folders.push(PathBuf::from(BUILT));
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_is_missing_names_the_command_that_builds_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = read_package(Some(folder.path())).unwrap_err();
        assert!(error.to_string().ends_with("`cargo dev package` builds it"), "{error}");
        assert_eq!(error.exit(), Exit::BadInput);
        fs::write(folder.path().join(PACKAGE), "no zip").unwrap();
        assert!(read_package(Some(folder.path())).unwrap_err().to_string().ends_with("is no zip file"));
        fs::write(folder.path().join(PACKAGE), b"PK\x03\x04...").unwrap();
        assert_eq!(read_package(Some(folder.path())).unwrap(), b"PK\x03\x04...");
    }

    #[test]
    fn a_fingerprint_is_half_a_sha_256() {
        assert_eq!(fingerprint(b"abc"), "ba7816bf8f01cfea414140de5dae2223");
    }
}
