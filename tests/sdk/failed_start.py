"""What the Python SDKs show of a server that cannot start.

usage: failed_start.py CLIENT MODE COMMAND [ARGUMENT ...]

CLIENT is `mcp` or `fastmcp`, MODE is `auto` or `legacy`. Prints the error in one line; a connection is one, too.
"""

import asyncio
import sys

import fastmcp
from fastmcp.client.transports import StdioTransport
from mcp import Client
from mcp.client.stdio import StdioServerParameters

PATIENCE = 20


def words(error):
    """The innermost errors of what may be a group of groups."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(words(part) for part in error.exceptions)
    return f"{type(error).__name__}: {error}"


async def main(client, mode, command, *args):
    if client == "mcp":
        made = Client(StdioServerParameters(command=command, args=args), mode=mode, read_timeout_seconds=PATIENCE)
    else:
        made = fastmcp.Client(StdioTransport(command=command, args=list(args)), mode=mode, timeout=PATIENCE)
    try:
        async with made:
            raise SystemExit("failed_start: the client says it is connected")
    except Exception as error:  # noqa: BLE001: any of them is shown to a person
        print(words(error).replace("\n", " "))


asyncio.run(main(*sys.argv[1:]))
