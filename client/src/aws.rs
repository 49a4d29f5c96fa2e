//! AWS, as the command line uses it: adapters, and nothing else.
//!
//! Everything starts with [`connection::Connection`], which finds the region
//! and the credentials before anything is asked of anyone. Whatever fails
//! becomes an [`error::AwsError`], which knows what to tell the user. What is
//! decided, rather than asked, is elsewhere: [`crate::install`] owns what an
//! installation is.

pub(crate) mod bucket;
pub(crate) mod connection;
pub(crate) mod error;
pub(crate) mod functions;
pub(crate) mod install_row;
pub(crate) mod stack;
