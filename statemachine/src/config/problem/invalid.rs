//! The ways in which a value can be wrong.

use thiserror::Error;

use super::Path;
use crate::config::source::SeriesError;
use crate::search::SearchError;
use crate::secret::{Reference, ReferenceError};
use crate::slo::{RuleError, StopIfError};
use crate::units::UnitError;

/// The ways in which a value can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Invalid {
    /// Nothing to attack.
    #[error("there is no attack; write at least one")]
    NoAttacks,
    /// A list without an entry.
    #[error("there is no {0}; write at least one")]
    NoEntry(&'static str),
    /// Too many entries.
    #[error("{count} {what} are too many; the limit is {limit}")]
    TooMany {
        /// In the plural.
        what: &'static str,
        /// How many were written.
        count: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// A name of blanks only.
    #[error("a name needs at least one visible character")]
    BlankName,
    /// A name that no report can show in a line.
    #[error("a name of {length} characters is too long; the limit is {limit}")]
    LongName {
        /// In characters.
        length: usize,
        /// In characters.
        limit: usize,
    },
    /// A name with a line break or another control character.
    #[error("name {0:?} holds a line break or another control character")]
    ControlInName(String),
    /// Two of the same name.
    #[error("{first} is called {name:?} too; names must differ")]
    DuplicateName {
        /// The name.
        name: String,
        /// The path of the one that has it already.
        first: Path,
    },
    /// Two requests that get the same name by default.
    #[error("{first} is {name:?} too; give each a name of its own")]
    DuplicateDefaultName {
        /// The name.
        name: String,
        /// The path of the one that has it already.
        first: Path,
    },

    /// A rate without its unit.
    #[error("arrival rate {0} has no unit; write {0}/s, {0}/m or {0}/h")]
    RateUnit(String),
    /// A duration without its unit.
    #[error("duration {0} has no unit; write {0}s, {0}ms or {0}m")]
    DurationUnit(String),
    /// A duration finer than a microsecond.
    #[error("duration {0} is finer than a microsecond, or has more than three decimals")]
    FineDuration(String),
    /// Memory without its unit.
    #[error("memory {0} has no unit; write {0}MB or {0}GB")]
    MemoryUnit(String),
    /// A rate, a duration or an amount of memory that could not be read.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// A rate of zero.
    #[error("arrival rate {0} never sends anything; write at least 1/h")]
    ZeroRate(String),
    /// A ramp from nothing to nothing.
    #[error("a ramp from {from} to {to} never sends anything; write at least 1/h for one of them")]
    FlatRamp {
        /// As written.
        from: String,
        /// As written.
        to: String,
    },
    /// A peak that is none.
    #[error("a burst from {base} to {peak} is none; write a peak above the base")]
    FlatBurst {
        /// As written.
        base: String,
        /// As written.
        peak: String,
    },
    /// A search that cannot be.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// A tolerance that is no percentage.
    #[error("{0:?} is no tolerance; write a percentage such as 3%")]
    Tolerance(String),
    /// A search with others beside it.
    #[error(
        "a search is the only attack of its config, and here are {0}: what others send would move its answer"
    )]
    SearchBesideOthers(usize),
    /// A search that would never end growing.
    #[error("a search needs promises to search by; write slo: [p99 < 300ms, errors < 0.1%] or others")]
    SearchWithoutPromise,
    /// A search that would take a service that refuses for one that serves.
    #[error(
        "a search needs a promise on errors, too, or a service that refuses at once would pass for a fast one; add errors < 0.1% to slo"
    )]
    SearchWithoutErrors,
    /// A search that its first failure would end.
    #[error("a search goes on behind the first rate that breaks a promise; remove stop_if")]
    SearchStopped,
    /// A promise that says how high the answer is.
    #[error(
        "{0:?} is no promise to search by, since a search changes the rate; write achieved >= 98%, and look at the answer"
    )]
    SearchForRate(String),
    /// A duration of zero.
    #[error("a duration of {0} is no time at all; write at least 1us")]
    ZeroDuration(String),
    /// A duration above its limit.
    #[error("{text} is too long; the limit is {limit}")]
    LongDuration {
        /// As written or added up.
        text: String,
        /// The longest allowed.
        limit: &'static str,
    },
    /// A whole number outside its range.
    #[error("{what} {value} is out of range; write {min} to {max}")]
    Range {
        /// What the number is.
        what: &'static str,
        /// As written.
        value: u64,
        /// The smallest allowed.
        min: u64,
        /// The largest allowed.
        max: u64,
    },
    /// Weights that add up to too much.
    #[error("the weights add up to {total}; the limit is {limit}")]
    TotalWeight {
        /// Their sum.
        total: u64,
        /// The largest allowed.
        limit: u64,
    },

    /// No region.
    #[error("{0:?} is no AWS region; write one such as eu-west-1")]
    Region(String),
    /// Several regions.
    #[error(
        "{count} regions are too many; the limit is {limit}: a stack attacks from its own region, since Step Functions cannot invoke across regions"
    )]
    Regions {
        /// How many were written.
        count: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// A budget below zero.
    #[error("a budget of {0} USD is less than nothing; write 0 or more")]
    Budget(String),

    /// No load at all.
    #[error("an attack needs a load; write rate and duration, or load with one profile")]
    NoLoad,
    /// Both forms of load.
    #[error("{0} is short for a constant load, and there is a load as well; remove one of them")]
    LoadTwice(&'static str),
    /// Half of the short form.
    #[error("{there} needs {missing} beside it")]
    HalfLoad {
        /// The field that is there.
        there: &'static str,
        /// The field that is not.
        missing: &'static str,
    },
    /// Pauses in the open model.
    #[error("only virtual users pause; think needs a load of users, and this one is {0}")]
    ThinkInOpenModel(&'static str),
    /// Arrivals in the closed model.
    #[error("virtual users send when they are answered; arrivals needs an open load, such as constant")]
    ArrivalsInClosedModel,
    /// More connections to begin with than there may be.
    #[error(
        "{warm_up} connections to warm up are more than the attack may have; the limit is {limit} (connections)"
    )]
    WarmUpOverLimit {
        /// As written.
        warm_up: u32,
        /// As written.
        limit: u64,
    },
    /// The general HTTP client opens connections when it sends.
    #[error(
        "the rich engine{} opens connections only to send; warm_up needs the fast one",
        if .0.is_empty() { String::new() } else { format!(", which this attack needs ({}),", .0.join(", ")) }
    )]
    WarmUpOfRich(Vec<&'static str>),
    /// The fast engine sends HTTP/1.1, and does nothing else.
    #[error("the fast engine cannot do what this attack needs ({}); leave engine away, or use rich", .0.join(", "))]
    BeyondFast(Vec<&'static str>),
    /// Proxies are asked in HTTP/1.1.
    #[error("a proxy is spoken to in HTTP/1.1; leave http_version away")]
    ProxyOverHttp2,
    /// More than a place, or none.
    #[error("{0:?} is no proxy; write its scheme, host and port alone, such as http://10.0.0.9:3128")]
    Proxy(String),
    /// A user name or a password. Not repeated here, since it is a secret.
    #[error("the proxy carries a user name or a password; remove it, and send a proxy-authorization header")]
    ProxyCredentials,
    /// HTTP/2 has a field of its own for the host, which is the URL's.
    #[error("over HTTP/2 a request names its host in the URL; remove the header host")]
    HostOverHttp2,
    /// The range is upside down.
    #[error("the shortest pause, {min}, is longer than the longest, {max}")]
    ThinkOrder {
        /// As written.
        min: String,
        /// As written.
        max: String,
    },

    /// No target.
    #[error("there is nothing to send to; write {0}")]
    NoTarget(&'static str),
    /// More than one target.
    #[error("a request has one target, and this one has {}", .0.join(" and "))]
    Targets(Vec<&'static str>),
    /// A field of the short form beside `requests`.
    #[error("{0} cannot stand beside requests; move it into each of them")]
    BesideRequests(&'static str),
    /// `url` beside `requests`.
    #[error("url is for a single request; beside requests write base_url")]
    UrlBesideRequests,
    /// `base_url` without `requests`.
    #[error("base_url needs requests whose paths are appended to it; for a single target write url")]
    LonelyBaseUrl,
    /// The method is given twice.
    #[error("{0} says the method already; remove method")]
    MethodTwice(&'static str),
    /// The method is no token.
    #[error("{0:?} is no HTTP method; write one such as GET or POST")]
    Method(String),
    /// CONNECT.
    #[error("CONNECT opens a tunnel and is no request")]
    Connect,
    /// A path with nothing to append it to.
    #[error("{0:?} is a path, and the attack has no base_url to append it to")]
    PathWithoutBase(String),
    /// Neither a path nor a URL.
    #[error("{0:?} is neither a path, which starts with /, nor a URL, which starts with http:// or https://")]
    Target(String),
    /// `path` does not start with a slash.
    #[error("{0:?} is no path; it starts with /")]
    Path(String),
    /// No scheme.
    #[error("{0:?} has no scheme; write http://{0} or https://{0}")]
    NoScheme(String),
    /// A scheme other than http and https.
    #[error("{0}:// is not a scheme that can be attacked; write http:// or https://")]
    Scheme(String),
    /// A user name or a password. Not repeated here, since it is a secret.
    #[error("the URL carries a user name or a password; remove it, and send an authorization header")]
    Credentials,
    /// No host.
    #[error("{0:?} names no host; write one such as http://127.0.0.1:8080/")]
    NoHost(String),
    /// `#…`
    #[error("{0:?} has a fragment, which is never sent; remove what starts with #")]
    Fragment(String),
    /// A base URL with `?…`.
    #[error("{0:?} has a query, and paths cannot be appended to it; move it into the requests")]
    BaseQuery(String),
    /// A line break or another control character.
    #[error("{0:?} holds a line break, a tab or another control character")]
    ControlInUrl(String),
    /// A backslash where a slash belongs.
    #[error("{0:?} holds a backslash; write / or %5C")]
    Backslash(String),
    /// What the URL parser refuses.
    #[error("{text:?} is no URL: {reason}")]
    Url {
        /// As written, and completed by the base URL.
        text: String,
        /// The parser's reason.
        reason: url::ParseError,
    },
    /// Port 0.
    #[error("{0:?} has port 0, where nothing can listen; write 1 to 65535")]
    PortZero(String),

    /// No token.
    #[error("{0:?} is no header name; use letters, digits and -")]
    HeaderName(String),
    /// A header value that would end the header, or that not every server can read.
    #[error(
        "the value of header {name} holds {character:?}; only visible ASCII characters, blanks and tabs can be sent"
    )]
    HeaderValue {
        /// In lower case.
        name: String,
        /// The first that cannot be sent.
        character: char,
    },
    /// The same header twice in different case.
    #[error("header {0} is written twice")]
    HeaderTwice(String),
    /// Headers that follow from the request and the connection.
    #[error("header {0} follows from the request and the connection, and cannot be set")]
    HeaderComputed(String),

    /// Several bodies.
    #[error("a request has one body, and this one has {}", .0.join(" and "))]
    Bodies(Vec<&'static str>),
    /// A header that only the body knows.
    #[error(
        "a multipart body says its content-type itself, with what parts it; remove the header, here or in the attack's headers"
    )]
    ContentTypeOfMultipart,
    /// A part without a name.
    #[error("a part's {0} needs at least one character")]
    EmptyPartName(&'static str),
    /// No content, or more than one.
    #[error("a part has one content; write value, file or base64")]
    PartContent,
    /// A body file that nobody has read.
    #[error("body file {0:?} was not read; only a config that is read from a file can name one")]
    UnreadBodyFile(String),
    /// A body file that could not be read.
    #[error("body file {file:?} cannot be used: {reason}")]
    BodyFile {
        /// As written.
        file: String,
        /// What happened.
        reason: String,
    },
    /// Not base64.
    #[error("it is no base64: {0}")]
    Base64(base64::DecodeError),
    /// Templates, which are planned. Never sent as they are.
    #[error("{0:?} is not yet supported, and is never sent as it stands")]
    Template(&'static str),

    /// What looks like a reference and is none.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A reference where a name stands.
    #[error(
        "a name holds {0:?}, and names are shown in reports; references go into header values, URLs and bodies"
    )]
    ReferenceInName(&'static str),
    /// A reference in the host of a URL, or before it.
    #[error(
        "scheme, host and port of a URL hold no reference, so that anyone can see what is attacked; write them out, and refer to values after them"
    )]
    ReferenceInHost,
    /// A reference without a value.
    #[error("{0} has no value")]
    NoValue(Reference),
    /// A value that would end its header, or that not every server can read.
    /// Only the reference is named.
    #[error(
        "the value of {reference} holds {what}, which a header cannot carry; remove it where the value is kept"
    )]
    ValueInHeader {
        /// What stands for the value.
        reference: Reference,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A value that would change the path around it.
    #[error("the value of {0} is . or .., which the path of a URL takes for a step and not for data")]
    ValueInPath(Reference),

    /// Nowhere to read a resource.
    #[error("there is nothing to read; write prometheus, pid, cgroup or cloudwatch")]
    NoSource,
    /// More than one place to read a resource.
    #[error("a resource is read in one place, and this one has {}; write one resource for each", .0.join(" and "))]
    Sources(Vec<&'static str>),
    /// A reference where nothing fills it.
    #[error(
        "what is read of resources holds no reference, since reports say where it was read; write it out"
    )]
    ReferenceInResource,
    /// Not the directory of a control group.
    #[error("{0:?} is no directory of a cgroup; write its whole path, such as /sys/fs/cgroup/web.slice")]
    Cgroup(String),
    /// What CloudWatch would refuse.
    #[error(
        "{text:?} is no {what} of CloudWatch; write 1 to {limit} visible ASCII characters, the first not a colon"
    )]
    AwsText {
        /// What it should be.
        what: &'static str,
        /// As written.
        text: String,
        /// The most characters.
        limit: usize,
    },
    /// A period that CloudWatch does not have.
    #[error("CloudWatch has no period of {0}; write 1s, 5s, 10s, 30s, or whole minutes up to 5m")]
    CloudWatchPeriod(String),
    /// A duration outside its range.
    #[error("a {what} of {text} is outside {min} … {max}")]
    Outside {
        /// What the duration is.
        what: &'static str,
        /// As written.
        text: String,
        /// The shortest allowed.
        min: String,
        /// The longest allowed.
        max: String,
    },
    /// A field that only Prometheus has an answer to.
    #[error("{0} are read of a Prometheus endpoint only; remove them, or write prometheus")]
    OnlyPrometheus(&'static str),
    /// What names no series.
    #[error(transparent)]
    Series(#[from] SeriesError),
    /// The same series twice.
    #[error("{0} is written twice")]
    SeriesTwice(String),
    /// A count of instances that its source cannot give.
    #[error("instances is the name of a series beside prometheus, and true beside cloudwatch")]
    Instances,
    /// A capacity of what is not read.
    #[error("there is no {name:?} here to be full; this resource has {names}")]
    CapacityOfNothing {
        /// As written.
        name: String,
        /// What is read.
        names: String,
    },
    /// A capacity of nothing.
    #[error("a capacity of {0} is none; write a number above zero")]
    NoCapacity(String),

    /// A rule that could not be read.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// The same promise twice.
    #[error("{rule:?} is the same promise as {first}")]
    DuplicateRule {
        /// The rule.
        rule: String,
        /// The path of the one before.
        first: Path,
    },
    /// A stop condition that could not be read.
    #[error(transparent)]
    StopIf(#[from] StopIfError),
}
