//! What `run`, `watch` and `results --wait` share: waiting for a run, in
//! whichever place it is.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use deathstar_controller::ports::Table;
use deathstar_controller::service;
use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::plan::Plan;
use deathstar_statemachine::report::{Phase, Report, Stop};
use jiff::{SignedDuration, Timestamp};

use super::signals::Signals;
use super::{CommandError, eprintln_quietly};
use crate::clock;
use crate::mode::{Ending, Runs, Standing};
use crate::progress::Progress;

/// The first pause between two looks; each is half as long again as the one
/// before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How patient a wait is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// The longest pause: so late may the end be noticed.
    longest_pause: Duration,
    /// How many looks may find no run before there counts as none.
    unseen: u32,
}

/// For a report that may take its time, of a run that there is.
pub(super) const PATIENT: Patience = Patience { longest_pause: Duration::from_secs(5), unseen: 0 };

/// For someone who looks on, or has started the run just now: what Step
/// Functions says of an execution is a moment behind.
#[cfg(feature = "aws")]
pub(super) const WATCHED: Patience = Patience { longest_pause: Duration::from_secs(2), unseen: 8 };

/// A look that fails, of a network that is away, is tried again for so many
/// times: over a minute.
const FAILURES: u32 = 15;

/// How long after its dead-man's switch a run has its report at the latest, if
/// it ever gets one.
const AFTER_SWITCH: SignedDuration = SignedDuration::from_secs(120);

/// Waits until a run has its report, or gets none any more.
pub(super) async fn ended(
    runs: &impl Runs,
    run: &RunId,
    patience: Patience,
) -> Result<Standing, CommandError> {
    let Patience { longest_pause, mut unseen } = patience;
    let (mut pause, mut failures) = (FIRST_PAUSE, 0);
    let mut waits_for_tear_down = false;
    loop {
        match look(runs, run).await {
            Ok(Look::Ended(Standing::Unknown)) if unseen > 0 => unseen -= 1,
            Ok(Look::Ended(standing)) => return Ok(standing),
            Ok(Look::UnderWay) => failures = 0,
            Ok(Look::TearDown(ending)) => {
                failures = 0;
                if !waits_for_tear_down {
                    waits_for_tear_down = true;
                    eprintln_quietly(&format!(
                        "the execution of run {run} {}; waiting for its report",
                        words_of(&ending)
                    ));
                    pause = FIRST_PAUSE;
                }
            }
            Err(error) if failures < FAILURES && may_pass(&error) => failures += 1,
            Err(error) => return Err(error),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(longest_pause);
    }
}

enum Look {
    UnderWay,
    /// Whatever tears the run down will report it.
    TearDown(Ending),
    /// All that there will ever be is there.
    Ended(Standing),
}

async fn look(runs: &impl Runs, run: &RunId) -> Result<Look, CommandError> {
    if runs.table().report(run).await?.is_some() {
        return Ok(Look::Ended(Standing::Ended(Ending::Gone)));
    }
    let ending = match runs.standing(run).await? {
        Standing::UnderWay => return Ok(Look::UnderWay),
        Standing::Ended(ending) => ending,
        Standing::Unknown => return Ok(Look::Ended(Standing::Unknown)),
    };
    let report_is_due = |plan: Plan| clock::now() < report_by(&plan);
    if runs.are_remote() && runs.table().plan(run).await?.is_some_and(report_is_due) {
        return Ok(Look::TearDown(ending));
    }
    Ok(Look::Ended(Standing::Ended(ending)))
}

/// When a run is torn down and reported at the latest, whatever became of its
/// execution.
fn report_by(plan: &Plan) -> Timestamp {
    plan.expires_at().saturating_add(AFTER_SWITCH).unwrap_or(Timestamp::MAX)
}

/// Whether a failure may be gone at the next look.
fn may_pass(error: &CommandError) -> bool {
    match error {
        CommandError::Task(TaskError::Throttled(_) | TaskError::TableUnavailable(_)) => true,
        #[cfg(feature = "aws")]
        CommandError::Aws(error) => error.may_pass(),
        _ => false,
    }
}

fn words_of(ending: &Ending) -> String {
    match ending {
        Ending::Gone => "has ended".to_owned(),
        Ending::Stopped => "was stopped".to_owned(),
        Ending::Failed(failure) => format!("failed ({})", failure.error),
    }
}

/// A run's report; of one that has none yet, what can be said by what it has
/// written down.
pub(super) async fn report_of(
    runs: &impl Runs,
    run: &RunId,
    standing: Standing,
) -> Result<Report, CommandError> {
    let phase = if standing == Standing::UnderWay { Phase::UnderWay } else { Phase::Killed };
    if let Some(report) = service::results(runs.table(), run, phase).await? {
        return Ok(report);
    }
    let options = runs.options();
    Err(match standing {
        Standing::Unknown => unknown(runs, run),
        Standing::UnderWay => CommandError::TooEarly(format!(
            "run {run} is not planned yet, so there is nothing to show; deathstar results {run}{options} --wait waits for its report"
        )),
        Standing::Ended(Ending::Failed(failure)) => CommandError::Execution { run: run.clone(), failure },
        Standing::Ended(ending) => CommandError::Broken(format!(
            "the execution of run {run} {} before it was planned, and left nothing",
            words_of(&ending)
        )),
    })
}

/// What to say of a run that there is not.
pub(super) fn unknown(runs: &impl Runs, run: &RunId) -> CommandError {
    let options = runs.options();
    CommandError::BadInput(format!("there is no run {run}; deathstar list{options} shows those there are"))
}

/// Waits for a run and shows its progress. The first Ctrl-C asks the run to
/// stop; the second one gives up the wait, and there is no answer.
pub(super) async fn attend<T>(
    runs: &impl Runs,
    run: &RunId,
    progress: &Progress,
    signals: &mut Signals,
    running: impl Future<Output = T>,
    second: &str,
) -> Option<T> {
    let table = runs.table();
    tokio::pin!(running);
    let ended = tokio::select! {
        ended = &mut running => Some(ended),
        never = progress.follow(table) => match never {},
        () = signals.next() => {
            progress.say(&format!("stopping; the report follows. Once more {second}"));
            tokio::select! {
                ended = &mut running => Some(ended),
                never = interrupt(runs, run) => match never {},
                never = progress.follow(table) => match never {},
                () = signals.next() => None,
            }
        }
    };
    progress.finish();
    ended
}

/// Asks a run to stop until that is written down, and then waits for ever: a
/// run that is not planned yet has no row to write it in.
async fn interrupt(runs: &impl Runs, run: &RunId) -> Infallible {
    let table = runs.table();
    while !matches!(table.stop(run).await, Ok(Some(_))) {
        // What is refused now is tried again.
        let _ = table.request_stop(run, &Stop::Interrupted).await;
        tokio::time::sleep(runs.ask_again()).await;
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use deathstar_statemachine::message::CaughtFailure;

    use super::*;
    use crate::commands::elsewhere::Elsewhere;
    use crate::exit::Exit;

    fn run() -> RunId {
        "a-run".parse().unwrap()
    }

    fn failed(error: &str, cause: &str) -> Ending {
        Ending::Failed(CaughtFailure { error: error.to_owned(), cause: cause.to_owned() })
    }

    #[tokio::test]
    async fn an_interrupt_before_the_run_is_planned_is_not_lost() {
        let runs = Elsewhere::new([]);
        let (table, run) = (runs.table(), run());
        let planned_later = async {
            tokio::time::sleep(runs.ask_again() * 3).await;
            assert!(table.claim_run(&run, "execution", "name", clock::now()).await.unwrap());
            while table.stop(&run).await.unwrap().is_none() {
                tokio::time::sleep(runs.ask_again()).await;
            }
            table.stop(&run).await.unwrap()
        };
        let stop = tokio::select! {
            never = interrupt(&runs, &run) => match never {},
            stop = planned_later => stop,
            () = tokio::time::sleep(Duration::from_secs(10)) => None,
        };
        assert_eq!(stop, Some(Stop::Interrupted));
    }

    #[tokio::test(start_paused = true)]
    async fn an_execution_that_fails_before_its_plan_says_why() {
        for (error, exit) in [
            ("DeathStar.OverLimit", Exit::BadInput),
            ("DeathStar.BadConfig", Exit::BadInput),
            ("DeathStar.TableUnavailable", Exit::Broken),
        ] {
            let cause = r#"{"errorMessage":"too much","errorType":"x","stackTrace":[]}"#;
            let ending = Standing::Ended(failed(error, cause));
            let runs = Elsewhere::new([Ok(Standing::UnderWay), Ok(ending.clone())]);
            let standing = ended(&runs, &run(), PATIENT).await.unwrap();
            assert_eq!((&standing, runs.looks()), (&ending, 2));
            let said = report_of(&runs, &run(), standing).await.unwrap_err();
            assert_eq!(said.exit(), exit, "{error}");
            let text = said.to_string();
            assert!(
                text.contains("too much") && text.contains(error) && !text.contains("stackTrace"),
                "{text}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_whose_execution_was_stopped_is_waited_for_until_its_switch() {
        let stopped = Standing::Ended(Ending::Stopped);
        let runs = Elsewhere::new([Ok(stopped.clone())]);
        runs.plan(&run(), clock::now()).await;
        let wait = tokio::time::timeout(Duration::from_secs(60), ended(&runs, &run(), PATIENT)).await;
        assert!(wait.is_err(), "its report may still come");
        let runs = Elsewhere::new([Ok(stopped.clone())]);
        runs.plan(&run(), "2026-01-01T00:00:00Z".parse().unwrap()).await;
        assert_eq!(ended(&runs, &run(), PATIENT).await.unwrap(), stopped, "its switch was long ago");
        let report = report_of(&runs, &run(), stopped).await.unwrap();
        assert_eq!(report.run_id, run(), "what it had written down");
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_that_is_away_for_a_while_ends_no_wait() {
        let away = || Err(TaskError::TableUnavailable("away".to_owned()));
        let gone = Standing::Ended(Ending::Gone);
        let runs = Elsewhere::new((0..FAILURES).map(|_| away()).chain([Ok(gone.clone())]));
        assert_eq!(ended(&runs, &run(), PATIENT).await.unwrap(), gone);
        let runs = Elsewhere::new([away()]);
        assert!(ended(&runs, &run(), PATIENT).await.is_err(), "but not for ever");
        let expired = TaskError::of_credentials(Some("ExpiredTokenException"), "table t: late").unwrap();
        let runs = Elsewhere::new([Err(expired), Ok(gone.clone())]);
        let said = ended(&runs, &run(), PATIENT).await.unwrap_err();
        assert_eq!((said.exit(), runs.looks()), (Exit::BadInput, 1), "{said}");
        assert!(said.hint().unwrap().contains("log in again"), "{:?}", said.hint());
        let runs = Elsewhere::new([Err(TaskError::Broken("our bug".to_owned())), Ok(gone)]);
        assert!(ended(&runs, &run(), PATIENT).await.is_err(), "nor for what will not pass");
    }

    #[tokio::test(start_paused = true)]
    async fn an_execution_that_was_just_started_may_not_be_seen_yet() {
        let gone = Standing::Ended(Ending::Gone);
        let just_started = Patience { unseen: 2, ..PATIENT };
        let runs = Elsewhere::new([Ok(Standing::Unknown), Ok(Standing::Unknown), Ok(gone.clone())]);
        assert_eq!(ended(&runs, &run(), just_started).await.unwrap(), gone);
        let runs = Elsewhere::new([Ok(Standing::Unknown)]);
        assert_eq!(ended(&runs, &run(), just_started).await.unwrap(), Standing::Unknown);
        let said = report_of(&runs, &run(), Standing::Unknown).await.unwrap_err();
        assert_eq!(said.exit(), Exit::BadInput);
        assert!(said.to_string().contains("deathstar list --on aws"), "{said}");
    }
}
