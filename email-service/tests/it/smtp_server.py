"""An SMTP server that behaves as the recipient's local part says.

    nobody   refused for good, as there is no such mailbox
    full     refused for good, as the mailbox is full
    unwanted refused for good by a rule of the server
    busy     refused the first time, to be tried again
    dropped  taken, but the first time the connection breaks instead of the answer
    vanished the same, every time
    slow…    taken, three seconds after it was asked
    others   taken

Listens at the port that it is told, or any. Prints its port, then one JSON object for every mail that it takes. Wants the password `open sesame` of user `volt`.
"""

import asyncio
import json
import logging
import sys
from email import message_from_bytes

from aiosmtpd.smtp import SMTP, AuthResult


class Handler:
    def __init__(self):
        self.seen = set()

    def is_first(self, recipient):
        first = recipient not in self.seen
        self.seen.add(recipient)
        return first

    async def handle_RCPT(self, server, session, envelope, address, options):
        match address.split("@")[0].lower():
            case "full":
                return "552 5.2.2 the mailbox is full"
            case "unwanted":
                return "550 5.7.1 blocked by policy"
            case "nobody":
                return f"550 5.1.1 <{address}> is unknown here"
            case "busy" if self.is_first(address):
                return "451 4.7.1 come again later"
            case local if local.startswith("slow"):
                await asyncio.sleep(3)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        recipient = envelope.rcpt_tos[0]
        mail = message_from_bytes(envelope.content)
        parts = {part.get_content_type(): part.get_payload(decode=True).decode() for part in mail.walk() if not part.is_multipart()}
        taken = {"session": session.peer[1], "from": mail["From"], "to": envelope.rcpt_tos, "message_id": mail["Message-ID"], "subject": mail["Subject"], "parts": parts}
        print(json.dumps(taken), flush=True)
        if recipient.startswith("dropped@") and self.is_first(recipient):
            server.transport.abort()
        if recipient.startswith("vanished@"):
            server.transport.abort()
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"volt", b"open sesame"), handled=False)


async def main():
    # It warns of passwords without TLS, which never leave this machine here.
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    handler = Handler()
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(
        lambda: SMTP(handler, authenticator=authenticate, auth_required=True, auth_require_tls=False, loop=loop),
        "127.0.0.1",
        int(sys.argv[1]) if len(sys.argv) > 1 else 0,
    )
    print(listener.sockets[0].getsockname()[1], flush=True)
    await listener.serve_forever()


asyncio.run(main())
