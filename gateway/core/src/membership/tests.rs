//! What a single member does with what it is told.

use super::*;

fn run(number: u8, epoch: u64) -> Run {
    Run::new(NodeId([number; 16]), epoch, &format!("gateway-{number}"), &[format!("gateway-{number}:9443")])
}

/// What `from` says to `to`, until both have nothing more to say.
fn talk(a: &mut Membership, b: &mut Membership, now_ms: u64) {
    for _ in 0..20 {
        let [from_a, from_b] = [&mut *a, &mut *b].map(|member| {
            std::iter::from_fn(|| member.poll_datagram()).map(|(_, datagram)| datagram).collect::<Vec<_>>()
        });
        let (id_a, id_b) = (a.node(), b.node());
        from_a.iter().for_each(|datagram| b.receive(id_a, datagram, now_ms).unwrap());
        from_b.iter().for_each(|datagram| a.receive(id_b, datagram, now_ms).unwrap());
    }
}

fn pair() -> (Membership, Membership) {
    let (mut a, mut b) = (Membership::new(run(1, 1), 1), Membership::new(run(2, 1), 2));
    a.link_up(&run(2, 1), 0);
    b.link_up(&run(1, 1), 0);
    talk(&mut a, &mut b, 0);
    (a, b)
}

#[test]
fn a_link_makes_a_member() {
    let (a, b) = pair();
    for (own, other) in [(&a, 2), (&b, 1)] {
        let members: Vec<Member> = own.members().collect();
        assert_eq!(members.len(), 1);
        assert_eq!(
            (members[0].run.name(), members[0].state),
            (&format!("gateway-{other}")[..], MemberState::Alive)
        );
        assert_eq!(members[0].run.addresses(), [format!("gateway-{other}:9443")]);
    }
}

#[test]
fn changes_are_told_once() {
    let (mut a, mut b) = pair();
    let changes = a.changes(0);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].state, Some(MemberState::Alive));
    assert_eq!(a.changes(10_000), []);
    b.leave(10_000);
    talk(&mut a, &mut b, 10_000);
    let changes = a.changes(10_000);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].state, Some(MemberState::Left));
    assert!(a.member(NodeId([2; 16])).is_some_and(|member| member.since_ms == 10_000));
}

#[test]
fn a_member_without_a_link_is_dialled_and_one_that_left_is_not() {
    let (mut a, mut b) = pair();
    assert_eq!(a.to_dial().count(), 0);
    a.link_down(NodeId([2; 16]));
    assert_eq!(a.to_dial().map(|run| run.node).collect::<Vec<_>>(), [NodeId([2; 16])]);
    a.link_up(&run(2, 1), 100);
    b.leave(100);
    talk(&mut a, &mut b, 100);
    a.link_down(NodeId([2; 16]));
    assert_eq!(a.to_dial().count(), 0);
}

#[test]
fn nobody_speaks_for_another() {
    let (mut a, mut b) = pair();
    b.link_up(&run(1, 1), 0);
    let (_, datagram) = b.poll_datagram().unwrap();
    let error = a.receive(NodeId([3; 16]), &datagram, 0).unwrap_err().to_string();
    assert!(error.contains(&NodeId([2; 16]).to_string()), "{error}");
}

#[test]
fn what_is_no_datagram_is_refused_and_what_is_another_kind_left_alone() {
    let (mut a, _) = pair();
    let from = NodeId([2; 16]);
    for datagram in [&[1][..], &[1, 0], &[1, 200, 1], &[1, 2, 255, 255], &[1; 1_200]] {
        assert!(a.receive(from, datagram, 0).is_err(), "{datagram:?}");
    }
    for datagram in [&[][..], &[2, 1, 2, 3], &[0x80]] {
        assert!(a.receive(from, datagram, 0).is_ok(), "{datagram:?}");
    }
}

#[test]
fn an_older_process_with_the_same_id_falls_silent_and_looks_again_later() {
    let (mut older, mut other) = pair();
    // The other hears of a newer run, and tells.
    let newer = std::iter::once(foca::Member::alive(run(1, 2)));
    other.foca.apply_many(newer, true, &mut other.outbox).unwrap();
    other.foca.gossip(&mut other.outbox).unwrap();
    other.outbox.linked.insert(NodeId([1; 16]));
    let mut datagram = None;
    for now_ms in (0..5_000).step_by(100) {
        other.tick(now_ms);
        while let Some((_, next)) = other.poll_datagram() {
            let _ = older.receive(NodeId([2; 16]), &next, now_ms);
            datagram = Some(next);
        }
    }
    assert!(datagram.is_some() && older.is_replaced());
    older.link_down(NodeId([2; 16]));
    assert_eq!((older.to_dial().count(), older.poll_datagram()), (0, None));
    older.tick(70_000);
    assert!(!older.is_replaced());
}

#[test]
fn the_longest_names_fit_a_datagram() {
    let addresses: Vec<String> =
        (0..20).map(|index| format!("{}.{index}.example.org:9443", "a".repeat(60))).collect();
    let long = |number| Run::new(NodeId([number; 16]), u64::MAX, &"n".repeat(600), &addresses);
    assert!(long(1).addresses().len() < 8 && !long(1).addresses().is_empty());
    let (mut a, mut b) = (Membership::new(long(1), 1), Membership::new(long(2), 2));
    a.link_up(&long(2), 0);
    b.link_up(&long(1), 0);
    talk(&mut a, &mut b, 0);
    assert_eq!(b.member(NodeId([1; 16])).unwrap().run.addresses(), long(1).addresses());
}

#[test]
fn a_mesh_has_a_most() {
    let (mut a, mut b) = pair();
    let invented = |number: u64| {
        let mut id = [9; 16];
        id[8..].copy_from_slice(&number.to_be_bytes());
        foca::Member::alive(Run::new(NodeId(id), 1, "", &[]))
    };
    let most = MEMBERS as u64;
    a.foca.apply_many((1..most - 1).map(invented), false, &mut a.outbox).unwrap();
    a.changes(0);
    b.foca.apply_many((most..most + 3).map(invented), true, &mut b.outbox).unwrap();
    b.foca.gossip(&mut b.outbox).unwrap();
    talk(&mut a, &mut b, 0);
    assert_eq!((a.refused(), a.members().count()), (1, MEMBERS - 1));
}

/// `UPDATE_VECTORS=1` writes them anew.
#[test]
fn datagrams_are_those_of_the_vectors() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto/vectors/datagrams.json");
    let datagram = |header: foca::Header<Run>, members: &[foca::Member<Run>]| {
        let mut bytes = vec![DATAGRAM];
        Wire.encode_header(&header, &mut bytes).unwrap();
        if header.message != foca::Message::Announce {
            bytes.extend((members.len() as u16).to_be_bytes());
        }
        members.iter().for_each(|member| Wire.encode_member(member, &mut bytes).unwrap());
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let header =
        |message| foca::Header { src: run(1, 1_000), src_incarnation: 3, dst: run(2, 2_000), message };
    let request = foca::Message::PingReq { target: run(3, 3_000), probe_number: 7 };
    let mut left = run(4, 4_000).farewell();
    left.bump = 2;
    let news = [foca::Member::new(run(3, 3_000), 1, State::Suspect), foca::Member::new(left, 0, State::Down)];
    let vectors = serde_json::json!({
        "description": "Membership datagrams from gateway-1 to gateway-2 (PROTOCOL.md, section 16), in hex.",
        "datagrams": [
            { "name": "announce", "hex": datagram(header(foca::Message::Announce), &[]) },
            { "name": "ping 7 without news", "hex": datagram(header(foca::Message::Ping(7)), &[]) },
            { "name": "ping request 7 for gateway-3", "hex": datagram(header(request), &[]) },
            {
                "name": "gossip: gateway-3 is suspected, gateway-4 has left",
                "hex": datagram(header(foca::Message::Gossip), &news),
            },
        ],
    });
    let fresh = format!("{vectors:#}\n");
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(path, &fresh).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == fresh, "run UPDATE_VECTORS=1 cargo test -p macula-core --lib datagrams");
}
