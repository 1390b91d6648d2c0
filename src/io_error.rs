//! I/O errors as short text.

use std::io;

/// An I/O error as short lower-case text, without the number.
pub(crate) fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::ConnectionReset => "connection reset by the peer".into(),
        io::ErrorKind::BrokenPipe => "broken pipe".into(),
        io::ErrorKind::TimedOut => "no answer in time".into(),
        io::ErrorKind::HostUnreachable => "no route to the host".into(),
        io::ErrorKind::NetworkUnreachable => "the network is unreachable".into(),
        _ => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            text.strip_prefix("failed to lookup address information: ")
                .unwrap_or(text)
                .to_lowercase()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_a_short_text_without_its_number() {
        let table = [
            (io::ErrorKind::ConnectionRefused, "connection refused"),
            (
                io::ErrorKind::ConnectionReset,
                "connection reset by the peer",
            ),
            (io::ErrorKind::BrokenPipe, "broken pipe"),
            (io::ErrorKind::TimedOut, "no answer in time"),
            (io::ErrorKind::HostUnreachable, "no route to the host"),
            (
                io::ErrorKind::NetworkUnreachable,
                "the network is unreachable",
            ),
        ];
        for (kind, text) in table {
            assert_eq!(describe(&kind.into()), text);
        }
        // ENOENT and EHOSTUNREACH, as the system gives them.
        let missing = io::Error::from_raw_os_error(2);
        assert_eq!(describe(&missing), "no such file or directory");
        let away = io::Error::from_raw_os_error(113);
        assert_eq!(describe(&away), "no route to the host");
        let unknown =
            io::Error::other("failed to lookup address information: Name or service not known");
        assert_eq!(describe(&unknown), "name or service not known");
    }
}
