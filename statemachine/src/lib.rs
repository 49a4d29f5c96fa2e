//! What a DeathStar run *is*, with no I/O, no clock and no SDK.
//!
//! A run flows one way, and each arrow is a checked constructor or a pure
//! function:
//!
//! ```text
//! config text ─▶ Config ─▶ Plan ─▶ shards, due times ─▶ Window ─▶ Report
//! ```
//!
//! - [`config`] reads what the user wrote; [`load`], [`slo`] and [`units`] are its words.
//! - [`secret`] names what a config refers to and does not hold.
//! - [`schedule`] says when each arrival is due, [`arrivals`] which of them are whose;
//!   [`plan`] splits the run over workers,
//!   [`pace`] says how they write down what they see, and [`cost`] what it costs.
//! - [`histogram`] and [`window`] hold what workers saw, and merge.
//! - [`report`] judges it.
//! - [`search`] looks for a capacity, step by step; [`knee`] finds where response
//!   time starts to climb, and [`usl`] why throughput does not.
//! - [`resources`] is what probes read beside the load; [`regression`] says which resource is full first, and which leaks; [`scaling`]
//!   at what level to scale out; and [`burst`] how a target takes one. [`bootstrap`]
//!   says how sure a percentile is, and [`student`] tells evidence from noise.
//! - [`asl`] and [`interpreter`] run the definition in `definition/attack.asl.json`,
//!   the only description of the order of steps; [`message`] is what its states
//!   say to one another, and [`error`] the names they fail by.
//!
//! # Words
//!
//! run (one execution of a config) · attack (one target with its own load) ·
//! round (a stretch of load between two decisions) · shard (one worker's
//! share) · slice (one invocation's part of a shard) · window (what one worker
//! saw in one second) · ledger (what was created, and must go) · intended,
//! sent, done (the three instants of a request) · response time (done −
//! intended) · service time (done − sent) · send lag (sent − intended).

pub mod arrivals;
pub mod asl;
pub mod bootstrap;
pub mod burst;
pub mod config;
pub mod cost;
pub mod error;
pub mod histogram;
pub mod ids;
pub mod interpreter;
pub mod knee;
pub mod load;
pub mod message;
pub mod mix;
pub mod pace;
pub mod plan;
pub mod policy;
pub mod regression;
pub mod report;
pub mod resources;
pub mod scaling;
pub mod schedule;
pub mod search;
pub mod secret;
pub mod slo;
pub mod student;
pub mod table;
pub mod units;
pub mod usl;
pub mod window;
