// The session protocol by hand, as small as it can be: what a page has to do to take part.

const CONTROL = 0, EVENT = 2;
const HELLO = 1, WELCOME = 2, REFUSED = 3, SUBSCRIBE = 4, ACKNOWLEDGED = 8, ACCEPTED = 9;
const TOPIC_ALIAS = 0x10, PUBLISH = 0x12, DELIVER = 0x13;

const varint = (value) => {
  const out = [];
  for (; value >= 0x80; value = Math.floor(value / 0x80)) out.push((value & 0x7f) | 0x80);
  return [...out, value];
};
const bytes = (value) => (typeof value === 'string' ? [...new TextEncoder().encode(value)] : [...value]);
const number = (field, value) => [...varint(field << 3), ...varint(value)];
const text = (field, value) => [...varint((field << 3) | 2), ...varint(bytes(value).length), ...bytes(value)];
const frame = (kind, ...parts) => {
  const body = parts.flat();
  return [...varint(body.length + 1), kind, ...body];
};

const readVarint = (data, at) => {
  let value = 0;
  for (let scale = 1; ; scale *= 0x80) {
    if (at >= data.length) return null;
    value += (data[at] & 0x7f) * scale;
    if (data[at++] < 0x80) return [value, at];
  }
};

/** The fields of a protobuf message; of repeated ones the last. */
const fields = (body) => {
  const found = {};
  for (let at = 0; at < body.length; ) {
    let tag, value;
    [tag, at] = readVarint(body, at);
    [value, at] = readVarint(body, at);
    if ((tag & 7) === 2) [value, at] = [body.slice(at, at + value), at + value];
    found[tag >> 3] = value;
  }
  return found;
};

/** Yields kind and fields of the frames of a stream; `skip` bytes come before the first. */
async function* frames(readable, skip = 0) {
  let data = [];
  for await (const chunk of readable) {
    data = [...data, ...chunk];
    if (data.length < skip) continue;
    [data, skip] = [data.slice(skip), 0];
    for (let head; (head = readVarint(data, 0)) && data.length >= head[0] + head[1]; ) {
      const [size, at] = head;
      yield [data[at], fields(data.slice(at + 1, at + size))];
      data = data.slice(at + size);
    }
  }
}

const expect = async (stream, kind) => {
  for (;;) {
    const { value, done } = await stream.next();
    if (done) throw new Error('the stream has ended');
    if (value[0] === kind) return value[1];
  }
};
const decoded = (value) => new TextDecoder().decode(new Uint8Array(value));
const write = (writer, ...parts) => writer.write(new Uint8Array(parts.flat()));

/** Opens a session and says Hello. */
export async function open(url, hash, realm) {
  const value = Uint8Array.from(atob(hash), (letter) => letter.charCodeAt(0));
  const transport = new WebTransport(url, { serverCertificateHashes: [{ algorithm: 'sha-256', value }] });
  await transport.ready;
  const control = await transport.createBidirectionalStream();
  const writer = control.writable.getWriter();
  const windows = [1, 2, 3].flatMap((field) => number(field, 1 << 20));
  const publisher = crypto.getRandomValues(new Uint8Array(16));
  const hello = [number(1, 1), text(2, realm), text(6, publisher), number(7, 1), text(8, windows)].flat();
  await write(writer, [CONTROL], frame(HELLO, hello));
  return { transport, writer, control: frames(control.readable) };
}

/** Publishes a message and receives it back. */
export async function roundTrip(url, hash, realm, payload) {
  const { transport, writer, control } = await open(url, hash, realm);
  const welcome = await expect(control, WELCOME);
  await write(writer, frame(SUBSCRIBE, number(1, 1), text(2, 'page.*'), number(4, 1)));
  await expect(control, ACKNOWLEDGED);
  const events = (await transport.createUnidirectionalStream()).getWriter();
  const alias = frame(TOPIC_ALIAS, number(1, 1), text(2, 'page.greeting'), text(3, 'text/plain'));
  await write(events, [EVENT], alias, frame(PUBLISH, number(1, 1), number(2, 1), text(3, text(1, payload))));
  await expect(control, ACCEPTED);
  const { value: stream } = await transport.incomingUnidirectionalStreams.getReader().read();
  const incoming = frames(stream, 1);
  const topic = decoded((await expect(incoming, TOPIC_ALIAS))[2]);
  const message = fields((await expect(incoming, DELIVER))[7]);
  transport.close();
  return { gateway: decoded(welcome[3]), topic, payload: decoded(message[1]) };
}

/** Says Hello to a gateway that refuses it: what the frame says, and what closes the session. */
export async function refusal(url, hash, realm) {
  const { transport, control } = await open(url, hash, realm);
  const refused = await expect(control, REFUSED);
  const { closeCode, reason } = await transport.closed;
  return { frame: [refused[1], decoded(refused[2])], closed: [closeCode, reason] };
}
