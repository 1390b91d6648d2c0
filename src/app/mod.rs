//! The program itself: from its arguments to its exit code, and what it does in between.
//!
//! * [`run`] is the whole of it: it parses the command line ([`cli`]), finds the configuration ([`location`], [`startup`])
//!   and does what is asked.
//! * [`serve`] runs the server over stdio or HTTP; `service` tells systemd how it goes.
//! * `check`, `explain`, `call`, `verify_audit`, [`keyfile`] and `named_keys` are the commands that do not serve: `--check`,
//!   `--explain`, `--call`, `--verify-audit`, `--genkey`, `--revoke` and `--keys`; `replacement` changes a file, under a `lock`.
//! * `init` makes the first configuration; [`install`] puts the program into an MCP client; `visit` is the connection
//!   of a command that looks at the broker and leaves again.
//! * `execute` runs the executor of a command.
//! * `console`, `home`, `exposure`, `descriptors`, `peers`: standard output; `~/`; who else can read a file; how many files
//!   may be open; the numbers of users.

mod call;
mod check;
pub mod cli;
mod console;
mod descriptors;
mod execute;
mod explain;
mod exposure;
mod home;
mod init;
pub mod install;
pub mod keyfile;
pub mod location;
mod lock;
mod named_keys;
mod peers;
mod replacement;
pub mod run;
pub mod serve;
pub mod service;
pub mod startup;
mod verify_audit;
mod visit;
