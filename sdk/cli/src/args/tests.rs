use super::*;
use clap::CommandFactory as _;
use clap::error::ErrorKind;

fn parse(line: &str) -> Result<Args, clap::Error> {
    Args::try_parse_from(std::iter::once("macula").chain(line.split_whitespace()))
}

fn mistake(line: &str) -> clap::Error {
    parse(line).map(|_| ()).expect_err(line)
}

#[test]
fn the_definitions_contradict_nothing() {
    Args::command().debug_assert();
}

#[test]
fn flags_of_the_connection_stand_before_or_behind_the_command() {
    for line in ["--url https://a:1 --realm r sub x", "sub x --url https://a:1 --realm r"] {
        let args = parse(line).expect(line);
        assert_eq!(
            args.connection.as_vars(),
            [
                ("MACULA_URL".to_owned(), "https://a:1".to_owned()),
                ("MACULA_REALM".to_owned(), "r".to_owned())
            ]
        );
    }
    assert_eq!(mistake("doctor --token a --token-file b").kind(), ErrorKind::ArgumentConflict);
}

#[test]
fn pub_takes_everything_a_message_has() {
    let line =
        "pub a.b - --key k --retain --class telemetry --header x=1 --header y=a=b --count 3 --rate 0.5";
    let Command::Pub(args) = parse(line).expect(line).command else { panic!("{line}") };
    assert_eq!(args.topic.as_str(), "a.b");
    assert_eq!(Source::of(args.payload), Source::Stdin);
    assert_eq!((args.key.as_str(), args.retain, args.class), ("k", true, Class::Telemetry));
    assert_eq!(args.headers, [("x".to_owned(), "1".to_owned()), ("y".to_owned(), "a=b".to_owned())]);
    assert_eq!((args.count, args.rate), (3, Some(0.5)));
}

#[test]
fn a_payload_may_look_like_a_number_below_zero() {
    let Command::Pub(args) = parse("pub a.b -21.5").expect("a cold day").command else { panic!("it is pub") };
    assert_eq!(args.payload.as_deref(), Some("-21.5"));
}

#[test]
fn a_slip_in_a_flag_is_no_payload() {
    assert_eq!(mistake("pub a.b --reatin").kind(), ErrorKind::UnknownArgument);
    assert_eq!(mistake("call a.b --time 1s").kind(), ErrorKind::UnknownArgument);
}

#[test]
fn an_illegal_topic_is_told_in_one_line_with_its_reason() {
    for (line, reason) in [
        ("pub a..b x", "segment 1 is empty"),
        ("pub a.* x", "is a wildcard"),
        ("call a.+", "is a wildcard"),
        ("sub a.#.b", "'#'"),
        ("serve a..b --echo", "segment 1 is empty"),
    ] {
        let error = mistake(line);
        assert_eq!(error.kind(), ErrorKind::ValueValidation, "{line}");
        let text = error.to_string();
        assert!(text.lines().next().is_some_and(|first| first.contains(reason)), "{text}");
    }
}

#[test]
fn values_are_checked() {
    for line in [
        "pub a x --header x",
        "pub a x --class loud",
        "pub a x --rate 0",
        "pub a x --type no.Such",
        "call a --timeout soon",
        "sub a --count 0",
    ] {
        assert_eq!(mistake(line).kind(), ErrorKind::ValueValidation, "{line}");
    }
    let long = format!("pub a x --key {}", "k".repeat(limits::KEY_BYTES + 1));
    assert!(mistake(&long).to_string().contains("256 bytes, at most 255"));
}

#[test]
fn what_contradicts_is_refused() {
    for line in [
        "pub a x --lines",
        "pub a --lines --count 2",
        "pub a x --type ContractOffered --content-type text/plain",
        "serve a --echo -- cat",
    ] {
        assert_eq!(mistake(line).kind(), ErrorKind::ArgumentConflict, "{line}");
    }
    assert_eq!(mistake("serve a").kind(), ErrorKind::MissingRequiredArgument);
    assert_eq!(mistake("sub").kind(), ErrorKind::MissingRequiredArgument);
}

#[test]
fn serve_takes_a_command_with_flags_of_its_own() {
    let Command::Serve(args) =
        parse("serve a --policy round-robin -- tr --complement a b").expect("fine").command
    else {
        panic!("it is serve")
    };
    assert_eq!(args.command, ["tr", "--complement", "a", "b"]);
    assert_eq!(CallPolicy::from(args.policy), CallPolicy::RoundRobin);
}

#[test]
fn times_have_units() {
    assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
    assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
    assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
    assert_eq!(duration("2"), Ok(Duration::from_secs(2)));
    for bad in ["", "s", "-1s", "0", "5 s", "1d", "infs", "nan"] {
        assert!(duration(bad).is_err(), "{bad}");
    }
}
