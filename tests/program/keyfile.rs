//! New keys in real files.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use mcpmqtt::app::keyfile::{Change, KeyfileError, prepare};
use mcpmqtt_config::{ApiKey, Config, Secret};

use crate::common::copy::copy_program;
use crate::common::pipes::pipe;
use crate::common::program::PROGRAM;

/// Least costs, so that a key takes no time.
const CHEAP: &str =
    r#"{"remote_server": {"api_key": "old", "api_key_kdf": {"memory_cost": 8, "time_cost": 1}}}"#;

/// A key that is in force.
struct Rotated {
    key: Secret,
    file: PathBuf,
    change: Change,
    warnings: Vec<String>,
}

fn rotate_key(path: &Path) -> Result<Rotated, KeyfileError> {
    let prepared = prepare(path, false)?;
    let rotated = Rotated {
        key: prepared.key.clone(),
        file: prepared.file.clone(),
        change: prepared.change,
        warnings: prepared.warnings.clone(),
    };
    prepared.put_in_force().map(|()| rotated)
}

/// A folder of this test, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "mcpmqtt-keyfile-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::set_permissions(&self.0, Permissions::from_mode(0o700));
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What this process, started again, calls a test of this file.
fn name_of(test: &str) -> String {
    let (_, module) = module_path!().split_once("::").unwrap();
    format!("{module}::{test}")
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn verifies(file: &Path, key: &str) -> bool {
    match Config::parse(&fs::read_to_string(file).unwrap())
        .unwrap()
        .0
        .remote_server
        .unwrap()
        .api_key
    {
        ApiKey::Hashed(record) => record.verify(key).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_call_puts_another_key_in_force() {
    let folder = Folder::new();
    let file = folder.file("config.json", CHEAP, 0o600);
    let first = rotate_key(&file).unwrap();
    assert!(verifies(&file, first.key.expose()));
    let second = rotate_key(&file).unwrap();
    assert!(verifies(&file, second.key.expose()) && !verifies(&file, first.key.expose()));
    assert_eq!(second.warnings, [""; 0]);
    assert_eq!(folder.names(), ["config.json"], "no temporary file stays");
    assert!(!fs::read_to_string(&file).unwrap().contains("\"old\""));
}

#[test]
fn mode_owner_and_group_are_kept_and_a_readable_file_is_warned_of() {
    for (mode, warned) in [(0o600, false), (0o640, false), (0o644, true), (0o604, true)] {
        let folder = Folder::new();
        let file = folder.file("config.json", CHEAP, mode);
        if is_root() {
            chown(&file, Some(12_345), Some(23_456)).unwrap();
        }
        let before = fs::metadata(&file).unwrap();
        let warnings = rotate_key(&file).unwrap().warnings;
        let after = fs::metadata(&file).unwrap();
        assert_eq!(
            (after.mode(), after.uid(), after.gid()),
            (before.mode(), before.uid(), before.gid())
        );
        assert_ne!(
            after.ino(),
            before.ino(),
            "the file is replaced, not overwritten"
        );
        assert_eq!(warnings.len(), usize::from(warned), "{warnings:?}");
        assert!(
            warnings
                .iter()
                .all(|warning| warning.contains(&format!("(mode {mode:04o})"))),
            "{warnings:?}"
        );
    }
}

#[test]
fn a_symlink_stays_and_its_target_gets_the_key() {
    let (folder, elsewhere) = (Folder::new(), Folder::new());
    let target = elsewhere.file("real.json", CHEAP, 0o600);
    let link = folder.0.join("config.json");
    symlink(&target, &link).unwrap();
    let rotated = rotate_key(&link).unwrap();
    assert_eq!(fs::read_link(&link).unwrap(), target);
    assert_eq!(rotated.file, target.canonicalize().unwrap());
    assert!(verifies(&target, rotated.key.expose()));
    assert_eq!((folder.names().len(), elsewhere.names().len()), (1, 1));
}

#[test]
fn a_file_that_cannot_hold_a_key_is_unchanged() {
    let folder = Folder::new();
    for text in [
        "",
        "{\"mqtt\": ",
        "[]",
        r#"{"remote_server": 7}"#,
        "{\n  // a comment\n}",
        r#"{"mcpServers": {"mqtt": {"command": "mcpmqtt"}}}"#,
        &" ".repeat(1024 * 1024 + 1),
    ] {
        let file = folder.file("config.json", text, 0o600);
        let error = rotate_key(&file).err().unwrap().to_string();
        let sentence = error.lines().next().unwrap();
        assert!(
            sentence.ends_with("; the file is unchanged") && sentence.contains("config.json"),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        assert_eq!(folder.names(), ["config.json"]);
    }
}

#[test]
fn what_is_no_file_is_refused_in_words() {
    let folder = Folder::new();
    let nowhere = rotate_key(&folder.0.join("none/config.json"))
        .err()
        .unwrap();
    let nowhere = nowhere.to_string();
    assert!(
        nowhere.starts_with("cannot write `") && nowhere.contains("No such file"),
        "{nowhere}"
    );
    symlink("nothing", folder.0.join("dangling")).unwrap();
    let dangling = rotate_key(&folder.0.join("dangling"))
        .err()
        .unwrap()
        .to_string();
    assert!(dangling.starts_with("cannot find `"), "{dangling}");
    for other in [folder.0.as_path(), Path::new("/dev/null")] {
        let error = rotate_key(other).err().unwrap().to_string();
        assert!(error.contains("not a regular file"), "{error}");
    }
    let latin1 = folder.file("latin1.json", "", 0o600);
    fs::write(&latin1, b"{\"a\": \"\xe4\"}").unwrap();
    assert!(rotate_key(&latin1).is_err());
}

/// Permissions do not bind root, so root has this test run by `nobody`.
#[test]
fn without_the_right_to_write_nothing_is_lost() {
    if is_root() {
        return run_as_nobody("without_the_right_to_write_nothing_is_lost");
    }
    let folder = Folder::new();
    let file = folder.file("config.json", CHEAP, 0o444);
    let protected_file = rotate_key(&file).err().unwrap().to_string();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    assert!(
        protected_file.starts_with("cannot read and write `"),
        "{protected_file}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), CHEAP);
    assert_eq!(folder.names(), ["config.json"]);
}

/// A file in a folder of somebody else's, as in a container.
#[test]
fn in_a_folder_that_takes_no_file_the_file_is_written_in_place() {
    if is_root() {
        return run_as_nobody("in_a_folder_that_takes_no_file_the_file_is_written_in_place");
    }
    let folder = Folder::new();
    let file = folder.file("config.json", CHEAP, 0o600);
    let before = fs::metadata(&file).unwrap().ino();
    fs::set_permissions(&folder.0, Permissions::from_mode(0o500)).unwrap();
    let rotated = rotate_key(&file).unwrap();
    assert!(verifies(&file, rotated.key.expose()));
    assert_eq!(fs::metadata(&file).unwrap().ino(), before);
    assert_eq!(folder.names(), ["config.json"]);
}

/// Else one name would keep the old key.
#[test]
fn a_second_name_of_the_file_gets_the_key_too() {
    let folder = Folder::new();
    let file = folder.file("config.json", CHEAP, 0o600);
    let other = folder.0.join("other.json");
    fs::hard_link(&file, &other).unwrap();
    let rotated = rotate_key(&file).unwrap();
    for name in [&file, &other] {
        assert!(verifies(name, rotated.key.expose()));
    }
    assert_eq!(fs::metadata(&file).unwrap().nlink(), 2);
    assert_eq!(folder.names(), ["config.json", "other.json"]);
}

/// One file of the host in a container: it cannot be replaced, since it is a mount point.
#[test]
fn a_file_that_is_mounted_is_written_in_place() {
    const NAME: &str = "a_file_that_is_mounted_is_written_in_place";
    if std::env::var_os("MCPMQTT_TEST_MOUNTED").is_none() {
        let own = std::env::current_exe().unwrap();
        let run = Command::new("unshare")
            .args(["--mount", "--map-root-user"])
            .arg(own)
            .args(["--exact", &name_of(NAME), "--nocapture"])
            .env("MCPMQTT_TEST_MOUNTED", "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success() && said.contains("1 passed"), "{run:?}");
        return;
    }
    let (folder, host) = (Folder::new(), Folder::new());
    let file = folder.file("config.json", "", 0o600);
    let real = host.file("real.json", CHEAP, 0o600);
    let mounted = Command::new("mount")
        .arg("--bind")
        .args([&real, &file])
        .status();
    assert!(mounted.unwrap().success());
    let rotated = rotate_key(&file);
    let unmounted = Command::new("umount").arg(&file).status();
    assert!(unmounted.unwrap().success());
    assert!(verifies(&real, rotated.ok().unwrap().key.expose()));
    assert_eq!(folder.names(), ["config.json"]);
}

#[test]
fn what_the_key_is_to_the_file_is_told() {
    let folder = Folder::new();
    let file = folder.0.join("config.json");
    assert_eq!(rotate_key(&file).unwrap().change, Change::NewFile);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(rotate_key(&file).unwrap().change, Change::Replaces);
    let file = folder.file(
        "first.json",
        r#"{"remote_server": {"api_key_kdf": {"memory_cost": 8}}}"#,
        0o600,
    );
    assert_eq!(rotate_key(&file).unwrap().change, Change::FirstKey);
    let file = folder.file("plain.json", CHEAP, 0o600);
    assert_eq!(rotate_key(&file).unwrap().change, Change::Replaces);
}

/// The program, which prints to `output`; its exit code and what it said.
fn genkey(args: &[&str], output: Stdio) -> (Option<i32>, String) {
    let program = Command::new(PROGRAM)
        .arg("--genkey")
        .args(args)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let ended = program.wait_with_output().unwrap();
    (
        ended.status.code(),
        String::from_utf8(ended.stderr).unwrap(),
    )
}

/// Whatever cannot be read by anybody must not take the place of a key that is in use.
#[test]
fn a_key_that_cannot_be_printed_is_not_put_in_force() {
    let folder = Folder::new();
    let file = folder.file("config.json", CHEAP, 0o600);
    let args = ["--config", file.to_str().unwrap()];
    let (reader, broken) = pipe();
    drop(reader);
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    for (output, words) in [
        (
            Stdio::from(full),
            "cannot write the key to standard output: No space left",
        ),
        (
            Stdio::from(broken),
            "cannot write the key to standard output: Broken pipe",
        ),
        (Stdio::null(), "standard output is closed or `/dev/null`"),
    ] {
        let (code, said) = genkey(&args, output);
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains(words) && said.contains("the configuration is unchanged"),
            "{said}"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), CHEAP);
        assert_eq!(folder.names(), ["config.json"]);
    }
    let closed = Command::new("sh")
        .args([
            "-c",
            "exec \"$0\" --genkey --config \"$1\" >&-",
            PROGRAM,
            args[1],
        ])
        .output()
        .unwrap();
    assert_eq!(closed.status.code(), Some(1), "{closed:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), CHEAP);

    let (code, said) = genkey(&args, Stdio::piped());
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("the key before it ends when the server restarts or gets SIGHUP"),
        "{said}"
    );
}

/// Each begins with what the one before wrote, also where the first of them makes the file.
#[test]
fn commands_that_run_at_the_same_time_do_not_undo_each_other() {
    let folder = Folder::new();
    let file = folder.0.join("config.json");
    let names: Vec<String> = (0..8).map(|number| format!("k{number}")).collect();
    let start = |option: &str, name: &str| {
        let mut command = Command::new(PROGRAM);
        command.args([option, name, "--config"]).arg(&file);
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let all_succeed = |running: Vec<Child>| {
        for one in running {
            let ended = one.wait_with_output().unwrap();
            assert!(ended.status.success(), "{ended:?}");
        }
    };
    let in_file = || {
        let (config, _) = Config::parse(&fs::read_to_string(&file).unwrap()).unwrap();
        let keys = config.remote_server.unwrap().keys;
        let mut names: Vec<_> = keys.into_iter().map(|key| key.name).collect();
        names.sort();
        names
    };
    all_succeed(names.iter().map(|name| start("--genkey", name)).collect());
    assert_eq!(in_file(), names);
    let revoke = names.iter().take(4).map(|name| start("--revoke", name));
    let more = ["m0", "m1", "m2", "m3"];
    let make = more.iter().map(|name| start("--genkey", name));
    all_succeed(revoke.zip(make).flat_map(<[Child; 2]>::from).collect());
    assert_eq!(in_file(), [&["k4", "k5", "k6", "k7"], &more[..]].concat());
    assert_eq!(folder.names(), ["config.json"]);
}

#[test]
fn what_another_program_wrote_meanwhile_is_not_undone() {
    let folder = Folder::new();
    let file = folder.file("config.json", CHEAP, 0o600);
    let prepared = prepare(&file, false).unwrap();
    fs::write(&file, "{}").unwrap();
    let error = prepared.put_in_force().unwrap_err().to_string();
    assert!(
        error.contains("another process has changed it meanwhile"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "{}");
    let new = folder.0.join("new.json");
    let prepared = prepare(&new, false).unwrap();
    fs::write(&new, "{}").unwrap();
    let error = prepared.put_in_force().unwrap_err().to_string();
    assert!(error.contains("File exists"), "{error}");
    assert_eq!(fs::read_to_string(&new).unwrap(), "{}");
    assert_eq!(folder.names(), ["config.json", "new.json"]);
}

fn run_as_nobody(test: &str) {
    let folder = Folder::new();
    fs::set_permissions(&folder.0, Permissions::from_mode(0o777)).unwrap();
    let program = folder.0.join("test");
    // The build folder may be closed to others.
    copy_program(&std::env::current_exe().unwrap(), &program);
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(&program);
    command
        .args(["--exact", &name_of(test)])
        .env("TMPDIR", &folder.0)
        .current_dir("/");
    let output = command.uid(65_534).gid(65_534).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}
