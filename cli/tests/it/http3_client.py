"""An HTTP/3 client that is not ours: a GET, and a POST with a body, over one QUIC connection of aioquic."""

import asyncio
import json
import ssl
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.waiting = {}

    async def ask(self, method, host, body=b""):
        stream = self._quic.get_next_available_stream_id()
        head = [(b":method", method.encode()), (b":scheme", b"https"), (b":authority", host.encode()), (b":path", b"/")]
        answer = {"status": None, "body": b"", "done": asyncio.get_event_loop().create_future()}
        self.waiting[stream] = answer
        self.http.send_headers(stream, head, end_stream=not body)
        if body:
            self.http.send_data(stream, body, end_stream=True)
        self.transmit()
        await asyncio.wait_for(answer["done"], 20)
        return answer["status"], json.loads(answer["body"])

    def quic_event_received(self, event):
        for one in self.http.handle_event(event):
            answer = self.waiting.get(getattr(one, "stream_id", None))
            if answer is None:
                continue
            if isinstance(one, HeadersReceived):
                answer["status"] = answer["status"] or dict(one.headers)[b":status"].decode()
            elif isinstance(one, DataReceived):
                answer["body"] += one.data
            if one.stream_ended and not answer["done"].done():
                answer["done"].set_result(None)


async def main(address, port, host, ca):
    configuration = QuicConfiguration(alpn_protocols=H3_ALPN, server_name=host, verify_mode=ssl.CERT_REQUIRED)
    configuration.load_verify_locations(ca)
    async with connect(address, int(port), configuration=configuration, create_protocol=Client) as client:
        status, echo = await client.ask("GET", host)
        print("GET", status, echo["pod"])
        status, echo = await client.ask("POST", host, b"z" * 100_000)
        print("POST", status, echo["body_length"])


asyncio.run(main(*sys.argv[1:]))
