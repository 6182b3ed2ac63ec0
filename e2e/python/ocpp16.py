"""A charge point that speaks every message of OCPP 1.6: the PyPI package `ocpp` over `websockets`.

usage: ocpp16.py WS_URL IDENTITY PASSWORD

Reads one JSON document a line and does as it is told:
  {"call": ACTION, "payload": {…}}     sends a CALL, prints {"answer": {…}} or {"error": CODE}
  {"answers": {ACTION: {…}, …}}        answers CALLs so from now on, prints {"ready": true}
  {"actions": true}                    prints the names of all actions that the package knows
CALLs of the central system are printed as {"called": ACTION, "payload": {…}}. Names and payloads are OCPP's own, in camel case.
"""

import asyncio
import base64
import json
import sys

import websockets
from ocpp.charge_point import camel_to_snake_case, remove_nones, snake_to_camel_case
from ocpp.exceptions import OCPPError
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result, enums

ACTIONS = [action.value for action in enums.Action]
# What a charge point answers, by action.
ANSWERS = {}


def say(**what):
    # The package reads fractions as decimals.
    print(json.dumps(what, default=float), flush=True)


def handler(action):
    def answer(self, **payload):
        say(called=action, payload=snake_to_camel_case(remove_nones(payload)))
        return getattr(call_result, action)(**camel_to_snake_case(ANSWERS[action]))

    # The package finds handlers by their names.
    answer.__name__ = f"on_{action}"
    return on(action)(answer)


# Every action that has a CALL may come; one without an answer in the table is an error, which the test sees.
Station = type("Station", (ChargePoint,), {f"on_{action}": handler(action) for action in ACTIONS})


async def send(station, action, payload):
    request = getattr(call, action)(**camel_to_snake_case(payload))
    try:
        answer = await station.call(request, suppress=False)
    except OCPPError as error:
        return say(error=error.code)
    say(answer=snake_to_camel_case(remove_nones(answer.__dict__)))


async def main(url, identity, password):
    credentials = base64.b64encode(f"{identity}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}"}
    loop = asyncio.get_running_loop()
    async with websockets.connect(f"{url}/ocpp/{identity}", subprotocols=["ocpp1.6"], additional_headers=headers) as socket:
        station = Station(identity, socket)
        reader = asyncio.create_task(station.start())
        say(connected=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            told = json.loads(line)
            if "call" in told:
                await send(station, told["call"], told["payload"])
            elif "answers" in told:
                ANSWERS.update(told["answers"])
                say(ready=True)
            else:
                say(actions=ACTIONS)
        reader.cancel()


asyncio.run(main(*sys.argv[1:]))
