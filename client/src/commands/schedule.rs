//! `deathstar schedule`: runs at times to come, without any client.

use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::units::display_duration;
use std::time::Duration;

use super::submit::{planned, stored};
use super::{CommandError, eprintln_quietly, print, print_json};
use crate::aws::error::AwsError;
use crate::aws::runs::{There, installation_options};
use crate::aws::schedules::{Added, Schedule, Schedules};
use crate::cli::{AddArgs, Output, RemoveArgs, ScheduleCommand, ScheduleListArgs};
use crate::exit::Exit;
use crate::schedule::{LocalTime, UTC};
use crate::{clock, config_file};

pub(super) async fn schedule(command: &ScheduleCommand) -> Result<Exit, CommandError> {
    match command {
        ScheduleCommand::Add(args) => add(args).await,
        ScheduleCommand::List(args) => list(args).await,
        ScheduleCommand::Remove(args) => remove(args).await,
    }
}

async fn add(args: &AddArgs) -> Result<Exit, CommandError> {
    let config = config_file::read(&args.config)?;
    let name = &args.name;
    let timezone = args.timezone.as_ref().map_or(UTC.to_owned(), ToString::to_string);
    let when = &args.when;
    if let Some(at) = when.at {
        refuse_past(at, &timezone)?;
    }
    let expression = match (&when.cron, when.rate, when.at) {
        (Some(cron), ..) => cron.to_string(),
        (_, Some(rate), _) => format!("rate({rate})"),
        (.., Some(at)) => at.to_string(),
        _ => return Err(CommandError::Broken("a schedule that says no time".to_owned())),
    };
    let there = There::open(&args.installation).await?;
    let run = RunId::of(config.name(), clock::now(), 0);
    let plan = planned(&there, run, config)?;
    plan.warnings.iter().for_each(|warning| eprintln_quietly(&format!("warning: {warning}")));
    let load = Duration::from_micros(plan.load_end());
    if let Some(every) = when.rate.map(crate::install::Cadence::every).filter(|every| load >= *every) {
        eprintln_quietly(&format!(
            "warning: the load lasts {}, and a run starts every {}: they will overlap",
            display_duration(load),
            display_duration(every)
        ));
    }
    let config = stored(&there, &plan.config).await?;
    let schedule =
        Schedule { name: name.clone(), when: expression, timezone, config, once: when.at.is_some() };
    let schedules = Schedules::new(there.connection(), there.install());
    let added =
        match schedules.add(&schedule, args.replace).await.map_err(|error| refused(error, &schedule))? {
            Added::New => "added",
            Added::Replaced => "replaced",
            Added::NameIsTaken => {
                return Err(CommandError::BadInput(format!(
                    "there is a schedule {name} already; --replace puts this one in its place"
                )));
            }
        };
    let options = installation_options(&args.installation);
    eprintln_quietly(&format!(
        "{added} schedule {name}: {}; deathstar schedule remove {name}{options} takes it away",
        in_words(&schedule)
    ));
    Ok(Exit::Passed)
}

/// What the service does not accept of an expression is the user's to mend.
fn refused(error: AwsError, schedule: &Schedule) -> CommandError {
    if error.code() == Some("ValidationException") {
        return CommandError::BadInput(format!("{} is not accepted: {error}", in_words(schedule)));
    }
    error.into()
}

/// A time that has passed would never start anything. Where this machine does
/// not know the zone, the service says it.
fn refuse_past(at: LocalTime, timezone: &str) -> Result<(), CommandError> {
    match at.instant(timezone) {
        Some(instant) if instant <= clock::now() => {
            Err(CommandError::BadInput(format!("{at} in {timezone} has passed")))
        }
        _ => Ok(()),
    }
}

async fn list(args: &ScheduleListArgs) -> Result<Exit, CommandError> {
    let there = There::open(&args.installation).await?;
    let all = Schedules::new(there.connection(), there.install()).list().await?;
    match args.output {
        Output::Json => print_json(&all)?,
        Output::Text if all.is_empty() => {
            eprintln_quietly("no schedules yet; deathstar schedule add makes one");
        }
        Output::Text => print(&table(&all))?,
    }
    Ok(Exit::Passed)
}

fn table(all: &[Schedule]) -> String {
    let rows: Vec<[String; 3]> =
        all.iter().map(|one| [one.name.to_string(), in_words(one), one.config.name.clone()]).collect();
    let head = ["SCHEDULE", "WHEN", "CONFIG"].map(ToOwned::to_owned);
    let width = |column: usize| {
        let cells = rows.iter().chain([&head]).map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let (name, when) = (width(0), width(1));
    let line = |row: &[String; 3]| format!("{:name$}  {:when$}  {}\n", row[0], row[1], row[2]);
    [&head].into_iter().chain(&rows).map(line).collect()
}

/// When, with the zone where it says anything.
fn in_words(schedule: &Schedule) -> String {
    let Schedule { when, timezone, .. } = schedule;
    if when.starts_with("rate(") { when.clone() } else { format!("{when} {timezone}") }
}

async fn remove(args: &RemoveArgs) -> Result<Exit, CommandError> {
    let there = There::open(&args.installation).await?;
    let name = &args.name;
    if !Schedules::new(there.connection(), there.install()).remove(name).await? {
        let options = installation_options(&args.installation);
        return Err(CommandError::BadInput(format!(
            "there is no schedule {name}; deathstar schedule list{options} shows those there are"
        )));
    }
    eprintln_quietly(&format!("removed schedule {name}; runs that it has started go on"));
    Ok(Exit::Passed)
}

#[cfg(test)]
mod tests {
    use deathstar_statemachine::message::ConfigRef;

    use super::*;

    #[test]
    fn schedules_are_listed_in_columns() {
        let schedule = |name: &str, when: &str| Schedule {
            name: name.parse().unwrap(),
            when: when.to_owned(),
            timezone: "Europe/Berlin".to_owned(),
            config: ConfigRef { name: "shop".to_owned(), version: "1".to_owned() },
            once: false,
        };
        let all = [schedule("nightly", "cron(0 3 * * ? *)"), schedule("h", "rate(1 hour)")];
        assert_eq!(
            table(&all),
            "SCHEDULE  WHEN                             CONFIG\n\
             nightly   cron(0 3 * * ? *) Europe/Berlin  shop\n\
             h         rate(1 hour)                     shop\n"
        );
    }

    #[test]
    fn a_time_that_has_passed_is_refused() {
        let refused = refuse_past("2020-01-01T00:00".parse().unwrap(), UTC).unwrap_err();
        assert_eq!(refused.exit(), Exit::BadInput);
        assert!(refuse_past("2999-01-01T00:00".parse().unwrap(), UTC).is_ok());
        assert!(refuse_past("2020-01-01T00:00".parse().unwrap(), "Nowhere/At_All").is_ok());
    }
}
