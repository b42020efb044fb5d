use super::*;

const ADDRESS: &str = "192.0.2.7:9443";

fn diagnosis(failure: Failure, answer: Answer) -> serde_json::Value {
    let mut report = Report::new("https://gateway:9443");
    let attempts = vec![Attempt { url: "https://gateway:9443".to_owned(), failure }];
    diagnose(&mut report, &ConnectError::Failed { attempts }, ADDRESS.parse().expect("an address"), answer);
    assert!(!report.is_healthy());
    report.object()
}

/// The failed step, its detail, and what to do.
fn failed(report: &serde_json::Value) -> (&str, &str, &str) {
    let steps = report["steps"].as_array().expect("a list");
    let step = steps.iter().find(|step| step["status"] == "failed").expect("one failed");
    let text = |name: &str| step[name].as_str().expect("a text");
    (text("step"), text("detail"), text("remedy"))
}

fn refused(code: Code, message: &str) -> Failure {
    Failure::Refused { code, message: message.to_owned(), retry_after: Duration::ZERO }
}

#[test]
fn blocked_udp_is_told_with_the_lack_of_a_fallback() {
    let report = diagnosis(Failure::TimedOut(Duration::from_secs(5)), Answer::Silence);
    let (step, detail, remedy) = failed(&report);
    assert_eq!((step, detail), ("udp", "no answer from UDP 192.0.2.7:9443"));
    assert!(remedy.contains("UDP 9443 open") && remedy.contains("no TCP fallback in version 1"), "{remedy}");
}

#[test]
fn a_closed_port_asks_for_a_gateway() {
    let report = diagnosis(Failure::TimedOut(Duration::from_secs(5)), Answer::Closed);
    let (step, detail, remedy) = failed(&report);
    assert_eq!(step, "udp");
    assert!(
        detail.contains("nobody listens") && remedy.starts_with("start the gateway"),
        "{detail}; {remedy}"
    );
}

#[test]
fn a_wrong_realm_names_both() {
    let message = "this gateway serves realm `a`, the client asks for `b`";
    let report = diagnosis(refused(Code::InvalidArgument, message), Answer::Quic(Duration::ZERO));
    assert_eq!(failed(&report).0, "realm");
    assert_eq!(failed(&report).1, message);
    assert_eq!(report["steps"][2]["status"], "ok");
}

#[test]
fn each_refusal_belongs_to_its_step() {
    let step = |failure| failed(&diagnosis(failure, Answer::Quic(Duration::ZERO))).0.to_owned();
    assert_eq!(step(refused(Code::Unauthenticated, "no token")), "token");
    assert_eq!(step(refused(Code::PermissionDenied, "not you")), "token");
    assert_eq!(step(refused(Code::Unavailable, "draining")), "session");
    assert_eq!(step(Failure::Tls("unknown issuer".to_owned())), "certificate");
    assert_eq!(step(Failure::Token { path: "t".to_owned(), reason: "gone".to_owned() }), "token");
    assert_eq!(step(Failure::Protocol("odd".to_owned())), "session");
    assert_eq!(step(Failure::TimedOut(Duration::from_secs(5))), "session");
}

#[test]
fn a_silent_probe_does_not_hide_what_the_handshake_found() {
    assert_eq!(
        failed(&diagnosis(Failure::Tls("unknown issuer".to_owned()), Answer::Silence)).0,
        "certificate"
    );
}
