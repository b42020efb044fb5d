//! A real PostgreSQL server in a directory of its own, for tests and benchmarks (feature `fixtures`).

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::store::Database;

/// A server that listens on loopback and on a unix socket, and ends with this value.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    directory: tempfile::TempDir,
    user: Option<(u32, u32)>,
    port: u16,
    databases: std::sync::atomic::AtomicUsize,
}

impl Postgres {
    /// Starts a server. Where PostgreSQL is missing it is installed if we may; otherwise the error tells what to run.
    pub fn start() -> Result<Self, String> {
        let programs = programs()?;
        let directory = tempfile::Builder::new().prefix("cortexiq-postgres-").tempdir().map_err(told)?;
        let user = unprivileged(directory.path())?;
        if let Some((uid, gid)) = user {
            chown(directory.path(), Some(uid), Some(gid)).map_err(told)?;
        }
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).map_err(told)?;
        let mut server = Self { programs, directory, user, port: 0, databases: 0.into() };
        server.run(
            "initdb",
            &["--auth=trust", "--username=macula", "--encoding=UTF8", "--locale=C", "--no-sync"],
        )?;
        // Somebody else may take the port between finding and using it.
        let mut started = Err(String::new());
        for _ in 0..5 {
            server.port = free_port()?;
            started = server.begin();
            if started.is_ok() {
                break;
            }
        }
        started.map(|()| server)
    }

    /// A fresh database.
    pub async fn database(&self) -> Result<Database, String> {
        let number = self.databases.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let url = self.url("postgres", "postgres");
        let (client, connection) =
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await.map_err(told)?;
        let connection = tokio::spawn(connection);
        client.batch_execute(&format!("CREATE DATABASE test_{number}")).await.map_err(told)?;
        drop(client);
        connection.await.map_err(told)?.map_err(told)?;
        self.url("postgres", &format!("test_{number}")).parse().map_err(told)
    }

    /// The URL of a database under a scheme.
    pub fn url(&self, scheme: &str, database: &str) -> String {
        format!("{scheme}://macula@127.0.0.1:{}/{database}", self.port)
    }

    /// Ends the server as if its machine had lost power.
    pub fn stop(&self) -> Result<(), String> {
        self.run("pg_ctl", &["stop", "--mode=immediate", "--wait"])
    }

    /// Starts it again after [`Postgres::stop`], on the same port.
    pub fn begin(&self) -> Result<(), String> {
        let directory = self.directory.path().display();
        let options = format!("-p {} -c listen_addresses=127.0.0.1 -k {directory}", self.port);
        let log = self.directory.path().join("log");
        let log = log.to_str().ok_or("the directory's name is not UTF-8")?;
        self.run("pg_ctl", &["start", "--wait", "--log", log, "--options", &options])
            .map_err(|error| format!("{error}\n{}", fs::read_to_string(log).unwrap_or_default()))
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<(), String> {
        let data = self.directory.path().join("data");
        let mut command = Command::new(self.programs.join(program));
        command.arg("-D").arg(data).args(arguments).current_dir("/");
        // The server must not hold our pipes open.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        let status = command.status().map_err(|error| format!("{program}: {error}"))?;
        status.success().then_some(()).ok_or_else(|| format!("{program} {}: {status}", arguments.join(" ")))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // It may have been stopped already.
        let _ = self.stop();
    }
}

/// The directory of `initdb` and `pg_ctl`.
fn programs() -> Result<PathBuf, String> {
    if let Some(found) = find_programs() {
        return Ok(found);
    }
    if !is_root() || !Path::new("/usr/bin/apt-get").exists() {
        return Err(format!("PostgreSQL is missing; run: {INSTALL}"));
    }
    // Tests run side by side: one of them installs, the others wait.
    let lock = fs::File::create(std::env::temp_dir().join("cortexiq-install.lock")).map_err(told)?;
    lock.lock().map_err(told)?;
    if find_programs().is_none() {
        let install = || Command::new("sh").args(["-c", INSTALL]).stdin(Stdio::null()).output().map_err(told);
        if !install()?.status.success() {
            let update = Command::new("apt-get").arg("update").stdin(Stdio::null()).output().map_err(told)?;
            let output = install()?;
            if !update.status.success() || !output.status.success() {
                let error = String::from_utf8_lossy(&output.stderr).into_owned();
                return Err(format!("PostgreSQL is missing and this failed: {INSTALL}\n{error}"));
            }
        }
    }
    find_programs().ok_or_else(|| format!("PostgreSQL is missing; run: {INSTALL}"))
}

fn find_programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut places: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    places.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    // The newest version first, then what the path has.
    places.into_iter().rev().chain(std::env::split_paths(&path)).find(|place| {
        ["initdb", "pg_ctl", "postgres"].iter().all(|program| place.join(OsStr::new(program)).exists())
    })
}

/// Who runs the server: the server refuses to run as root.
fn unprivileged(ours: &Path) -> Result<Option<(u32, u32)>, String> {
    if fs::metadata(ours).map_err(told)?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").map_err(told)?;
    let found = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        (name == "postgres").then_some((uid, gid))
    });
    found.map(Some).ok_or_else(|| "there is no user postgres to run the server as".to_owned())
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(told)?;
    Ok(listener.local_addr().map_err(told)?.port())
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

const INSTALL: &str = "apt-get install -y --no-install-recommends postgresql";
