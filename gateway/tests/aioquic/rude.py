"""Clients that break the rules, each on a connection of its own, while another session goes on.

usage: rude.py HOST PORT CA_FILE REALM
Prints one JSON object: for each scenario how it ended, as {"connection": QUIC code}, {"session": code, "text": …},
{"status": HTTP status} or {"goes on": true}. After each, the other session has to be served within a second.
"""

import asyncio
import json
import sys

from client import *

HALF_A_GIGABYTE = 512 << 20
HTTP_CONTROL, DATA, HEADERS, SETTINGS, GOAWAY, UNKNOWN = 0x00, 0x00, 0x01, 0x04, 0x07, 0x21
NO_SETTINGS = bytes([HTTP_CONTROL, SETTINGS, 0])
UNI = {"unidirectional": True}


# Of what is declared as much as would show, were it kept.
FILLER = bytes(64 << 20)


def huge(kind):
    """The beginning of a frame that declares half a gigabyte."""
    return bytes([kind]) + quic_varint(HALF_A_GIGABYTE)


def http_frame(kind, body):
    return bytes([kind]) + quic_varint(len(body)) + body


# What is written where on a bare QUIC connection: (bytes, options of the stream).
HTTP = {
    "HEADERS of 512 MiB": [(NO_SETTINGS, UNI), (huge(HEADERS), {})],
    "an unknown frame of 512 MiB": [(NO_SETTINGS, UNI), (huge(UNKNOWN), {})],
    "SETTINGS of 512 MiB": [(bytes([HTTP_CONTROL]) + huge(SETTINGS), UNI)],
    "an unknown control frame of 512 MiB": [(NO_SETTINGS + huge(UNKNOWN), UNI)],
    "HEADERS of garbage": [(NO_SETTINGS, UNI), (http_frame(HEADERS, b"\xff" * 64), {})],
    "DATA before HEADERS": [(NO_SETTINGS, UNI), (http_frame(DATA, b"x"), {})],
    "SETTINGS on a request stream": [(NO_SETTINGS, UNI), (http_frame(SETTINGS, b""), {})],
    "DATA on the control stream": [(NO_SETTINGS + http_frame(DATA, b"x"), UNI)],
    "HEADERS on the control stream": [(NO_SETTINGS + http_frame(HEADERS, b"x"), UNI)],
    "a control stream without SETTINGS": [(bytes([HTTP_CONTROL]) + http_frame(GOAWAY, b"\0"), UNI)],
    "a second control stream": [(NO_SETTINGS, UNI), (NO_SETTINGS, UNI)],
    "an end of the control stream": [(NO_SETTINGS, UNI | {"end": True})],
    "a stream of an impossible session": [(NO_SETTINGS, UNI), (b"\x40\x41\x03\x00", {})],
}

ALIAS = frame(TOPIC_ALIAS, number(1, 1) + text(2, "test.rude"))
PUBLISHED = frame(PUBLISH, number(1, 1) + number(2, 1) + text(3, text(1, "x")))

# What is said on the control stream right after it is open, before Welcome.
NEWCOMERS = {
    "Subscribe before Hello": frame(SUBSCRIBE, number(1, 1) + text(2, "test.#")),
    "Hello of another realm": hello("other.realm"),
    "Hello of garbage": frame(HELLO, b"\xff" * 32),
    "Hello without its publisher": frame(HELLO, number(1, 1) + text(2, "test.realm")),
    "Hello of another version": frame(HELLO, number(1, 99) + text(2, "test.realm")),
}

# What a welcomed session writes, and on a stream of which kind.
SESSIONS = {
    "an empty frame": (CONTROL, b"\0"),
    "a frame of 2 MiB": (CONTROL, varint(2 << 20)),
    "a length without end": (CONTROL, b"\xff" * 16),
    "Subscribe of garbage": (CONTROL, frame(SUBSCRIBE, b"\xff" * 32)),
    "Publish on the control stream": (CONTROL, PUBLISHED),
    "Subscribe on the event stream": (EVENT, frame(SUBSCRIBE, number(1, 1) + text(2, "test.#"))),
    "Call on the event stream": (EVENT, frame(CALL, number(1, 1) + text(2, "test.x"))),
    "Publish on the rpc stream": (RPC, PUBLISHED),
    "a Deliver of its own": (EVENT, frame(DELIVER, b"")),
    "a topic that was never told": (EVENT, PUBLISHED),
    "a stream of no kind": (9, b""),
    "an unknown frame that may be skipped": (CONTROL, frame(0x80, b"whatever")),
}


async def http(open_connection, streams):
    async with open_connection(Quic) as client:
        for data, options in streams:
            stream = client.open(data, **options)
            if quic_varint(HALF_A_GIGABYTE) in data:
                client.send(stream, FILLER)
        return {"connection": await asyncio.wait_for(client.terminated, PATIENCE)}


async def long_header(open_connection):
    async with open_connection(Client) as client:
        _, head, _ = await client.request(b"GET", b"/v1/realm", [(b"x", b"x" * 20_000)])
        return {"status": int(head[b":status"])}


async def newcomer(open_connection, said):
    async with open_connection(Client) as client:
        await client.open_session()
        client.send(client.control_id, said)
        refused = await client.control.expect(REFUSED)
        code, reason = await asyncio.wait_for(client.closed, PATIENCE)
        assert (refused[1], refused[2].decode()) == (code, reason), "frame and capsule say the same"
        return {"session": code, "text": reason}


async def session(open_connection, realm, kind, written):
    async with open_connection(Client) as client:
        await client.join(realm)
        stream = client.control_id if kind == CONTROL else client.open_class(kind)
        client.send(stream, written)
        # The answer to this comes when the gateway has read what was written, and lives on.
        asking = frame(SUBSCRIBE, number(1, 9) + text(2, "test.other"))
        if kind == CONTROL:
            client.send(client.control_id, asking)
        answer = asyncio.ensure_future(client.control.expect(ACKNOWLEDGED if kind == CONTROL else CLOSE))
        await asyncio.wait([answer, client.closed], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if client.closed.done():
            answer.cancel()
            return {"session": client.closed.result()[0], "text": client.closed.result()[1]}
        try:
            answer.result()
            return {"goes on": True} if kind == CONTROL else await last_words(client)
        except AssertionError:
            return await last_words(client)


async def last_words(client):
    code, reason = await asyncio.wait_for(client.closed, PATIENCE)
    return {"session": code, "text": reason}


async def early_class_stream(open_connection, realm):
    """A class stream that comes before Hello waits: QUIC keeps no order between streams."""
    async with open_connection(Client) as client:
        await client.open_session()
        client.send(client.open_class(EVENT), ALIAS + PUBLISHED)
        await client.ping()
        client.send(client.control_id, hello(realm))
        await client.control.expect(WELCOME)
        await client.control.expect(ACCEPTED)
        return {"goes on": True}


class Witness:
    """The session that goes on: it hears what it publishes."""

    def __init__(self, client):
        self.client = client
        self.sequence = 0

    async def start(self, realm):
        await self.client.join(realm)
        self.client.send(
            self.client.control_id, frame(SUBSCRIBE, number(1, 1) + text(2, "test.witness") + number(4, 1))
        )
        await self.client.control.expect(ACKNOWLEDGED)
        self.stream = self.client.open_class(EVENT)
        self.client.send(self.stream, frame(TOPIC_ALIAS, number(1, 1) + text(2, "test.witness")))

    async def check(self):
        self.sequence += 1
        body = text(3, text(1, str(self.sequence)))
        self.client.send(self.stream, frame(PUBLISH, number(1, 1) + number(2, self.sequence) + body))
        deliver = await asyncio.wait_for(self.client.inbound[EVENT].expect(DELIVER), 1)
        assert fields(deliver[7])[1] == str(self.sequence).encode(), deliver


async def main(host, port, ca_file, realm):
    def open_connection(protocol):
        return connect(host, port, ca_file, protocol)

    scenarios = {name: http(open_connection, streams) for name, streams in HTTP.items()}
    scenarios["a header of 20 kB"] = long_header(open_connection)
    scenarios |= {name: newcomer(open_connection, said) for name, said in NEWCOMERS.items()}
    scenarios |= {name: session(open_connection, realm, *what) for name, what in SESSIONS.items()}
    scenarios["a class stream before Hello"] = early_class_stream(open_connection, realm)
    ends = {}
    async with open_connection(Client) as client:
        witness = Witness(client)
        await witness.start(realm)
        for name, scenario in scenarios.items():
            try:
                ends[name] = await scenario
                await witness.check()
            except Exception as error:
                raise RuntimeError(f"in `{name}`, after {ends}") from error
    print(json.dumps(ends))


asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]))
