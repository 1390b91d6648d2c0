//! What people read says what the program does: the manual, and what surrounds the program in its packages.

#![allow(clippy::unwrap_used)]

mod commands;
mod configuration;
mod documents;
mod figures;
mod layers;
mod packaging;
mod tools;
