//! Standard output, without which a client over stdio hears nothing.

use std::io;

use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat, major, minor};

use super::ServeEnd;
use crate::logger;
use crate::stdio::Ending;

/// Whether the program was started without a standard output. Rust's runtime then opens `/dev/null` in its place, for
/// reading and writing; who means to throw the answers away opens it for writing.
pub(super) fn is_closed() -> bool {
    let output = rustix::stdio::stdout();
    let is_null = fstat(output).is_ok_and(|found| {
        FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice
            && (major(found.st_rdev), minor(found.st_rdev)) == DEV_NULL
    });
    is_null && fcntl_getfl(output).is_ok_and(|flags| flags & OFlags::RWMODE == OFlags::RDWR)
}

/// Logs that answers cannot be sent.
pub(super) fn say_that_it_is_closed() -> ServeEnd {
    logger::critical(format_args!(
        "standard output is closed, so no client can be answered"
    ));
    ServeEnd::InVain
}

/// How serving ended. A client that closes its end has left; every other failure is a fault.
pub(super) fn judge(ending: Ending) -> ServeEnd {
    let (what, why) = match ending {
        Ending::EndOfInput | Ending::Stopped => return ServeEnd::ToTheEnd,
        Ending::OutputBroken(why) => ("cannot write to standard output", why),
        Ending::Failed(why) => ("cannot use standard input or output", why),
    };
    if has_left(&why) {
        return ServeEnd::ToTheEnd;
    }
    let why = crate::io_error::describe(&why);
    logger::critical(format_args!("{what}: {why}"));
    ServeEnd::InVain
}

fn has_left(why: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(why.kind(), BrokenPipe | ConnectionReset)
}

/// Linux, Documentation/admin-guide/devices.txt.
const DEV_NULL: (u32, u32) = (1, 3);
