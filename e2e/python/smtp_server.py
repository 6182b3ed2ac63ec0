"""A mail server (PyPI `aiosmtpd`) that writes each mail to a folder as .eml. Prints its port.

usage: smtp_server.py FOLDER
"""

import json
import os
import pathlib
import sys
import uuid

from aiosmtpd.controller import Controller

folder = pathlib.Path(sys.argv[1])


class Keep:
    async def handle_DATA(self, server, session, envelope):
        name = uuid.uuid4().hex
        (folder / f"{name}.new").write_bytes(envelope.content)
        os.rename(folder / f"{name}.new", folder / f"{name}.eml")
        return "250 kept"


class OnAFreePort(Controller):
    def _trigger_server(self):
        # The port is chosen by the system, and known only now.
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


controller = OnAFreePort(Keep(), hostname="127.0.0.1", port=0)
controller.start()
print(json.dumps({"port": controller.port}), flush=True)
sys.stdin.read()
controller.stop()
