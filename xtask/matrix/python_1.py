"""A session of the Python SDK 1.x, as its examples open one."""

import asyncio

from mcp import ClientSession, McpError, StdioServerParameters
from mcp.client.stdio import stdio_client
from pydantic import AnyUrl

from plan import plain, play, read_plan, show_and_wait


async def main():
    plan = read_plan()
    command, *arguments = plan["command"]
    parameters = StdioServerParameters(command=command, args=arguments, env=plan["env"])
    async with stdio_client(parameters) as (reader, writer):
        async with ClientSession(reader, writer) as session:
            greeting = plain(await session.initialize())
            await show_and_wait(await play(session, greeting, plan, McpError, AnyUrl))


asyncio.run(main())
