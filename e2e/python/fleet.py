"""Charge points that charge one car after the other until they are told to stop, each over one WebSocket.

usage: fleet.py FILE, with JSON in it: {"url": ..., "idTag": ..., "stations": [{"identity": ..., "password": ...}]}

Prints {"ready": N} when all are charging and have done so undisturbed for a while, and at the end what they saw.
"""

import asyncio
import base64
import datetime
import json
import sys
import time

import websockets

PATIENCE = 60
PAUSE = 1.0
# What it takes to get so many going at once is over by then, and each has made some CALLs more.
SETTLING = 3.0
UNDISTURBED = 5.0


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat()


def say(**what):
    print(json.dumps(what), flush=True)


class Seen:
    """What the whole fleet saw."""

    def __init__(self):
        self.closed = []
        self.charges = []
        self.calls = 0
        self.values = 0
        self.commands = 0
        self.longest_wait = 0.0
        self.longest_wait_undisturbed = 0.0


class Station:
    def __init__(self, socket, id_tag, seen):
        self.socket = socket
        self.id_tag = id_tag
        self.seen = seen
        self.register = 1000
        self.number = 0
        self.answers = asyncio.Queue()

    async def read(self):
        async for text in self.socket:
            frame = json.loads(text)
            if frame[0] == 2:
                self.seen.commands += 1
                await self.socket.send(json.dumps([3, frame[1], {"status": "Accepted"}]))
            else:
                self.answers.put_nowait(frame)

    async def call(self, action, payload):
        self.number += 1
        name = f"{action}-{self.number}"
        asked = time.monotonic()
        await self.socket.send(json.dumps([2, name, action, payload]))
        answer = await asyncio.wait_for(self.answers.get(), PATIENCE)
        self.seen.longest_wait = max(self.seen.longest_wait, time.monotonic() - asked)
        self.seen.calls += 1
        # Each CALL has one answer: a second one would stand in the place of the next.
        assert answer[:2] == [3, name], f"{answer} where the answer to {name} was due"
        return answer[2]

    async def charge(self, started):
        start = self.register
        payload = {"connectorId": 1, "idTag": self.id_tag, "meterStart": start, "timestamp": now()}
        transaction = (await self.call("StartTransaction", payload))["transactionId"]
        started()
        for _ in range(5):
            await asyncio.sleep(PAUSE)
            self.register += 100
            values = [{"timestamp": now(), "sampledValue": [{"value": str(self.register)}]}]
            payload = {"connectorId": 1, "transactionId": transaction, "meterValue": values}
            await self.call("MeterValues", payload)
            self.seen.values += 1
        payload = {"transactionId": transaction, "meterStop": self.register, "timestamp": now()}
        await self.call("StopTransaction", payload)
        self.seen.charges.append({"id": transaction, "energyWh": self.register - start})


async def live(url, station, id_tag, seen, started, stopping):
    identity, password = station["identity"], station["password"]
    credentials = base64.b64encode(f"{identity}:{password}".encode()).decode()
    socket = await websockets.connect(
        f"{url}/ocpp/{identity}",
        subprotocols=["ocpp1.6"],
        additional_headers={"Authorization": f"Basic {credentials}"},
        open_timeout=PATIENCE,
    )
    station = Station(socket, id_tag, seen)
    reader = asyncio.create_task(station.read())
    try:
        await station.call("BootNotification", {"chargePointVendor": "Volt", "chargePointModel": "One"})
        while not stopping.is_set():
            await station.charge(started)
    except websockets.ConnectionClosed as closed:
        seen.closed.append(f"{identity}: {closed}")
    finally:
        reader.cancel()
        await socket.close()


async def main(path):
    with open(path) as file:
        plan = json.load(file)
    seen, stopping, charging = Seen(), asyncio.Event(), asyncio.Event()
    waiting = len(plan["stations"])

    def started():
        nonlocal waiting
        waiting -= 1
        if waiting == 0:
            charging.set()

    lives = [live(plan["url"], station, plan["idTag"], seen, started, stopping) for station in plan["stations"]]
    lives = [asyncio.create_task(life) for life in lives]
    await asyncio.wait_for(charging.wait(), PATIENCE)
    await asyncio.sleep(SETTLING)
    seen.longest_wait = 0.0
    await asyncio.sleep(UNDISTURBED)
    seen.longest_wait_undisturbed, seen.longest_wait = seen.longest_wait, 0.0
    say(ready=len(lives))
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    stopping.set()
    await asyncio.gather(*lives)
    say(**vars(seen))


asyncio.run(main(*sys.argv[1:]))
