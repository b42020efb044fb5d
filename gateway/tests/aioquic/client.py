"""Macula by hand on aioquic: frames, a few protobuf fields, and a session over WebTransport.

It shares no code with the project, so that both cannot be wrong in the same way.
"""

import asyncio
import os

from aioquic.asyncio.client import connect as quic_connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived, WebTransportStreamDataReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamDataReceived

CONTROL, RPC, EVENT, TELEMETRY = 0, 1, 2, 3
HELLO, WELCOME, REFUSED, SUBSCRIBE, ACKNOWLEDGED, ACCEPTED, CLOSE = 1, 2, 3, 4, 8, 9, 0x0E
TOPIC_ALIAS, PUBLISH, DELIVER = 0x10, 0x12, 0x13
CALL, CALL_RESULT = 0x20, 0x21
CLOSE_WEBTRANSPORT_SESSION = 0x2843
PATIENCE = 10


def varint(value):
    """A number as frames and protobuf have it."""
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


def quic_varint(value):
    """A number as QUIC and HTTP/3 have it, in its longest form."""
    return (value | 3 << 62).to_bytes(8, "big")


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


def hello(realm):
    windows = number(1, 1 << 20) + number(2, 1 << 20) + number(3, 1 << 20)
    who = text(4, "aioquic") + text(6, os.urandom(16)) + number(7, 1)
    return frame(HELLO, number(1, 1) + text(2, realm) + who + text(8, windows))


class Frames:
    """The frames of one stream."""

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
            got, body = await asyncio.wait_for(self.queue.get(), PATIENCE)
            if got in (REFUSED, CLOSE) and got != kind:
                raise AssertionError(f"the gateway ends the session: {body}")
            if got == kind:
                return body


class Quic(QuicConnectionProtocol):
    """A QUIC connection without HTTP: whoever has it writes all bytes."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.terminated = asyncio.get_running_loop().create_future()

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated) and not self.terminated.done():
            self.terminated.set_result(event.error_code)

    def send(self, stream_id, data, end=False):
        self._quic.send_stream_data(stream_id, data, end)
        self.transmit()

    def open(self, data, unidirectional=False, end=False):
        stream_id = self._quic.get_next_available_stream_id(is_unidirectional=unidirectional)
        self.send(stream_id, data, end)
        return stream_id


class Client(Quic):
    """HTTP/3, and a session."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic, enable_webtransport=True)
        self.responses = {}
        self.session = None
        self.control_id = None
        self.control = Frames()
        self.inbound = {RPC: Frames(), EVENT: Frames(), TELEMETRY: Frames()}
        self.kinds = {}
        self.capsules = b""
        self.closed = asyncio.get_running_loop().create_future()

    def quic_event_received(self, event):
        super().quic_event_received(event)
        if isinstance(event, StreamDataReceived) and event.stream_id == self.control_id:
            # aioquic gives the bytes of a stream that it opened only as they are.
            self.control.feed(event.data)
            return
        for happened in self.http.handle_event(event):
            if isinstance(happened, HeadersReceived):
                self.response(happened.stream_id)[0].set_result(dict(happened.headers))
                if happened.stream_ended:
                    self.response(happened.stream_id)[1].put_nowait(None)
            elif isinstance(happened, DataReceived) and happened.stream_id == self.session:
                self.on_capsules(happened.data)
            elif isinstance(happened, DataReceived):
                pieces = self.response(happened.stream_id)[1]
                pieces.put_nowait(happened.data)
                if happened.stream_ended:
                    pieces.put_nowait(None)
            elif isinstance(happened, WebTransportStreamDataReceived):
                data = happened.data
                if happened.stream_id not in self.kinds and data:
                    self.kinds[happened.stream_id], data = data[0], data[1:]
                if self.kinds.get(happened.stream_id) in self.inbound:
                    self.inbound[self.kinds[happened.stream_id]].feed(data)

    def on_capsules(self, data):
        """The only capsule is the one that closes the session: code and text."""
        self.capsules += data
        kind = int.from_bytes(self.capsules[:2], "big") & 0x3FFF
        # The length is in one byte for the short texts, in two for the longer.
        at = 3 if self.capsules[2] < 0x40 else 4
        size = int.from_bytes(self.capsules[2:at], "big") & 0x3FFF
        if kind == CLOSE_WEBTRANSPORT_SESSION and len(self.capsules) >= at + size and not self.closed.done():
            code = int.from_bytes(self.capsules[at : at + 4], "big")
            self.closed.set_result((code, self.capsules[at + 4 : at + size].decode()))

    def response(self, stream_id):
        fresh = (asyncio.get_running_loop().create_future(), asyncio.Queue())
        return self.responses.setdefault(stream_id, fresh)

    async def request(self, method, path, headers=(), body=None, end=True):
        """Sends a request; its stream, the headers of the response, and a queue of pieces of its body."""
        stream_id = self._quic.get_next_available_stream_id()
        host, port = self._quic._network_paths[0].addr[:2]
        head = [(b":method", method), (b":scheme", b"https"), (b":authority", f"localhost:{port}".encode())]
        self.http.send_headers(stream_id, [*head, (b":path", path), *headers], end and body is None)
        if body is not None:
            self.http.send_data(stream_id, body, end_stream=True)
        self.transmit()
        answer, pieces = self.response(stream_id)
        return stream_id, await asyncio.wait_for(answer, PATIENCE), pieces

    async def exchange(self, method, path, headers=(), body=None):
        """Sends a request; status and body of the response."""
        _, head, pieces = await self.request(method, path, headers, body)
        whole = b""
        while (piece := await asyncio.wait_for(pieces.get(), PATIENCE)) is not None:
            whole += piece
        return int(head[b":status"]), whole

    async def open_session(self):
        """Asks for a session and opens its control stream, on which nothing has been said."""
        headers = [(b":protocol", b"webtransport"), (b"sec-webtransport-http3-draft02", b"1")]
        self.session, head, _ = await self.request(b"CONNECT", b"/v1/session", headers, end=False)
        assert head[b":status"] == b"200", head
        self.control_id = self.http.create_webtransport_stream(self.session)
        self.send(self.control_id, bytes([CONTROL]))

    async def join(self, realm):
        """Opens a session and is welcomed to it."""
        await self.open_session()
        self.send(self.control_id, hello(realm))
        return await self.control.expect(WELCOME)

    def open_class(self, kind):
        stream_id = self.http.create_webtransport_stream(self.session, is_unidirectional=True)
        self.send(stream_id, bytes([kind]))
        return stream_id


def connect(host, port, ca_file, protocol=Client):
    configuration = QuicConfiguration(alpn_protocols=H3_ALPN, is_client=True, max_datagram_frame_size=65536)
    configuration.load_verify_locations(ca_file)
    configuration.server_name = "localhost"
    return quic_connect(host, port, configuration=configuration, create_protocol=protocol)
