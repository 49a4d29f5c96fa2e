//! What can be wrong with a config: where, and in words that say what to
//! write instead.
//!
//! A wrong shape ([`ShapeError`]) makes the rest unreadable, so it comes
//! alone. Wrong values come all at once ([`Problems`]).

mod invalid;

use std::fmt;

use thiserror::Error;

pub use self::invalid::Invalid;

/// Why a text is no valid config. Its display is one or more lines that start
/// with two spaces, to be printed below a heading that names the file.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ConfigError {
    /// It could not be read as a config.
    #[error(transparent)]
    Shape(#[from] Box<ShapeError>),
    /// It was read, and asks for something that cannot be.
    #[error(transparent)]
    Values(#[from] Problems),
}

/// A place in a text: line and column count from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// From 1.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
}

/// The way from the top of a config to one of its values, such as
/// `attacks[0].load.ramp.from`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Path(pub(super) Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Field(String),
    Index(usize),
}

impl Path {
    pub(super) fn field(&self, name: &str) -> Self {
        self.then(Step::Field(name.to_owned()))
    }

    pub(super) fn index(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    fn then(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Field(name) if position == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
            }
        }
        Ok(())
    }
}

/// Why a text could not be read as a config: the first reason only.
#[derive(Debug, Clone, PartialEq)]
pub struct ShapeError {
    pub(super) what: Shape,
    pub(super) path: Path,
    pub(super) place: Option<Place>,
    /// The line of the text that `place` points into.
    pub(super) excerpt: Option<String>,
}

impl ShapeError {
    /// What is wrong.
    #[must_use]
    pub const fn what(&self) -> &Shape {
        &self.what
    }

    /// Which value, as far as it was understood.
    #[must_use]
    pub const fn path(&self) -> &Path {
        &self.path
    }

    /// Where, if it is known.
    #[must_use]
    pub const fn place(&self) -> Option<Place> {
        self.place
    }
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("  ")?;
        if let Some(Place { line, column }) = self.place {
            write!(f, "line {line} column {column}: ")?;
        }
        if !self.path.0.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}", self.what)?;
        if let (Some(excerpt), Some(place)) = (&self.excerpt, self.place) {
            let before = usize::try_from(place.column).unwrap_or(1).saturating_sub(1);
            write!(f, "\n    | {excerpt}\n    | {:before$}^", "")?;
        }
        Ok(())
    }
}

impl std::error::Error for ShapeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.what)
    }
}

/// The ways in which a text can fail to be a config.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum Shape {
    /// Nothing but blanks and comments.
    #[error("there is no config here: it is empty, or only comments")]
    Empty,
    /// Neither YAML nor JSON.
    #[error("{0}")]
    Syntax(String),
    /// More than one document.
    #[error("there is a second document here; one file holds one config, so remove what starts with ---")]
    SecondDocument,
    /// Nested too deeply, or an alias that multiplies.
    #[error(
        "it is larger than any config, or its aliases multiply; the limits are 250,000 values and 32 levels"
    )]
    TooLarge,
    /// The same field twice.
    #[error("{0:?} is written twice")]
    Twice(String),
    /// A field that no version of the tool knows.
    #[error("unknown field {field:?} in {context}; {}", suggestion(field, fields))]
    UnknownField {
        /// As written.
        field: String,
        /// What it stands in, with an article.
        context: String,
        /// What may stand there.
        fields: &'static [&'static str],
    },
    /// A field or value that is planned.
    #[error("{0:?} is not yet supported")]
    Unsupported(String),
    /// A field that must be there.
    #[error("{context} needs {field:?}")]
    Missing {
        /// What lacks it, with an article.
        context: String,
        /// The field.
        field: &'static str,
    },
    /// A value of the wrong kind.
    #[error("expected {expected}, found {found}{}", if *.quote { "; put it in quotes" } else { "" })]
    Kind {
        /// With an article.
        expected: String,
        /// With an article.
        found: String,
        /// Whether quotes would make it right.
        quote: bool,
    },
    /// A field without a value.
    #[error("it has no value; write one, or remove the line")]
    Blank,
    /// A word that is none of the valid ones.
    #[error("unknown word {word:?}; {}", suggestion(word, words))]
    UnknownWord {
        /// As written.
        word: String,
        /// The valid ones.
        words: &'static [&'static str],
    },
    /// None, or several, where exactly one is expected.
    #[error("expected exactly one of {}, found {}", words.join(", "), if found.is_empty() { "none".to_owned() } else { found.join(" and ") })]
    NotOne {
        /// What was written.
        found: Vec<String>,
        /// The valid ones.
        words: &'static [&'static str],
    },
    /// What a type says for itself.
    #[error("{0}")]
    Other(String),
}

/// `did you mean …`, or the list of everything valid.
pub(crate) fn suggestion(word: &str, valid: &[&'static str]) -> String {
    let lower = word.to_lowercase().replace('-', "_");
    let nearest = valid
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, candidate), candidate))
        .min_by_key(|(distance, _)| *distance);
    match nearest {
        // A third of the word may be wrong before a guess is no help.
        Some((distance, candidate)) if distance <= 1 + candidate.len() / 4 && distance < candidate.len() => {
            format!("did you mean {candidate:?}?")
        }
        _ => format!("use {}", valid.join(", ")),
    }
}

/// Everything that is wrong with the values of a config, in the order of the
/// text; at least one.
#[derive(Debug, Clone, PartialEq)]
pub struct Problems(pub(super) Vec<Problem>);

impl Problems {
    /// One by one.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            write!(f, "  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// One wrong value.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    pub(super) path: Path,
    pub(super) place: Option<Place>,
    pub(super) what: Invalid,
}

impl Problem {
    /// Which value.
    #[must_use]
    pub const fn path(&self) -> &Path {
        &self.path
    }

    /// Where it was written, if the config was read from a text.
    #[must_use]
    pub const fn place(&self) -> Option<Place> {
        self.place
    }

    /// What is wrong with it.
    #[must_use]
    pub const fn what(&self) -> &Invalid {
        &self.what
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place {
            write!(f, "line {}: ", place.line)?;
        }
        if !self.path.0.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}", self.what)
    }
}

impl std::error::Error for Problem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.what)
    }
}
