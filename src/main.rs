//! The mcpmqtt program.

fn main() {}
