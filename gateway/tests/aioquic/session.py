"""A client that we did not write: aioquic opens a session, subscribes, publishes and receives its own message.

usage: session.py HOST PORT CA_FILE REALM
Prints one JSON object: the answer of GET /v1/realm, the name of the gateway, and what was received.
"""

import asyncio
import json
import os
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived, WebTransportStreamDataReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import StreamDataReceived

CONTROL, EVENT = 0, 2
HELLO, WELCOME, REFUSED, SUBSCRIBE, ACKNOWLEDGED, ACCEPTED = 1, 2, 3, 4, 8, 9
TOPIC_ALIAS, PUBLISH, DELIVER = 0x10, 0x12, 0x13


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def number(field, value):
    return varint(field << 3) + varint(value)


def text(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def frame(kind, body):
    return varint(len(body) + 1) + bytes([kind]) + body


def fields(body):
    found, at = {}, 0
    while at < len(body):
        tag, at = read_varint(body, at)
        if tag & 7 == 0:
            value, at = read_varint(body, at)
        else:
            size, at = read_varint(body, at)
            value, at = body[at : at + size], at + size
        found[tag >> 3] = value
    return found


class Frames:
    def __init__(self):
        self.data = b""
        self.queue = asyncio.Queue()

    def feed(self, data):
        self.data += data
        while self.data:
            try:
                size, at = read_varint(self.data, 0)
            except IndexError:
                return
            if len(self.data) < at + size:
                return
            self.queue.put_nowait((self.data[at], fields(self.data[at + 1 : at + size])))
            self.data = self.data[at + size :]

    async def expect(self, kind):
        while True:
            got, body = await asyncio.wait_for(self.queue.get(), 10)
            if got == REFUSED:
                raise SystemExit(f"refused: {body}")
            if got == kind:
                return body


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic, enable_webtransport=True)
        self.responses = {}
        self.control_id = None
        self.control = Frames()
        self.messages = Frames()
        self.kinds = {}

    def quic_event_received(self, event):
        if isinstance(event, StreamDataReceived) and event.stream_id == self.control_id:
            # aioquic gives the bytes of a stream that it opened only as they are.
            self.control.feed(event.data)
            return
        for happened in self.http.handle_event(event):
            if isinstance(happened, HeadersReceived):
                self.response(happened.stream_id)[0].set_result(dict(happened.headers))
            elif isinstance(happened, DataReceived):
                self.response(happened.stream_id)[1].append(happened.data)
            elif isinstance(happened, WebTransportStreamDataReceived):
                data = happened.data
                if happened.stream_id not in self.kinds and data:
                    self.kinds[happened.stream_id], data = data[0], data[1:]
                if self.kinds.get(happened.stream_id) == EVENT:
                    self.messages.feed(data)

    def response(self, stream_id):
        return self.responses.setdefault(stream_id, (asyncio.get_running_loop().create_future(), []))

    async def request(self, headers, end):
        stream_id = self._quic.get_next_available_stream_id()
        self.http.send_headers(stream_id, headers, end_stream=end)
        self.transmit()
        answer, body = self.response(stream_id)
        return stream_id, await asyncio.wait_for(answer, 10), body


async def main(host, port, ca_file, realm):
    configuration = QuicConfiguration(alpn_protocols=H3_ALPN, is_client=True, max_datagram_frame_size=65536)
    configuration.load_verify_locations(ca_file)
    configuration.server_name = "localhost"
    async with connect(host, port, configuration=configuration, create_protocol=Client) as client:
        authority = f"localhost:{port}".encode()
        common = [(b":scheme", b"https"), (b":authority", authority)]
        _, head, body = await client.request([(b":method", b"GET"), *common, (b":path", b"/v1/realm")], True)
        assert head[b":status"] == b"200", head
        await asyncio.sleep(0)
        while not body:
            await asyncio.sleep(0.01)
        session, head, _ = await client.request(
            [
                (b":method", b"CONNECT"),
                *common,
                (b":path", b"/v1/session"),
                (b":protocol", b"webtransport"),
                (b"sec-webtransport-http3-draft02", b"1"),
            ],
            False,
        )
        assert head[b":status"] == b"200", head

        client.control_id = client.http.create_webtransport_stream(session)
        windows = number(1, 1 << 20) + number(2, 1 << 20) + number(3, 1 << 20)
        hello = number(1, 1) + text(2, realm) + text(4, "aioquic") + text(6, os.urandom(16)) + number(7, 1) + text(8, windows)
        send = client._quic.send_stream_data
        send(client.control_id, bytes([CONTROL]) + frame(HELLO, hello))
        client.transmit()
        welcome = await client.control.expect(WELCOME)
        send(client.control_id, frame(SUBSCRIBE, number(1, 7) + text(2, "test.*") + number(4, 1)))
        client.transmit()
        await client.control.expect(ACKNOWLEDGED)

        events = client.http.create_webtransport_stream(session, is_unidirectional=True)
        alias = frame(TOPIC_ALIAS, number(1, 1) + text(2, "test.from.aioquic") + text(3, "text/plain"))
        publish = frame(PUBLISH, number(1, 1) + number(2, 1) + text(3, text(1, "hello from aioquic")))
        send(events, bytes([EVENT]) + alias + publish)
        client.transmit()
        await client.control.expect(ACCEPTED)
        told = await client.messages.expect(TOPIC_ALIAS)
        deliver = await client.messages.expect(DELIVER)
        print(
            json.dumps(
                {
                    "realm": json.loads(b"".join(body)),
                    "gateway": welcome[3].decode(),
                    "topic": told[2].decode(),
                    "payload": fields(deliver[7])[1].decode(),
                }
            )
        )


asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]))
