"""A charge point: the PyPI package `ocpp` over `websockets`. Prints what it saw, one JSON document a line.

usage: charge_point.py WS_URL IDENTITY PASSWORD ID_TAG
"""

import asyncio
import base64
import datetime
import json
import sys

import websockets
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat()


def say(**what):
    print(json.dumps(what), flush=True)


async def told_to_go_on():
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


class Station(ChargePoint):
    @on("RemoteStartTransaction")
    def on_remote_start(self, id_tag, **kwargs):
        say(remote_start=id_tag)
        return call_result.RemoteStartTransaction(status="Accepted")


async def main(url, identity, password, id_tag):
    credentials = base64.b64encode(f"{identity}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}"}
    async with websockets.connect(f"{url}/ocpp/{identity}", subprotocols=["ocpp1.6"], additional_headers=headers) as socket:
        station = Station(identity, socket)
        reader = asyncio.create_task(station.start())
        boot = await station.call(call.BootNotification("Model", "Vendor", firmware_version="1.2.3"))
        heartbeat = await station.call(call.Heartbeat())
        await station.call(call.StatusNotification(1, "NoError", "Preparing", timestamp=now()))
        authorized = await station.call(call.Authorize(id_tag))
        start = await station.call(call.StartTransaction(1, id_tag, 1000, now()))
        await station.call(call.StatusNotification(1, "NoError", "Charging", timestamp=now()))
        sample = {"timestamp": now(), "sampledValue": [{"value": "3.5", "unit": "kWh"}]}
        await station.call(call.MeterValues(1, [sample], start.transaction_id))
        say(
            subprotocol=socket.subprotocol,
            boot=boot.status,
            heartbeat=heartbeat.current_time,
            authorized=authorized.id_tag_info["status"],
            transaction=start.transaction_id,
        )
        await told_to_go_on()
        stop = await station.call(call.StopTransaction(6000, now(), start.transaction_id, reason="Local", id_tag=id_tag))
        say(stopped=stop.id_tag_info)
        await told_to_go_on()
        reader.cancel()


asyncio.run(main(*sys.argv[1:]))
