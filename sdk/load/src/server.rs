//! CPU time and memory of the server, as the system counts them.

use anyhow::Context as _;
use std::time::Duration;

/// CPU time that a process has taken so far, user and system.
///
/// # Errors
/// Where there is no such process, or no `/proc`.
pub fn cpu(pid: u32) -> anyhow::Result<Duration> {
    // Of each thread in nanoseconds; /proc/<pid>/stat counts in hundredths of a second.
    let mut nanoseconds = 0;
    let mut threads = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).context("the threads of the server")? {
        let path = thread?.path().join("schedstat");
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        let ran = text.split_whitespace().next().context("the format of schedstat")?;
        nanoseconds += ran.parse::<u64>().context("the format of schedstat")?;
        threads += 1;
    }
    anyhow::ensure!(threads > 0, "process {pid} has no threads");
    Ok(Duration::from_nanos(nanoseconds))
}

/// Resident memory of a process, in bytes.
///
/// # Errors
/// Where there is no such process, or no `/proc`.
pub fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}

/// The process of this machine that has bound a UDP port, where that can be seen.
pub fn of_udp_port(port: u16) -> Option<u32> {
    let inode = ["/proc/net/udp", "/proc/net/udp6"].iter().find_map(|table| {
        let table = std::fs::read_to_string(table).ok()?;
        table.lines().skip(1).find_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let bound = fields.next()?.rsplit_once(':')?.1;
            (u16::from_str_radix(bound, 16) == Ok(port)).then(|| fields.nth(7))?.map(str::to_owned)
        })
    })?;
    let socket = format!("socket:[{inode}]");
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let files = std::fs::read_dir(process.path().join("fd")).ok()?;
        files
            .flatten()
            .any(|file| {
                std::fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == socket.as_str())
            })
            .then_some(pid)
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_port_leads_to_its_process() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let pid = of_udp_port(socket.local_addr().unwrap().port());
        assert_eq!(pid, Some(std::process::id()));
        assert!(cpu(std::process::id()).unwrap() > Duration::ZERO);
        assert!(resident(std::process::id()).unwrap() > 1 << 20);
    }
}
