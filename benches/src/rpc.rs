//! Calls through a core, in batches.

use crate::driver::{BATCH, Driver, ENDLESS};
use macula_core::ConnKey;
use macula_proto::frame::{FrameError, Splitter, put_message};
use macula_proto::kind::{self, StreamKind};
use macula_proto::limits::{FRAME_BYTES, REGISTRATIONS_PER_SESSION};
use macula_proto::v1::{Call, CallPolicy, CallResult};
use macula_proto::varint;
use prost::bytes::Bytes;

/// Distinct batches of calls.
const BATCHES: usize = 500;

/// A caller, and who answers it.
#[derive(Debug)]
pub struct Calls {
    core: Driver,
    caller: ConnKey,
    /// Batches of calls, encoded; numbers of calls are used again.
    batches: Vec<Vec<u8>>,
    next: usize,
    /// Calls that have come to a provider.
    asked: Vec<(ConnKey, u64)>,
}

impl Calls {
    /// So many procedures, each with so many providers.
    pub fn new(procedures: usize, providers: usize, policy: CallPolicy) -> Self {
        let mut core = Driver::new(1);
        for provider in 0..providers {
            for first in (0..procedures).step_by(REGISTRATIONS_PER_SESSION) {
                let conn = core.client((provider * procedures + first) as u128 + 10, ENDLESS);
                for number in first..procedures.min(first + REGISTRATIONS_PER_SESSION) {
                    core.register(conn, (number - first) as u32 + 1, &procedure(number), policy);
                }
                core.drain();
            }
        }
        let caller = core.client(1, ENDLESS);
        let batches = (0..BATCHES.min(procedures)).map(|number| batch(number, procedures)).collect();
        Self { core, caller, batches, next: 0, asked: Vec::new() }
    }

    /// A batch of calls with 128 bytes is made and answered with as many.
    ///
    /// # Panics
    /// When not each of them is answered.
    pub fn call_and_answer(&mut self) {
        let batch = &self.batches[self.next % self.batches.len()];
        self.next += 1;
        self.core.node.receive(self.caller, StreamKind::Rpc, batch, self.core.now);
        let asked = &mut self.asked;
        self.core.drain_into(|conn, stream, bytes| {
            if stream == StreamKind::Rpc {
                each_frame(bytes, |body| asked.push((conn, number(body))));
            }
        });
        for (conn, call) in self.asked.drain(..) {
            let result = CallResult { call, payload: Bytes::from_static(&[7; 128]), ..CallResult::default() };
            self.core.frame(conn, StreamKind::Rpc, kind::CALL_RESULT, &result);
        }
        let mut answers = 0;
        self.core.drain_into(|_, stream, bytes| {
            if stream == StreamKind::Rpc {
                each_frame(bytes, |_| answers += 1);
            }
        });
        assert_eq!(answers, BATCH, "every call is answered");
    }
}

fn each_frame(bytes: &[u8], mut each: impl FnMut(&[u8])) {
    let split = Splitter::new(FRAME_BYTES).split(bytes, |_, body| {
        each(body);
        Ok::<(), FrameError>(())
    });
    split.expect("gateways send whole frames in each batch");
}

/// A batch of calls to procedures all over the place.
fn batch(number: usize, procedures: usize) -> Vec<u8> {
    let mut batch = Vec::new();
    for place in 0..BATCH {
        let call = Call {
            call: place as u64 + 1,
            procedure: procedure((number * BATCH + place) * 997 % procedures),
            timeout_ms: 10_000,
            payload: Bytes::from_static(&[7; 128]),
            ..Call::default()
        };
        put_message(&mut batch, kind::CALL, &call);
    }
    batch
}

/// The gateway's number of a call: the first field. Decoding all of it would be a part of what is measured.
fn number(call: &[u8]) -> u64 {
    match varint::get(&call[1..]) {
        Ok(Some((number, _))) if call[0] == 0x08 => number,
        _ => panic!("a call begins with its number"),
    }
}

fn procedure(number: usize) -> String {
    format!("be.cortexiq.home.home-{number:07}.read")
}
