//! References to values that a config does not hold: secrets, and variables of
//! the environment.
//!
//! A text of a config is read once into a [`Text`], which knows its references.
//! What is stored, planned and reported is always the config as it is written.
//! Only a worker, about to send, replaces references by their [`Values`], with
//! [`Config::with_values`]; nothing that holds a value shows it.
//!
//! ```text
//! ${secret:ssm:/shop/token}                 an SSM parameter
//! ${secret:secretsmanager:shop/login}       a secret, by its name or its ARN
//! ${secret:secretsmanager:shop/login#user}  a field of a secret that is JSON
//! ${env:TOKEN}                              a variable, on one's own machine
//! $${                                       the characters ${ themselves
//! ```

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

use crate::config::Config;
use crate::config::problem::suggestion;

/// What a reference begins with; after another `$` it is only itself.
const OPEN: &str = "${";

/// The longest name of a secret or a variable, in characters: what an ARN in a
/// call to SSM may have. See
/// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html>.
const MAX_NAME: usize = 2048;

/// How much of a text an error repeats, in characters.
const EXCERPT: usize = 60;

/// The name of a value. It is no secret itself, and shows as it is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// A variable of the environment in which `deathstar` runs.
    Env(String),
    /// A parameter of AWS Systems Manager, by its name or its ARN.
    Ssm(String),
    /// A secret of AWS Secrets Manager.
    SecretsManager {
        /// Its name or its ARN.
        id: String,
        /// The field that is meant, of a secret that is a JSON object.
        key: Option<String>,
    },
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "${{env:{name}}}"),
            Self::Ssm(name) => write!(f, "${{secret:ssm:{name}}}"),
            Self::SecretsManager { id, key: None } => write!(f, "${{secret:secretsmanager:{id}}}"),
            Self::SecretsManager { id, key: Some(key) } => {
                write!(f, "${{secret:secretsmanager:{id}#{key}}}")
            }
        }
    }
}

/// Why a text holds something that looks like a reference and is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReferenceError {
    /// No closing brace.
    #[error("{0:?} is never closed; end it with }}, or write $${{ for the characters ${{ themselves")]
    Unclosed(String),
    /// Of no kind that there is.
    #[error("unknown reference {text:?}; {hint}, or write $${{ for the characters ${{ themselves")]
    Unknown {
        /// As written.
        text: String,
        /// What was probably meant.
        hint: String,
    },
    /// Of a known kind, and of no valid name.
    #[error("{text:?} names no {what}; {hint}")]
    Name {
        /// As written.
        text: String,
        /// What should be named.
        what: &'static str,
        /// How a name looks.
        hint: &'static str,
    },
}

impl Reference {
    /// Reads what stands between the braces.
    fn read(inner: &str) -> Result<Self, ReferenceError> {
        let text = || excerpt(&format!("{OPEN}{inner}}}"));
        let unknown = |hint: String| ReferenceError::Unknown { text: text(), hint };
        let name = |what, hint| ReferenceError::Name { text: text(), what, hint };
        let Some((kind, rest)) = inner.split_once(':') else {
            return Err(unknown(if is_variable(inner) {
                format!("did you mean ${{env:{inner}}}?")
            } else {
                "use ${env:NAME} or ${secret:ssm:/PATH}".to_owned()
            }));
        };
        match kind {
            "env" if is_variable(rest) => Ok(Self::Env(rest.to_owned())),
            "env" => Err(name("environment variable", "use letters, digits and _, as in ${env:TOKEN}")),
            "secret" => match rest.split_once(':') {
                Some(("ssm", id)) if id.contains('#') => {
                    Err(name("SSM parameter", "only secrets of Secrets Manager have fields, after #"))
                }
                Some(("ssm", id)) if is_name(id) => Ok(Self::Ssm(id.to_owned())),
                Some(("ssm", _)) => Err(name("SSM parameter", "write it as in ${secret:ssm:/shop/token}")),
                Some(("secretsmanager", rest)) => {
                    let (id, key) = rest.split_once('#').map_or((rest, None), |(id, key)| (id, Some(key)));
                    if !is_name(id) || key.is_some_and(|key| key.is_empty() || key.contains(char::is_control))
                    {
                        return Err(name(
                            "secret",
                            "write it as in ${secret:secretsmanager:shop/login} or ${secret:secretsmanager:shop/login#user}",
                        ));
                    }
                    Ok(Self::SecretsManager { id: id.to_owned(), key: key.map(ToOwned::to_owned) })
                }
                Some((store, _)) => Err(unknown(suggestion(store, &["ssm", "secretsmanager"]))),
                None => Err(unknown("use ${secret:ssm:/PATH} or ${secret:secretsmanager:NAME}".to_owned())),
            },
            kind => Err(unknown(suggestion(kind, &["env", "secret"]))),
        }
    }
}

/// The start of a text, which may be a whole file.
fn excerpt(text: &str) -> String {
    let mut start: String = text.chars().take(EXCERPT).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    start
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= MAX_NAME
}

/// Whether a name can be that of a parameter, with its version or label, of a
/// secret, or of either as an ARN.
fn is_name(name: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "/_.-:+=@!".contains(c);
    name.contains(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(known) && name.len() <= MAX_NAME
}

/// A value that must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a value into its keeping.
    #[must_use]
    pub const fn new(value: String) -> Self {
        Self(value)
    }

    /// The value, to be sent and never to be shown.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What references stand for.
#[derive(Debug, Clone, Default)]
pub struct Values(BTreeMap<Reference, Secret>);

impl Values {
    /// What a reference stands for, if that is known.
    #[must_use]
    pub fn get(&self, reference: &Reference) -> Option<&Secret> {
        self.0.get(reference)
    }
}

impl FromIterator<(Reference, Secret)> for Values {
    fn from_iter<I: IntoIterator<Item = (Reference, Secret)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Sent as it stands.
    Literal(String),
    /// Sent as the value that it stands for.
    Reference(Reference),
}

/// A text of a config, in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(Vec<Segment>);

impl Text {
    /// Reads a text.
    ///
    /// # Errors
    /// The first thing in it that looks like a reference and is none.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let mut segments = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(OPEN) {
            if rest[..at].ends_with('$') {
                literal.push_str(&rest[..at - 1]);
                literal.push_str(OPEN);
                rest = &rest[at + OPEN.len()..];
                continue;
            }
            let inner = &rest[at + OPEN.len()..];
            let end = inner.find('}').ok_or_else(|| ReferenceError::Unclosed(excerpt(&rest[at..])))?;
            let reference = Reference::read(&inner[..end])?;
            literal.push_str(&rest[..at]);
            if !literal.is_empty() {
                segments.push(Segment::Literal(std::mem::take(&mut literal)));
            }
            segments.push(Segment::Reference(reference));
            rest = &inner[end + 1..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            segments.push(Segment::Literal(literal));
        }
        Ok(Self(segments))
    }

    /// Its pieces, in order; no two literals in a row.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Its references, in order, each as often as it occurs.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.0.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Reference(reference) => Some(reference),
        })
    }

    /// The text with each reference replaced by what `value` returns for it.
    ///
    /// # Errors
    /// The first that `value` returns.
    pub fn fill<E>(&self, mut value: impl FnMut(&Reference) -> Result<String, E>) -> Result<String, E> {
        let mut filled = String::new();
        for segment in &self.0 {
            match segment {
                Segment::Literal(literal) => filled.push_str(literal),
                Segment::Reference(reference) => filled.push_str(&value(reference)?),
            }
        }
        Ok(filled)
    }
}

/// Whether a text has a reference or what stands for the start of one, so that
/// it is not sent as it is written.
#[must_use]
pub(crate) fn is_special(text: &str) -> bool {
    text.contains(OPEN)
}

/// A value as a URL takes it within its path or its query: as data, which never
/// becomes another segment, parameter or fragment. Everything is encoded but the
/// characters that never mean anything. See
/// <https://www.rfc-editor.org/rfc/rfc3986#section-2.3>.
#[must_use]
pub(crate) fn percent_encoded(value: &str) -> String {
    value
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// Why a reference has no value in a mode, `embedded` or `aws`; `None` where it
/// has.
#[must_use]
pub fn refusal(reference: &Reference, mode: &str) -> Option<String> {
    match (mode, reference) {
        ("aws", Reference::Env(_)) => Some(format!(
            "{reference} is a variable of your machine, and this runs on AWS: put the value into SSM or Secrets Manager and write ${{secret:ssm:/PATH}} or ${{secret:secretsmanager:NAME}}"
        )),
        ("embedded", Reference::Ssm(_) | Reference::SecretsManager { .. }) => Some(format!(
            "{reference} is resolved on AWS, where the role of the workers reads it; on this machine use ${{env:NAME}}"
        )),
        _ => None,
    }
}

/// Why references of a config have no value in a mode: a sentence for each of
/// these; none when all of them have.
#[must_use]
pub fn unresolvable(config: &Config, mode: &str) -> Vec<String> {
    config.references().iter().filter_map(|reference| refusal(reference, mode)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> Segment {
        Segment::Literal(text.to_owned())
    }

    fn env(name: &str) -> Segment {
        Segment::Reference(Reference::Env(name.to_owned()))
    }

    #[test]
    fn a_text_is_literals_and_references() {
        let ssm = |name: &str| Segment::Reference(Reference::Ssm(name.to_owned()));
        let secret = |id: &str, key: Option<&str>| {
            Segment::Reference(Reference::SecretsManager {
                id: id.to_owned(),
                key: key.map(ToOwned::to_owned),
            })
        };
        let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop/login-AbCdEf";
        for (text, segments) in [
            ("", vec![]),
            ("plain $ {} $5 text", vec![literal("plain $ {} $5 text")]),
            ("Bearer ${secret:ssm:/shop/token}", vec![literal("Bearer "), ssm("/shop/token")]),
            ("${env:A}${env:_b1}", vec![env("A"), env("_b1")]),
            ("a${env:A}b", vec![literal("a"), env("A"), literal("b")]),
            ("${secret:ssm:token:3}", vec![ssm("token:3")]),
            ("${secret:secretsmanager:shop/login}", vec![secret("shop/login", None)]),
            ("${secret:secretsmanager:shop/login#the user}", vec![secret("shop/login", Some("the user"))]),
            (&format!("${{secret:secretsmanager:{arn}#user}}"), vec![secret(arn, Some("user"))]),
            ("$${env:A}", vec![literal("${env:A}")]),
            ("a$${b}${env:A}$${", vec![literal("a${b}"), env("A"), literal("${")]),
        ] {
            let read = Text::parse(text).unwrap();
            assert_eq!(read.segments(), segments, "{text}");
            let written: String = read.fill(|reference| Ok::<_, ()>(reference.to_string())).unwrap();
            assert_eq!(written, text.replace("$${", "${"), "references show as they are written");
        }
    }

    #[test]
    fn what_looks_like_a_reference_and_is_none_is_told() {
        let escape = "or write $${ for the characters ${ themselves";
        for (text, message) in [
            ("a ${env:A", format!("\"${{env:A\" is never closed; end it with }}, {escape}")),
            ("${TOKEN}", format!("unknown reference \"${{TOKEN}}\"; did you mean ${{env:TOKEN}}?, {escape}")),
            ("${}", format!("unknown reference \"${{}}\"; use ${{env:NAME}} or ${{secret:ssm:/PATH}}, {escape}")),
            ("${secert:ssm:/a}", format!("unknown reference \"${{secert:ssm:/a}}\"; did you mean \"secret\"?, {escape}")),
            ("${vault:a}", format!("unknown reference \"${{vault:a}}\"; use env, secret, {escape}")),
            ("${secret:smm:/a}", format!("unknown reference \"${{secret:smm:/a}}\"; did you mean \"ssm\"?, {escape}")),
            (
                "${secret:/a}",
                format!("unknown reference \"${{secret:/a}}\"; use ${{secret:ssm:/PATH}} or ${{secret:secretsmanager:NAME}}, {escape}"),
            ),
            (
                "${env:1A}",
                "\"${env:1A}\" names no environment variable; use letters, digits and _, as in ${env:TOKEN}".to_owned(),
            ),
            (
                "${secret:ssm:/a b}",
                "\"${secret:ssm:/a b}\" names no SSM parameter; write it as in ${secret:ssm:/shop/token}".to_owned(),
            ),
            (
                "${secret:ssm:/a#b}",
                "\"${secret:ssm:/a#b}\" names no SSM parameter; only secrets of Secrets Manager have fields, after #".to_owned(),
            ),
            (
                "${secret:secretsmanager:a#}",
                "\"${secret:secretsmanager:a#}\" names no secret; write it as in ${secret:secretsmanager:shop/login} or ${secret:secretsmanager:shop/login#user}".to_owned(),
            ),
        ] {
            assert_eq!(Text::parse(text).unwrap_err().to_string(), message, "{text}");
        }
        for text in ["${secret:ssm:}", "${secret:ssm://}", "${env:}", "${ env:A}", "${env:${env:A}}"] {
            assert!(Text::parse(text).is_err(), "{text}");
        }
        let long = Text::parse(&format!("${{{}", "é".repeat(1000))).unwrap_err().to_string();
        assert!(long.chars().count() < 200, "{long}");
    }

    #[test]
    fn a_secret_never_shows() {
        let secret = Secret::new("hunter2".to_owned());
        let values: Values = [(Reference::Env("A".to_owned()), secret.clone())].into_iter().collect();
        for shown in
            [format!("{secret}"), format!("{secret:?}"), format!("{values:?}"), format!("{values:#?}")]
        {
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(shown.contains("[redacted]"), "{shown}");
        }
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_value_is_data_to_a_url() {
        assert_eq!(percent_encoded("aZ09-._~"), "aZ09-._~");
        assert_eq!(percent_encoded("a b/c?d&e=f#%+é\\"), "a%20b%2Fc%3Fd%26e%3Df%23%25%2B%C3%A9%5C");
    }
}
