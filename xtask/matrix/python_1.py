"""A session of the Python SDK 1.x, as its examples open one."""

import asyncio

from mcp import ClientSession, McpError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from pydantic import AnyUrl

from plan import plain, play, read_plan, show_and_wait


def transport(plan):
    """What the plan says to talk through."""
    if plan.get("url"):
        return streamable_http_client(plan["url"])
    command, *arguments = plan["command"]
    return stdio_client(StdioServerParameters(command=command, args=arguments, env=plan["env"]))


async def main():
    plan = read_plan()
    async with transport(plan) as (reader, writer, *_):
        async with ClientSession(reader, writer) as session:
            greeting = plain(await session.initialize())
            await show_and_wait(await play(session, greeting, plan, McpError, AnyUrl))


asyncio.run(main())
