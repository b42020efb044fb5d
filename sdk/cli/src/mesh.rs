//! `macula mesh`: every gateway of the mesh and its links, as each tells of itself in `$sys.mesh.state`.

use crate::connect::Connection;
use crate::error::Error;
use crate::output::Output;
use macula_sdk::{Client, Topic};
use serde_json::Value;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// Gateways tell once a second, in a mesh of more than ten less often; one that is silent for longer is gone, or cut off.
const STALE_S: f64 = 10.0;

pub(crate) async fn run(connection: &Connection, mut output: Output) -> Result<(), Error> {
    let client = connection.connect().await?;
    let states = read(&client).await;
    // Nothing was published that could have been refused.
    let _ = client.close().await;
    let states = states?;
    if output.is_json() {
        states.iter().try_for_each(|state| output.object(state))?;
    } else {
        let unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as f64;
        output.line(&tables(&states, unix_ms))?;
    }
    output.flush()?;
    if states.is_empty() {
        return Err(Error::Failed("no gateway has told of itself: ask again in a second".to_owned()));
    }
    Ok(())
}

/// What every gateway says, by name.
async fn read(client: &Client) -> Result<Vec<Value>, Error> {
    let mut values = client.last(Topic::from_static("$sys.mesh.state")).await?;
    let mut states = Vec::new();
    while let Some(value) = values.next().await {
        let state: Value = serde_json::from_slice(value?.payload())
            .map_err(|error| Error::Failed(format!("$sys.mesh.state is no JSON: {error}")))?;
        states.push(state);
    }
    states.sort_by(|a, b| text(&a["gateway"]).cmp(text(&b["gateway"])));
    Ok(states)
}

fn tables(states: &[Value], unix_ms: f64) -> String {
    let mut gateways = vec![
        ["GATEWAY", "STATE", "SESSIONS", "LINKS", "PUBLISHED/s", "DELIVERED/s", "QUEUED", "LOST", "TOLD"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut links = vec![
        ["LINK", "DIALLED BY", "RTT", "SENT/s", "RECEIVED/s", "OUT", "IN", "QUEUED", "LOST", "UP"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut troubles = Vec::new();
    for state in states {
        let name = text(&state["gateway"]);
        let age_s = (unix_ms - number(&state["unix_ms"])).max(0.0) / 1_000.0;
        let shown = if age_s > STALE_S { "silent" } else { text(&state["state"]) };
        let all = state["links"].as_array().map(Vec::as_slice).unwrap_or_default();
        gateways.push(vec![
            name.to_owned(),
            shown.to_owned(),
            whole(&state["sessions"]),
            all.len().to_string(),
            whole(&state["published_per_s"]),
            whole(&state["delivered_per_s"]),
            bytes(number(&state["queued_bytes"])),
            sum(&state["lost"]),
            format!("{age_s:.0} s ago"),
        ]);
        // The two ends of a link say the same; the one that dialled says it.
        for link in all.iter().filter(|link| link["dialled"] == true) {
            links.push(vec![
                format!("{name} — {}", text(&link["peer"])),
                name.to_owned(),
                format!("{:.1} ms", number(&link["round_trip_ms"])),
                whole(&link["sent_per_s"]),
                whole(&link["received_per_s"]),
                format!("{}/s", bytes(number(&link["sent_bytes_per_s"]))),
                format!("{}/s", bytes(number(&link["received_bytes_per_s"]))),
                sum_of(&link["queued_bytes"], bytes),
                sum(&link["lost"]),
                span(number(&link["up_ms"]) / 1_000.0),
            ]);
        }
        for member in state["members"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let mut trouble = format!(
                "{name}: {} is {} since {}",
                text(&member["name"]),
                text(&member["state"]),
                span(number(&member["for_ms"]) / 1_000.0)
            );
            if member["state"] == "alive" {
                let _ = write!(trouble, ", and there is no link to it");
            }
            if let Some(error) = member["error"].as_str() {
                let _ = write!(trouble, ": {error}");
            }
            troubles.push(trouble);
        }
        for start in state["starts"].as_array().map(Vec::as_slice).unwrap_or_default() {
            if let Some(error) = start["error"].as_str() {
                troubles.push(format!("{name}: start address {error}"));
            }
        }
    }
    let mut parts = vec![aligned(&gateways)];
    if links.len() > 1 {
        parts.push(aligned(&links));
    }
    if !troubles.is_empty() {
        parts.push(troubles.join("\n"));
    }
    parts.join("\n\n")
}

/// Columns as wide as what is in them, numbers to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            let room = " ".repeat(width - cell.chars().count());
            if column < 2 { format!("{cell}{room}") } else { format!("{room}{cell}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

fn whole(value: &Value) -> String {
    format!("{:.0}", number(value))
}

/// The values of an object added up.
fn sum(value: &Value) -> String {
    sum_of(value, |total| format!("{total:.0}"))
}

fn sum_of(value: &Value, show: impl Fn(f64) -> String) -> String {
    show(value.as_object().map_or(0.0, |object| object.values().map(number).sum()))
}

fn bytes(count: f64) -> String {
    match count {
        count if count < 1024.0 => format!("{count:.0} B"),
        count if count < 1_048_576.0 => format!("{:.1} KiB", count / 1024.0),
        count => format!("{:.1} MiB", count / 1_048_576.0),
    }
}

fn span(seconds: f64) -> String {
    match seconds as u64 {
        seconds if seconds < 100 => format!("{seconds} s"),
        seconds if seconds < 6_000 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn links_are_shown_once_and_troubles_with_their_reason() {
        let link = |peer: &str, dialled: bool| {
            json!({ "peer": peer, "dialled": dialled, "round_trip_ms": 50.25, "up_ms": 61_000,
                "queued_bytes": { "rpc": 1, "event": 2_047, "telemetry": 0 }, "lost": { "event": 1, "telemetry": 2 } })
        };
        let a = json!({ "gateway": "a", "state": "up", "unix_ms": 1_000, "sessions": 3, "links": [link("b", true)] });
        let b = json!({ "gateway": "b", "state": "up", "unix_ms": 90_000, "links": [link("a", false)],
            "members": [{ "name": "c", "state": "down", "for_ms": 5_000, "error": "c:9443: no answer within 3 s" }] });
        let shown = tables(&[a, b], 91_000.0);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[1].starts_with("a        silent") && lines[1].ends_with("90 s ago"), "{shown}");
        assert!(lines[2].starts_with("b        up"), "{shown}");
        assert!(
            lines[5].starts_with("a — b  a") && lines[5].contains("50.2 ms") && lines[5].contains("2.0 KiB"),
            "{shown}"
        );
        assert_eq!(lines[7], "b: c is down since 5 s: c:9443: no answer within 3 s");
        assert_eq!(lines.len(), 8);
    }
}
