//! foca's packets as the protobuf messages of `mesh.proto`, each behind its length.

use super::run::Run;
use bytes::{Buf, BufMut};
use foca::{Header, Member, Message, State};
use macula_proto::v1::member_update::State as WireState;
use macula_proto::v1::membership_header::Kind;
use macula_proto::v1::{MemberUpdate, MembershipHeader};
use prost::Message as _;

/// Writes and reads headers and members.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wire;

/// A datagram that is no membership datagram, or has no room for a part.
#[derive(Debug, thiserror::Error)]
pub(super) enum CodecError {
    #[error("{0}")]
    Unreadable(#[from] prost::DecodeError),
    #[error("no room")]
    NoRoom(#[from] prost::EncodeError),
    #[error("a member without a node of 16 bytes, or with too long a name or addresses")]
    BadMember,
    #[error("a kind, state or number that does not exist")]
    BadValue,
}

impl foca::Codec<Run> for Wire {
    type Error = CodecError;

    fn encode_header(&mut self, header: &Header<Run>, mut buf: impl BufMut) -> Result<(), CodecError> {
        let (kind, probe, other) = match &header.message {
            Message::Ping(probe) => (Kind::Ping, *probe, None),
            Message::Ack(probe) => (Kind::Ack, *probe, None),
            Message::PingReq { target, probe_number } => (Kind::PingRequest, *probe_number, Some(target)),
            Message::IndirectPing { origin, probe_number } => {
                (Kind::IndirectPing, *probe_number, Some(origin))
            }
            Message::IndirectAck { target, probe_number } => (Kind::IndirectAck, *probe_number, Some(target)),
            Message::ForwardedAck { origin, probe_number } => {
                (Kind::ForwardedAck, *probe_number, Some(origin))
            }
            Message::Announce => (Kind::Announce, 0, None),
            Message::Feed => (Kind::Feed, 0, None),
            // Broadcasts are foca's extension for applications; nobody here makes one.
            Message::Gossip | Message::Broadcast => (Kind::Gossip, 0, None),
            Message::TurnUndead => (Kind::TurnUndead, 0, None),
        };
        let wire = MembershipHeader {
            source: Some(header.src.in_full()),
            incarnation: header.src_incarnation.into(),
            target: Some(header.dst.brief()),
            kind: kind.into(),
            probe: probe.into(),
            other: other.map(Run::brief),
        };
        Ok(wire.encode_length_delimited(&mut buf)?)
    }

    fn decode_header(&mut self, mut buf: impl Buf) -> Result<Header<Run>, CodecError> {
        let wire = MembershipHeader::decode_length_delimited(&mut buf)?;
        let kind = wire.kind();
        let run = |member| Run::read(member).ok_or(CodecError::BadMember);
        let probe = wire.probe as u8;
        let message = match kind {
            Kind::Unspecified => return Err(CodecError::BadValue),
            Kind::Ping => Message::Ping(probe),
            Kind::Ack => Message::Ack(probe),
            Kind::PingRequest => Message::PingReq { target: run(wire.other)?, probe_number: probe },
            Kind::IndirectPing => Message::IndirectPing { origin: run(wire.other)?, probe_number: probe },
            Kind::IndirectAck => Message::IndirectAck { target: run(wire.other)?, probe_number: probe },
            Kind::ForwardedAck => Message::ForwardedAck { origin: run(wire.other)?, probe_number: probe },
            Kind::Announce => Message::Announce,
            Kind::Feed => Message::Feed,
            Kind::Gossip => Message::Gossip,
            Kind::TurnUndead => Message::TurnUndead,
        };
        Ok(Header {
            src: run(wire.source)?,
            src_incarnation: incarnation(wire.incarnation)?,
            dst: run(wire.target)?,
            message,
        })
    }

    fn encode_member(&mut self, member: &Member<Run>, mut buf: impl BufMut) -> Result<(), CodecError> {
        let state = match member.state() {
            State::Alive => WireState::Alive,
            State::Suspect => WireState::Suspect,
            State::Down => WireState::Down,
        };
        let wire = MemberUpdate {
            member: Some(member.id().in_full()),
            incarnation: member.incarnation().into(),
            state: state.into(),
        };
        Ok(wire.encode_length_delimited(&mut buf)?)
    }

    fn decode_member(&mut self, mut buf: impl Buf) -> Result<Member<Run>, CodecError> {
        let wire = MemberUpdate::decode_length_delimited(&mut buf)?;
        let state = match wire.state() {
            WireState::Unspecified => return Err(CodecError::BadValue),
            WireState::Alive => State::Alive,
            WireState::Suspect => State::Suspect,
            WireState::Down => State::Down,
        };
        let incarnation = incarnation(wire.incarnation)?;
        Ok(Member::new(Run::read(wire.member).ok_or(CodecError::BadMember)?, incarnation, state))
    }
}

fn incarnation(value: u32) -> Result<u16, CodecError> {
    u16::try_from(value).map_err(|_| CodecError::BadValue)
}
