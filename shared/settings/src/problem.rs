//! What is wrong with a settings file, for the person who wrote it.

use std::fmt;

/// One thing wrong: where, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Key path such as `media.tick` or `sip.listen[1]`; empty where the file is not TOML.
    pub key: String,
    /// Line in the file, from 1; `None` where the value is a default.
    pub line: Option<usize>,
    /// What is wrong.
    pub fault: Fault,
}

/// Why a key or its value is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The text cannot be read at all.
    #[error("not TOML: {message}")]
    Syntax {
        /// What the TOML reader says.
        message: String,
    },
    /// A key or table that does not exist.
    #[error("no such key; {}", suggestion(.nearest.as_deref()))]
    UnknownKey {
        /// The known key that looks most like it.
        nearest: Option<String>,
    },
    /// A value of another TOML type.
    #[error("= {value}: {found}; allowed: {allowed}")]
    WrongType {
        /// The value as TOML.
        value: String,
        /// Its type.
        found: &'static str,
        /// What is read there.
        allowed: String,
    },
    /// A value that this key cannot have.
    #[error("= {value}: allowed: {allowed}")]
    NotAllowed {
        /// The value as TOML.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// A value that does not go with another one.
    #[error("= {value}: {conflict}; {remedy}")]
    Clash {
        /// The value as TOML.
        value: String,
        /// What it collides with.
        conflict: String,
        /// What to do.
        remedy: String,
    },
    /// A value that this machine does not have or does not permit.
    #[error("= {value}: {lack}; {remedy}")]
    NotOnThisMachine {
        /// The value as TOML.
        value: String,
        /// What is missing.
        lack: String,
        /// What to do.
        remedy: String,
    },
}

/// All that is wrong with a settings file, in the order of the keys; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    problems: Vec<Problem>,
}

impl SettingsError {
    /// `Ok` where there are no problems.
    pub(crate) fn unless_none(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Self { problems })
        }
    }

    pub(crate) fn one(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
        }
    }

    /// What is wrong.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for problem in &self.problems {
            write!(f, "{separator}{problem}")?;
            separator = "\n";
        }
        Ok(())
    }
}

impl std::error::Error for SettingsError {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        let separator = match self.fault {
            Fault::Syntax { .. } => "",
            Fault::UnknownKey { .. } => ": ",
            Fault::WrongType { .. }
            | Fault::NotAllowed { .. }
            | Fault::Clash { .. }
            | Fault::NotOnThisMachine { .. } => " ",
        };
        write!(f, "{}{separator}{}", self.key, self.fault)
    }
}

fn suggestion(nearest: Option<&str>) -> String {
    match nearest {
        Some(key) => format!("did you mean {key}?"),
        None => "`holdfast config default` lists all".to_owned(),
    }
}
