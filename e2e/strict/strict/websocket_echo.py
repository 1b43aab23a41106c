"""A WebSocket echo that passes the Autobahn cases by itself: what fails through a proxy, fails because of the proxy."""

import asyncio
import sys

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, CloseConnection, Message, Ping, RejectConnection, Request
from wsproto.extensions import PerMessageDeflate
from wsproto.utilities import RemoteProtocolError

READ_BYTES = 1 << 16


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection."""
    connection = WSConnection(ConnectionType.SERVER)
    parts: list[bytes | str] = []
    try:
        while connection.state is not ConnectionState.CLOSED and (received := await reader.read(READ_BYTES)):
            try:
                connection.receive_data(received)
                for event in connection.events():
                    writer.writelines(connection.send(answer) for answer in reply(event, parts))
            except RemoteProtocolError as error:
                writer.write(connection.send(error.event_hint or RejectConnection()))
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


def reply(event, parts: list):
    """What an event is answered with. A message's parts are kept until it is whole."""
    match event:
        case Request(subprotocols=subprotocols):
            chosen = subprotocols[0] if subprotocols else None
            yield AcceptConnection(subprotocol=chosen, extensions=[PerMessageDeflate()])
        case Ping() | CloseConnection():
            yield event.response()
        case Message():
            parts.append(event.data)
            if event.message_finished:
                yield type(event)(data=event.data[:0].join(parts))
                parts.clear()


async def main(port: int) -> None:
    """Serves until the process is ended."""
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
