//! Findings about the file: faults and warnings, each with its place.

use std::cell::RefCell;
use std::fmt;

/// A finding about one place of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The place, as in `topics[2].pattern`; empty for the file as a whole.
    pub path: String,
    /// The fault, and how to correct it.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.text)
    }
}

/// A file that cannot be used: all its faults and warnings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The faults; never empty.
    pub problems: Vec<Finding>,
    /// Warnings, which alone would not refuse the file.
    pub warnings: Vec<Finding>,
}

/// One problem per line.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

/// Collects findings while the file is read. Readers share it by reference and continue after a fault.
#[derive(Debug, Default)]
pub(crate) struct Report {
    problems: RefCell<Vec<Finding>>,
    warnings: RefCell<Vec<Finding>>,
}

impl Report {
    pub(crate) fn problem(&self, path: impl Into<String>, text: impl Into<String>) {
        self.problems.borrow_mut().push(Finding {
            path: path.into(),
            text: text.into(),
        });
    }

    pub(crate) fn warning(&self, path: impl Into<String>, text: impl Into<String>) {
        self.warnings.borrow_mut().push(Finding {
            path: path.into(),
            text: text.into(),
        });
    }

    pub(crate) fn has_problems(&self) -> bool {
        !self.problems.borrow().is_empty()
    }

    /// Returns `found` and the warnings, if there was no fault.
    pub(crate) fn conclude<T>(self, found: T) -> Result<(T, Vec<Finding>), Refused> {
        if self.has_problems() {
            Err(self.refuse())
        } else {
            Ok((found, self.warnings.into_inner()))
        }
    }

    /// The findings of a file that cannot be used.
    pub(crate) fn refuse(self) -> Refused {
        Refused {
            problems: self.problems.into_inner(),
            warnings: self.warnings.into_inner(),
        }
    }
}
