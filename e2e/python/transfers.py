"""A charge point that fetches firmware and sends diagnostics and logs, by `urllib`, where the central system tells it: the PyPI package
`ocpp` over `websockets`. Prints what it did, one JSON document a line.

usage: transfers.py WS_URL IDENTITY PASSWORD
"""

import asyncio
import base64
import hashlib
import json
import sys
import urllib.error
import urllib.request

import websockets
from ocpp.routing import after, on
from ocpp.v16 import ChargePoint, call, call_result

CONTENT = b"what a charge point has to tell\n" * 20_000


def say(**what):
    print(json.dumps(what), flush=True)


def request(url, method="GET", data=None):
    """Status and bytes of an answer."""
    asked = urllib.request.Request(url, method=method, data=data)
    if data is not None:
        asked.add_header("Content-Type", "application/octet-stream")
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read(), dict(error.headers)


async def in_thread(*arguments):
    return await asyncio.get_running_loop().run_in_executor(None, request, *arguments)


async def send(location, name, method):
    """Sends the file, and then once more."""
    sent = [(await in_thread(location + name, method, CONTENT))[0] for _ in range(2)]
    say(location=location, sent=sent, sha256=hashlib.sha256(CONTENT).hexdigest(), size=len(CONTENT))


async def fetch(location):
    """Looks, fetches the file, and then once more as soon as it is known that all of it has gone over."""
    head, _, headers = await in_thread(location, "HEAD")
    status, content, told = await in_thread(location)
    again = status
    for _ in range(50):
        if again != 200:
            break
        await asyncio.sleep(0.1)
        again = (await in_thread(location, "HEAD"))[0]
    say(
        location=location,
        fetched=[head, status, again],
        sha256=hashlib.sha256(content).hexdigest(),
        length=headers["content-length"],
        disposition=told["content-disposition"],
        nosniff=told["x-content-type-options"],
    )


class Station(ChargePoint):
    @on("GetDiagnostics")
    def on_get_diagnostics(self, location, **kwargs):
        return call_result.GetDiagnostics(file_name="diagnostics.txt")

    @after("GetDiagnostics")
    async def after_get_diagnostics(self, location, **kwargs):
        await self.call(call.DiagnosticsStatusNotification("Uploading"))
        await send(location, "diagnostics.txt", "PUT")
        await self.call(call.DiagnosticsStatusNotification("Uploaded"))

    @on("GetLog")
    def on_get_log(self, log, log_type, request_id, **kwargs):
        return call_result.GetLog(status="Accepted", filename="security.log")

    @after("GetLog")
    async def after_get_log(self, log, log_type, request_id, **kwargs):
        await self.call(call.LogStatusNotification("Uploading", request_id))
        await send(log["remote_location"], "security.log", "POST")
        await self.call(call.LogStatusNotification("Uploaded", request_id))

    @on("UpdateFirmware")
    def on_update_firmware(self, location, retrieve_date, **kwargs):
        return call_result.UpdateFirmware()

    @after("UpdateFirmware")
    async def after_update_firmware(self, location, retrieve_date, **kwargs):
        await self.call(call.FirmwareStatusNotification("Downloading"))
        await fetch(location)
        for status in ("Downloaded", "Installing", "Installed"):
            await self.call(call.FirmwareStatusNotification(status))

    @on("SignedUpdateFirmware")
    def on_signed_update_firmware(self, request_id, firmware, **kwargs):
        return call_result.SignedUpdateFirmware(status="Accepted")

    @after("SignedUpdateFirmware")
    async def after_signed_update_firmware(self, request_id, firmware, **kwargs):
        await self.call(call.SignedFirmwareStatusNotification("Downloading", request_id))
        await fetch(firmware["location"])
        for status in ("Downloaded", "SignatureVerified", "Installed"):
            await self.call(call.SignedFirmwareStatusNotification(status, request_id))


async def main(url, identity, password):
    credentials = base64.b64encode(f"{identity}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}"}
    door = f"{url}/ocpp/{identity}"
    async with websockets.connect(door, subprotocols=["ocpp1.6"], additional_headers=headers) as socket:
        station = Station(identity, socket)
        reader = asyncio.create_task(station.start())
        say(connected=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        reader.cancel()


asyncio.run(main(*sys.argv[1:]))
