"""A charge point that does what it is told from afar: the PyPI package `ocpp` over `websockets`. Prints what it did, one JSON
document a line, and goes on with the charge when it is told to.

usage: driven_charge_point.py WS_URL IDENTITY PASSWORD
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
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.started = asyncio.get_running_loop().create_future()
        self.stopped = asyncio.get_running_loop().create_future()

    @on("RemoteStartTransaction")
    def on_remote_start(self, id_tag, connector_id=None, **kwargs):
        self.started.set_result((connector_id, id_tag))
        return call_result.RemoteStartTransaction(status="Accepted")

    @on("RemoteStopTransaction")
    def on_remote_stop(self, transaction_id, **kwargs):
        self.stopped.set_result(transaction_id)
        return call_result.RemoteStopTransaction(status="Accepted")


async def main(url, identity, password):
    credentials = base64.b64encode(f"{identity}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}"}
    async with websockets.connect(f"{url}/ocpp/{identity}", subprotocols=["ocpp1.6"], additional_headers=headers) as socket:
        station = Station(identity, socket)
        reader = asyncio.create_task(station.start())
        await station.call(call.BootNotification("Model", "Vendor"))
        await station.call(call.StatusNotification(1, "NoError", "Preparing", timestamp=now()))
        say(waiting=True)
        connector, id_tag = await station.started
        start = await station.call(call.StartTransaction(connector, id_tag, 1000, now()))
        await station.call(call.StatusNotification(connector, "NoError", "Charging", timestamp=now()))
        say(connector=connector, id_tag=id_tag, status=start.id_tag_info["status"], transaction=start.transaction_id)
        await told_to_go_on()
        values = [
            {"value": "3500", "unit": "Wh"},
            {"value": "11", "measurand": "Power.Active.Import", "unit": "kW"},
            {"value": "64", "measurand": "SoC", "unit": "Percent"},
        ]
        await station.call(call.MeterValues(connector, [{"timestamp": now(), "sampledValue": values}], start.transaction_id))
        transaction = await station.stopped
        await station.call(call.StopTransaction(6000, now(), transaction, reason="Remote"))
        say(stopped=transaction)
        await told_to_go_on()
        reader.cancel()


asyncio.run(main(*sys.argv[1:]))
