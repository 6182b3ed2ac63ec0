"""Sends text frames as they are over one WebSocket and prints what comes back, one JSON document a line.

usage: raw_frames.py WS_URL IDENTITY PASSWORD SUBPROTOCOL [FRAME WAIT]...

FRAME is sent; where WAIT is `answer` the next frame is awaited and printed. A refused handshake prints its status.
"""

import asyncio
import base64
import json
import sys

import websockets


async def main(url, identity, password, subprotocol, *frames):
    headers = {}
    if password:
        headers["Authorization"] = "Basic " + base64.b64encode(f"{identity}:{password}".encode()).decode()
    try:
        connection = await websockets.connect(
            f"{url}/ocpp/{identity}", subprotocols=[subprotocol], additional_headers=headers
        )
    except websockets.InvalidStatus as refused:
        response = refused.response
        print(json.dumps({"status": response.status_code, "headers": dict(response.headers.raw_items()), "body": response.body.decode()}), flush=True)
        return
    async with connection as socket:
        for frame, wait in zip(frames[::2], frames[1::2]):
            await socket.send(frame)
            if wait == "answer":
                print(await asyncio.wait_for(socket.recv(), 30), flush=True)


asyncio.run(main(*sys.argv[1:]))
