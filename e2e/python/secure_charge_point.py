"""A charge point that speaks OCPP 1.6's security extension: the PyPI package `ocpp` over `websockets`, its keys and signing
requests by OpenSSL. Prints what it saw, one JSON document a line.

usage: secure_charge_point.py WSS_URL IDENTITY PASSWORD CA_FILE FOLDER
"""

import asyncio
import base64
import datetime
import json
import pathlib
import ssl
import subprocess
import sys

import websockets
from ocpp.routing import after, on
from ocpp.v16 import ChargePoint, call, call_result


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat()


def say(**what):
    print(json.dumps(what), flush=True)


async def told_to_go_on():
    return (await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)).strip()


class Station(ChargePoint):
    folder = pathlib.Path()
    roots = []

    @on("ChangeConfiguration")
    def on_change_configuration(self, key, value):
        say(key=key, value=value)
        return call_result.ChangeConfiguration(status="Accepted")

    @on("ExtendedTriggerMessage")
    def on_trigger(self, requested_message, **kwargs):
        return call_result.ExtendedTriggerMessage(status="Accepted")

    @after("ExtendedTriggerMessage")
    async def after_trigger(self, requested_message, **kwargs):
        assert requested_message == "SignChargePointCertificate"
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.folder / "own.key"]
        made = subprocess.run(["openssl", "req", *key, "-subj", f"/CN={self.id}"], capture_output=True, text=True, check=True)
        answer = await self.call(call.SignCertificate(made.stdout))
        say(sign_certificate=answer.status)

    @on("CertificateSigned")
    def on_certificate_signed(self, certificate_chain):
        (self.folder / "own.pem").write_text(certificate_chain)
        say(certificates=certificate_chain.count("BEGIN CERTIFICATE"))
        return call_result.CertificateSigned(status="Accepted")

    @on("InstallCertificate")
    def on_install(self, certificate_type, certificate):
        return call_result.InstallCertificate(status="Accepted")

    @on("GetInstalledCertificateIds")
    def on_get_installed(self, certificate_type):
        if not self.roots:
            return call_result.GetInstalledCertificateIds(status="NotFound")
        return call_result.GetInstalledCertificateIds(status="Accepted", certificate_hash_data=self.roots)

    @on("DeleteCertificate")
    def on_delete(self, certificate_hash_data):
        return call_result.DeleteCertificate(status="Accepted")

    @on("GetLog")
    def on_get_log(self, log, log_type, request_id, **kwargs):
        return call_result.GetLog(status="Accepted", filename="security.log")

    @after("GetLog")
    async def after_get_log(self, log, log_type, request_id, **kwargs):
        for status in ("Uploading", "Uploaded"):
            await self.call(call.LogStatusNotification(status, request_id))
        say(log=log_type)

    @on("SignedUpdateFirmware")
    def on_update(self, request_id, firmware, **kwargs):
        return call_result.SignedUpdateFirmware(status="Accepted")

    @after("SignedUpdateFirmware")
    async def after_update(self, request_id, firmware, **kwargs):
        for status in ("Downloading", "Downloaded", "InvalidSignature"):
            await self.call(call.SignedFirmwareStatusNotification(status, request_id))
        await self.call(call.SecurityEventNotification("InvalidFirmwareSignature", now(), None))
        say(firmware=firmware["signature"])


async def main(url, identity, password, ca, folder):
    credentials = base64.b64encode(f"{identity}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}"}
    context = ssl.create_default_context(cafile=ca)
    door = f"{url}/ocpp/{identity}"
    async with websockets.connect(door, subprotocols=["ocpp1.6"], additional_headers=headers, ssl=context) as socket:
        station = Station(identity, socket)
        station.folder = pathlib.Path(folder)
        reader = asyncio.create_task(station.start())
        await station.call(call.BootNotification("Model", "Vendor"))
        await station.call(call.SecurityEventNotification("TamperDetectionActivated", now(), "door open"))
        say(connected=True)
        while line := await told_to_go_on():
            station.roots = json.loads(line)
            say(roots=len(station.roots))
        reader.cancel()

    context.load_cert_chain(f"{folder}/own.pem", f"{folder}/own.key")
    async with websockets.connect(door, subprotocols=["ocpp1.6"], ssl=context) as socket:
        station = Station(identity, socket)
        reader = asyncio.create_task(station.start())
        boot = await station.call(call.BootNotification("Model", "Vendor"))
        say(boot=boot.status)
        reader.cancel()


asyncio.run(main(*sys.argv[1:]))
