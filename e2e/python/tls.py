"""TLS as programs see it that nobody here wrote: Python's ssl (OpenSSL), websockets and grpcio. Reads one JSON document a
probe as arguments, and prints one JSON document for each.

{"to": ADDRESS, "ca": FILE, "own": [CERTIFICATE, KEY], "version": "TLSv1_2", "ciphers": "…", "protocols": ["h2"]}
    shakes hands, and sends a GET where HTTP/1.1 was agreed on
{…, "station": IDENTITY, "password": "…", "headers": {…}}
    is a charge point that boots
{"to": ADDRESS, "ca": FILE, "own": […], "call": METHOD, "message": HEX, "metadata": {…}}
    calls a gRPC method
"""

import base64
import hashlib
import json
import socket
import ssl
import sys

import grpc
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect

TIMEOUT = 20


def context(probe):
    context = ssl.create_default_context(cafile=probe["ca"])
    if "own" in probe:
        context.load_cert_chain(*probe["own"])
    if "version" in probe:
        # What OpenSSL itself thinks too old is not to be the reason.
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion[probe["version"]]
    if "ciphers" in probe:
        context.set_ciphers(probe["ciphers"])
    if "protocols" in probe:
        context.set_alpn_protocols(probe["protocols"])
    return context


def shake_hands(probe):
    host, port = probe["to"].rsplit(":", 1)
    with socket.create_connection((host, int(port)), TIMEOUT) as plain:
        with context(probe).wrap_socket(plain, server_hostname="localhost") as secure:
            found = {
                "version": secure.version(),
                "cipher": secure.cipher()[0],
                "protocol": secure.selected_alpn_protocol(),
                "certificate": hashlib.sha256(secure.getpeercert(binary_form=True)).hexdigest(),
            }
            if found["protocol"] != "h2":
                secure.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                found["answer"] = secure.recv(1024).split(b"\r\n")[0].decode()
            return found


def boot(probe):
    identity = probe["station"]
    headers = dict(probe.get("headers", {}))
    if "password" in probe:
        credentials = f"{identity}:{probe['password']}".encode()
        headers["Authorization"] = "Basic " + base64.b64encode(credentials).decode()
    port = probe["to"].rsplit(":", 1)[1]
    url = f"{probe.get('scheme', 'wss')}://localhost:{port}/ocpp/{identity}"
    secure = context(probe) if "ca" in probe else None
    try:
        with connect(
            url, ssl=secure, subprotocols=["ocpp1.6"], additional_headers=headers, open_timeout=TIMEOUT, proxy=None
        ) as station:
            call = [2, "1", "BootNotification", {"chargePointVendor": "Volt", "chargePointModel": "One"}]
            station.send(json.dumps(call))
            return {"boot": json.loads(station.recv(TIMEOUT))[2]["status"]}
    except InvalidStatus as refused:
        return {"status": refused.response.status_code}


def call(probe):
    def content(name):
        with open(name, "rb") as file:
            return file.read()

    own = [content(name) for name in reversed(probe["own"])] if "own" in probe else [None, None]
    credentials = grpc.ssl_channel_credentials(content(probe["ca"]), *own)
    with grpc.secure_channel(probe["to"], credentials) as channel:
        method = channel.stream_stream("/" + probe["call"])
        metadata = list(probe.get("metadata", {}).items())
        try:
            messages = iter([bytes.fromhex(probe.get("message", ""))])
            next(method(messages, metadata=metadata, timeout=TIMEOUT))
        except grpc.RpcError as error:
            return {"code": error.code().name}
        return {"code": "OK"}


for text in sys.argv[1:]:
    probe = json.loads(text)
    what = call if "call" in probe else boot if "station" in probe else shake_hands
    try:
        found = what(probe)
    except (OSError, WebSocketException) as error:
        found = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(found), flush=True)
