"""A client that we did not write: plain requests, then a session that subscribes, publishes and calls.

usage: session.py HOST PORT CA_FILE REALM
Needs a procedure `test.shout`. Prints one JSON object of what was seen.
"""

import asyncio
import json
import sys

from client import *


async def main(host, port, ca_file, realm):
    async with connect(host, port, ca_file) as client:
        status, body = await client.exchange(b"GET", b"/v1/realm")
        assert status == 200, body
        seen = {"realm": json.loads(body)}

        welcome = await client.join(realm)
        seen["gateway"] = welcome[3].decode()
        client.send(client.control_id, frame(SUBSCRIBE, number(1, 7) + text(2, "test.*") + number(4, 1)))
        await client.control.expect(ACKNOWLEDGED)

        events = client.open_class(EVENT)
        alias = frame(TOPIC_ALIAS, number(1, 1) + text(2, "test.from.aioquic") + text(3, "text/plain"))
        publish = frame(PUBLISH, number(1, 1) + number(2, 1) + text(3, text(1, "hello from aioquic")))
        client.send(events, alias + publish)
        await client.control.expect(ACCEPTED)
        told = await client.inbound[EVENT].expect(TOPIC_ALIAS)
        deliver = await client.inbound[EVENT].expect(DELIVER)
        seen["published"] = [told[2].decode(), fields(deliver[7])[1].decode()]

        # A plain request beside the session, on the same connection.
        status, body = await client.exchange(b"POST", b"/v1/topics/test.by.http", [(b"macula-key", b"k")], b"by POST")
        assert status == 202, body
        seen["matches"] = json.loads(body)["matches"]
        told = await client.inbound[EVENT].expect(TOPIC_ALIAS)
        deliver = await client.inbound[EVENT].expect(DELIVER)
        message = fields(deliver[7])
        seen["posted"] = [told[2].decode(), message[2].decode(), message[1].decode()]

        calls = client.open_class(RPC)
        call = number(1, 1) + text(2, "test.shout") + number(3, 5000) + text(4, "louder")
        client.send(calls, frame(CALL, call))
        seen["called"] = (await client.inbound[RPC].expect(CALL_RESULT))[2].decode()

        status, body = await client.exchange(b"POST", b"/v1/rpc/test.shout", body=b"by POST")
        seen["called by POST"] = [status, body.decode()]
        status, body = await client.exchange(b"POST", b"/v1/rpc/test.nobody", body=b"")
        seen["called nobody"] = [status, json.loads(body)["code"]]
        print(json.dumps(seen))


asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]))
