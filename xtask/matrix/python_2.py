"""A session of the Python SDK 2.x, as its examples open one.

By default it asks `server/discover` first and greets the server the legacy way
only where that is refused. A plan may say `era: legacy`: then it does not ask.
"""

import asyncio

from mcp import Client, MCPError, StdioServerParameters

from plan import plain, play, read_plan, show_and_wait


def server(plan):
    """What the plan says to talk to."""
    if plan.get("url"):
        return plan["url"]
    command, *arguments = plan["command"]
    return StdioServerParameters(command=command, args=arguments, env=plan["env"])


async def main():
    plan = read_plan()
    mode = "legacy" if plan["era"] == "legacy" else "auto"
    async with Client(server(plan), mode=mode) as session:
        greeting = {
            "protocolVersion": session.protocol_version,
            "capabilities": plain(session.server_capabilities),
            "serverInfo": plain(session.server_info) if session.server_info else None,
            "instructions": session.instructions,
        }
        await show_and_wait(await play(session, greeting, plan, MCPError, str))


asyncio.run(main())
