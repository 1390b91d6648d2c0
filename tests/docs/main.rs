//! What people read says what the program does: the manual, and what surrounds the program in its packages.

#![allow(clippy::unwrap_used)]

mod packaging;
mod readme;
