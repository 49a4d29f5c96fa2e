//! Provision: arm the run's dead-man's switch, then create its worker functions,
//! each written to the ledger before it exists.

use deathstar_statemachine::error::TaskError;
use deathstar_statemachine::ids::RunId;
use deathstar_statemachine::message::Done;
use deathstar_statemachine::table::LedgerState;

use crate::plan;
use crate::ports::{FunctionSpec, Functions, Ports, Switches, Table};

pub(crate) async fn handle(ports: &impl Ports, run: &RunId) -> Result<Done, TaskError> {
    let table = ports.table();
    let plan = plan::of(table, run).await?;
    let ledger = table.ledger(run).await?;
    let made =
        |name: &str| ledger.iter().any(|entry| entry.name == name && entry.state >= LedgerState::Created);
    let over = || TaskError::RunOver(run.to_string());
    let (switch, expires_at) = (run.switch_name(), plan.expires_at());
    if !made(&switch) {
        if !table.intend(run, &switch).await? {
            return Err(over());
        }
        ports.switches().arm(run, expires_at).await?;
        table.advance(run, &switch, LedgerState::Created).await?;
        if table.is_over(run).await? {
            ports.switches().disarm(run).await?;
            return Err(over());
        }
    }
    for fleet in plan.fleets.iter().filter(|fleet| !made(&fleet.function)) {
        if !table.intend(run, &fleet.function).await? {
            return Err(over());
        }
        let spec = FunctionSpec {
            name: fleet.function.clone(),
            run: run.clone(),
            memory_mb: plan.config.memory_mb(),
            expires_at,
        };
        ports.functions().create(&spec).await?;
        table.advance(run, &fleet.function, LedgerState::Created).await?;
        if table.is_over(run).await? {
            // Torn down since the intent was written: the tear-down may have
            // looked for the function before there was one.
            ports.functions().delete(&fleet.function).await?;
            return Err(over());
        }
    }
    Ok(Done {})
}

#[cfg(all(test, feature = "embedded"))]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use deathstar_statemachine::config::Config;
    use deathstar_statemachine::plan::{Place, Plan};
    use deathstar_statemachine::policy::Policy;
    use jiff::Timestamp;

    use super::*;
    use crate::clock::SystemClock;
    use crate::embedded::EmbeddedPorts;
    use crate::embedded::functions::{InProcessFunctions, Limits};
    use crate::embedded::metrics::NoMetrics;
    use crate::embedded::switches::InProcessSwitches;
    use crate::embedded::table::SqliteTable;
    use crate::ports::{FunctionState, Listed};
    use crate::release;

    /// Releases the run just before a function comes into being.
    #[derive(Clone)]
    struct Overtaken {
        ports: EmbeddedPorts,
        run: RunId,
    }

    impl Functions for Overtaken {
        async fn concurrency(&self) -> Result<u32, TaskError> {
            self.ports.functions.concurrency().await
        }

        async fn create(&self, spec: &FunctionSpec) -> Result<(), TaskError> {
            release::release(&self.ports, &self.run, None).await?;
            self.ports.functions.create(spec).await
        }

        async fn state(&self, name: &str) -> Result<FunctionState, TaskError> {
            self.ports.functions.state(name).await
        }

        async fn delete(&self, name: &str) -> Result<(), TaskError> {
            self.ports.functions.delete(name).await
        }

        async fn list(&self, prefix: &str) -> Result<Vec<Listed>, TaskError> {
            self.ports.functions.list(prefix).await
        }
    }

    impl Ports for Overtaken {
        type Table = SqliteTable;
        type Functions = Self;
        type Switches = InProcessSwitches;
        type Metrics = NoMetrics;
        type Clock = SystemClock;

        fn table(&self) -> &SqliteTable {
            &self.ports.table
        }

        fn functions(&self) -> &Self {
            self
        }

        fn switches(&self) -> &InProcessSwitches {
            &self.ports.switches
        }

        fn metrics(&self) -> &NoMetrics {
            &NoMetrics
        }

        fn clock(&self) -> &SystemClock {
            &SystemClock
        }

        fn place(&self) -> &Place {
            &self.ports.place
        }

        fn policy(&self) -> &Policy {
            &self.ports.policy
        }
    }

    #[tokio::test]
    async fn a_function_that_a_tear_down_overtook_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let table = SqliteTable::open(&folder.path().join("runs.db")).unwrap();
        let functions = InProcessFunctions::new(Limits::default(), Box::new(|_| unreachable!("none runs")));
        let two = NonZeroU32::new(2).unwrap();
        let place = Place {
            mode: "test".into(),
            cores: two,
            rate_per_worker: two,
            sockets: two,
            workers_share_process: true,
            workers_per_function: two,
            lead: Duration::from_secs(1),
            checkpoint: Duration::from_secs(1),
            slice: Duration::from_secs(60),
            invocation: Duration::from_secs(900),
            setup: Duration::from_secs(60),
            grace: Duration::from_secs(60),
        };
        let text = "name: a\nattacks: [{ name: a, url: 'http://127.0.0.1:1/', rate: 1/s, duration: 9s }]";
        let config = Config::from_text(text, |_| Err(String::new())).unwrap();
        let run: RunId = "a-run".parse().unwrap();
        assert!(table.claim_run(&run, "execution", "a", Timestamp::UNIX_EPOCH).await.unwrap());
        let plan = Plan::new(run.clone(), config, place.clone(), Timestamp::UNIX_EPOCH).unwrap();
        table.put_plan(&plan).await.unwrap();
        let ports = Overtaken { ports: EmbeddedPorts::new(table, functions, place), run: run.clone() };
        assert!(matches!(handle(&ports, &run).await, Err(TaskError::RunOver(_))));
        assert!(ports.list("").await.unwrap().is_empty(), "nothing is left behind");
        assert!(ports.ports.switches.list().await.unwrap().is_empty(), "nor a switch armed");
    }
}
