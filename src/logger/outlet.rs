//! Where log lines go, and where they wait.
//!
//! Promises: [`Log::record`] does not block. A line is written at once when the sink takes it;
//! otherwise it waits in a bounded buffer, which one thread, started for that and ended with it,
//! writes out. Lines that find the buffer full are dropped and counted, and the count is logged
//! where they are missing. `O_NONBLOCK` of standard error, which is shared with the parent
//! process, is never touched: after a positive `poll`, a write of at most `RECORD_BYTES` does
//! not block.
//!
//! Does not decide what is logged.

use std::collections::VecDeque;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use mcpmqtt_config::LogLevel;
use mcpmqtt_protocol::topic::ShownPath;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, OFlags};
use rustix::io::Errno;

use super::record::{self, Stamp};

/// A log with its buffer.
#[derive(Debug, Clone)]
pub(super) struct Log(Arc<Mutex<Writer>>);

/// A descriptor that takes lines.
#[derive(Debug, Clone)]
pub(super) struct Sink {
    target: LogTarget,
    stamp: Stamp,
}

#[derive(Debug, Clone)]
enum LogTarget {
    Stderr,
    File(Arc<File>),
}

#[derive(Debug)]
struct Writer {
    sink: Sink,
    waiting: VecDeque<QueuedLine>,
    waiting_bytes: usize,
    /// How much of the first waiting line is written.
    written: usize,
    /// Records dropped since the last count was put among the lines.
    dropped: u64,
    starting: bool,
    has_writer: bool,
}

#[derive(Debug)]
struct QueuedLine {
    text: String,
    /// The number of records that are lost with the line: 1, or the count that the line reports as lost.
    stands_for: u64,
}

impl Log {
    pub(super) fn new(sink: Sink) -> Self {
        Self(Arc::new(Mutex::new(Writer {
            sink,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            written: 0,
            dropped: 0,
            starting: true,
            has_writer: false,
        })))
    }

    pub(super) fn record(&self, now: SystemTime, level: LogLevel, message: fmt::Arguments<'_>) {
        let mut outlet = self.outlet();
        if outlet.starting && level >= LogLevel::Warning && outlet.sink.is_file() {
            Sink::standard_error().try_line(now, level, message);
        }
        let text = record::line(outlet.sink.stamp, now, level, message);
        outlet.accept(text);
        outlet.drain();
        if !outlet.waiting.is_empty() && !outlet.has_writer {
            outlet.has_writer = self.start_writer();
        }
    }

    /// Sends all further lines to `sink`, waiting lines included.
    pub(super) fn redirect(&self, sink: Sink) {
        self.outlet().sink = sink;
    }

    /// Ends the time in which warnings for a file go to standard error too.
    pub(super) fn end_start(&self) {
        self.outlet().starting = false;
    }

    /// Writes out what waits, for at most `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        loop {
            let sink = {
                let mut outlet = self.outlet();
                outlet.drain();
                if outlet.waiting.is_empty() {
                    return;
                }
                outlet.sink.clone()
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !sink.ready_within(Some(left)) {
                return;
            }
        }
    }

    /// Starts the thread that writes out what waits. Without one, the next record tries.
    fn start_writer(&self) -> bool {
        let log = self.clone();
        let writer = thread::Builder::new()
            .name("log".into())
            .stack_size(WRITER_STACK_BYTES);
        writer.spawn(move || log.write_out()).is_ok()
    }

    fn write_out(&self) {
        loop {
            let sink = {
                let mut outlet = self.outlet();
                outlet.drain();
                if outlet.waiting.is_empty() {
                    outlet.has_writer = false;
                    return;
                }
                outlet.sink.clone()
            };
            sink.ready_within(None);
        }
    }

    /// The lock is taken even if poisoned, so that the message of a panic is not lost: the outlet is consistent at any
    /// time.
    fn outlet(&self) -> MutexGuard<'_, Writer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn accept(&mut self, text: String) {
        self.report_dropped();
        if self.dropped > 0 || !self.has_room(text.len()) {
            self.dropped += 1;
        } else {
            self.wait(QueuedLine {
                text,
                stands_for: 1,
            });
        }
    }

    /// Puts the count of dropped records where they are missing, once there is room.
    fn report_dropped(&mut self) {
        if self.dropped == 0 || !self.has_room(record::RECORD_BYTES) {
            return;
        }
        let text = record::line(
            self.sink.stamp,
            SystemTime::now(),
            LogLevel::Warning,
            format_args!(
                "{} log records dropped: nobody read the log in time",
                self.dropped
            ),
        );
        self.wait(QueuedLine {
            text,
            stands_for: self.dropped,
        });
        self.dropped = 0;
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.waiting.len() < WAITING_RECORDS && self.waiting_bytes + bytes <= WAITING_BYTES
    }

    fn wait(&mut self, line: QueuedLine) {
        self.waiting_bytes += line.text.len();
        self.waiting.push_back(line);
    }

    /// Writes what the sink takes at this moment.
    fn drain(&mut self) {
        while let Some(line) = self.waiting.front() {
            let rest = line.text.as_bytes().get(self.written..).unwrap_or_default();
            match self.sink.try_write(rest) {
                Ok(written) if written < rest.len() => self.written += written,
                Ok(_) => {
                    self.written = 0;
                    self.waiting_bytes -= line.text.len();
                    self.waiting.pop_front();
                    self.report_dropped();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.drop_waiting(),
            }
        }
    }

    /// The sink is broken (no reader, no space): what waits is lost, and the next record tries.
    fn drop_waiting(&mut self) {
        self.dropped += self.waiting.iter().map(|line| line.stands_for).sum::<u64>();
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.written = 0;
    }
}

impl Sink {
    pub(super) fn standard_error() -> Self {
        let stamp = if is_journal() {
            Stamp::Journal
        } else {
            Stamp::Time
        };
        Self {
            target: LogTarget::Stderr,
            stamp,
        }
    }

    /// The file at `path`, made if it is not there. Its directory is not made: a mistyped path must not leave one.
    ///
    /// # Errors
    /// The reason as text.
    pub(super) fn append_to(path: &Path) -> Result<Self, String> {
        let file = appending().create(true).open(path);
        file.map(Self::file).map_err(|error| refusal(path, &error))
    }

    /// Whether [`append_to`](Self::append_to) would succeed, without making the file.
    ///
    /// # Errors
    /// The same errors as `append_to`.
    pub(super) fn could_append_to(path: &Path) -> Result<(), String> {
        let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        let tried = match appending().open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && directory.is_dir() => {
                let access = Access::WRITE_OK | Access::EXEC_OK;
                rustix::fs::access(directory, access).map_err(io::Error::from)
            }
            tried => tried.map(drop),
        };
        tried.map_err(|error| refusal(path, &error))
    }

    fn file(file: File) -> Self {
        Self {
            target: LogTarget::File(Arc::new(file)),
            stamp: Stamp::Time,
        }
    }

    fn is_file(&self) -> bool {
        matches!(self.target, LogTarget::File(_))
    }

    /// Writes one line if it is taken at this moment.
    fn try_line(&self, now: SystemTime, level: LogLevel, message: fmt::Arguments<'_>) {
        let line = record::line(self.stamp, now, level, message);
        // A second copy: the first is in the file.
        let _ = self.try_write(line.as_bytes());
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        if !self.ready_within(Some(Duration::ZERO)) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        loop {
            match rustix::io::write(self, bytes) {
                Err(rustix::io::Errno::INTR) => {}
                outcome => return outcome.map_err(Into::into),
            }
        }
    }

    /// Waits until the sink takes bytes or is broken; `None`: however long it may be.
    fn ready_within(&self, limit: Option<Duration>) -> bool {
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let mut fds = [PollFd::new(self, PollFlags::OUT)];
        // An error (a signal, say) counts as not ready: the caller polls again if it needs to.
        poll(&mut fds, limit.as_ref()).is_ok_and(|ready| ready > 0)
    }
}

impl AsFd for Sink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.target {
            LogTarget::Stderr => rustix::stdio::stderr(),
            LogTarget::File(file) => file.as_fd(),
        }
    }
}

/// How a log file is opened: not to hang on a named pipe without a reader. The flag is on our own open file.
fn appending() -> OpenOptions {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut options = OpenOptions::new();
    options
        .append(true)
        .mode(LOG_MODE)
        .custom_flags(flags.bits() as i32);
    options
}

/// Why a file cannot be opened for the log.
fn refusal(path: &Path, error: &io::Error) -> String {
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
    match (error.kind(), directory) {
        (io::ErrorKind::NotFound, Some(directory)) if !directory.exists() => {
            format!("there is no directory {}", ShownPath(directory))
        }
        // open(2): what ENXIO means for a pipe; for a socket it always comes.
        _ if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {
            "it is a named pipe that nobody reads, or a socket".into()
        }
        _ => crate::io_error::describe(error),
    }
}

/// systemd.exec(5): `JOURNAL_STREAM` names device and inode of the journal's socket; a standard
/// error that was redirected since is another file.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    rustix::fs::fstat(rustix::stdio::stderr())
        .is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// The group's members, often those who look after the machine, may read the log, others not: it names topics and peers.
const LOG_MODE: u32 = 0o640;

/// What may wait for a slow reader: enough for a burst, little on a small machine.
const WAITING_BYTES: usize = 64 * 1024;
const WAITING_RECORDS: usize = 512;

/// The writer formats one short line at most; the smallest stack musl and glibc both grant.
const WRITER_STACK_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::io::{BufRead, BufReader};
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::mpsc;

    use super::*;

    /// A log on a pipe with blocking ends, as a parent process gives one.
    fn log_on_a_pipe() -> (Log, File) {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        (Log::new(Sink::file(writer.into())), reader.into())
    }

    fn say(log: &Log, message: fmt::Arguments<'_>) {
        log.record(SystemTime::UNIX_EPOCH, LogLevel::Info, message);
    }

    /// Runs `job` and fails, rather than hang, when it does not end.
    fn ends(job: impl FnOnce() + Send + 'static) {
        let (done, is_done) = mpsc::channel();
        thread::spawn(move || {
            job();
            let _ = done.send(());
        });
        is_done
            .recv_timeout(Duration::from_secs(20))
            .expect("blocked");
    }

    #[test]
    fn a_record_is_in_the_pipe_when_the_call_returns() {
        let (log, reader) = log_on_a_pipe();
        say(&log, format_args!("one"));
        drop(log);
        let lines: Vec<_> = BufReader::new(reader).lines().map(Result::unwrap).collect();
        assert_eq!(lines, ["1970-01-01T00:00:00.000Z INFO one"]);
    }

    #[test]
    fn nobody_reads_and_nothing_blocks_and_the_loss_is_counted_in_its_place() {
        let (log, reader) = log_on_a_pipe();
        let flooded = log.clone();
        ends(move || {
            for n in 0..5000 {
                say(&flooded, format_args!("{n} {}", "x".repeat(300)));
            }
        });
        let (lines, next_line) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(reader).lines() {
                let _ = lines.send(line.unwrap());
            }
        });
        let mut kept = 0_u64;
        let note = loop {
            let line = next_line.recv_timeout(Duration::from_secs(20)).unwrap();
            if line.contains("dropped") {
                break line;
            }
            assert!(line.contains(&format!(" INFO {kept} xxx")), "{line}");
            kept += 1;
        };
        assert!(kept > 200, "a pipe and the buffer hold more than {kept}");
        let dropped = 5000 - kept;
        assert!(note.ends_with(&format!(
            "WARNING {dropped} log records dropped: nobody read the log in time"
        )));
        say(&log, format_args!("after"));
        let after = next_line.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(after.ends_with(" INFO after"), "{after}");
    }

    #[test]
    fn memory_is_bounded_while_nobody_reads() {
        let (log, _reader) = log_on_a_pipe();
        let message = "x".repeat(100_000);
        for _ in 0..1000 {
            say(&log, format_args!("{message}"));
        }
        for _ in 0..1000 {
            say(&log, format_args!("y"));
        }
        let outlet = log.outlet();
        let held: usize = outlet.waiting.iter().map(|line| line.text.len()).sum();
        assert_eq!(held, outlet.waiting_bytes);
        assert!(held <= WAITING_BYTES && outlet.waiting.len() <= WAITING_RECORDS);
        assert!(outlet.dropped > 1000);
    }

    #[test]
    fn a_reader_that_left_is_survived() {
        let (log, reader) = log_on_a_pipe();
        drop(reader);
        ends(move || {
            for n in 0..1000 {
                say(&log, format_args!("{n}"));
            }
            log.flush(Duration::from_secs(10));
            let outlet = log.outlet();
            assert_eq!((outlet.waiting.len(), outlet.dropped), (0, 1000));
        });
    }

    #[test]
    fn flush_gives_up_when_its_time_is_over() {
        let (log, _reader) = log_on_a_pipe();
        for _ in 0..100 {
            say(&log, format_args!("{}", "x".repeat(3000)));
        }
        let start = Instant::now();
        log.flush(Duration::from_millis(50));
        let took = start.elapsed();
        assert!(
            took >= Duration::from_millis(50),
            "nothing was waited for: {took:?}"
        );
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert!(!log.outlet().waiting.is_empty());
    }

    #[test]
    fn a_file_is_appended_to_and_a_missing_directory_is_named_and_not_made() {
        let directory = std::env::temp_dir().join(format!("mcpmqtt-log-{}", std::process::id()));
        let path = directory.join("b.log");
        let why = Sink::append_to(&path).unwrap_err();
        assert_eq!(
            why,
            format!("there is no directory `{}`", directory.display())
        );
        assert!(!directory.exists());
        fs::create_dir(&directory).unwrap();
        for n in 0..2 {
            let log = Log::new(Sink::append_to(&path).unwrap());
            say(&log, format_args!("run {n}"));
        }
        let text = fs::read_to_string(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        fs::remove_dir_all(&directory).unwrap();
        let messages: Vec<_> = text.lines().map(|line| line.split_at(25).1).collect();
        assert_eq!(messages, ["INFO run 0", "INFO run 1"]);
        assert_eq!(mode & !0o640, 0, "{mode:o}");
    }
}
