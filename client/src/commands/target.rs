//! `deathstar target`: serve until told to stop.

use std::io;

use super::signals::Signals;
use super::{CommandError, block_on};
use crate::exit::Exit;
use crate::target::{TargetArgs, TargetError, serve};

pub(super) fn target(args: TargetArgs) -> Result<Exit, CommandError> {
    block_on(async {
        let mut signals = Signals::take()?;
        let served = serve(args, &mut io::stdout(), &mut io::stderr(), signals.next()).await;
        served.map(|_| Exit::Passed).map_err(|error| match error {
            TargetError::Invalid(_) | TargetError::Bind { .. } => CommandError::BadInput(error.to_string()),
            TargetError::Start { .. } => CommandError::Broken(error.to_string()),
        })
    })
}
