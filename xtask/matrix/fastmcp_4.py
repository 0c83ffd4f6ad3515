"""A session of fastmcp, as its examples open one.

It is the Python SDK 2.x underneath, and asks `server/discover` first; on top it
wants a log level and progress with every call.
"""

import asyncio

from fastmcp import Client
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport
from mcp import MCPError

from plan import plain, play, read_plan, show_and_wait


class Whole:
    """A session under the names of the SDK, with results as they were on the wire."""

    def __init__(self, session):
        self.list_tools = session.list_tools_mcp
        self.list_prompts = session.list_prompts_mcp
        self.list_resources = session.list_resources_mcp
        self.list_resource_templates = session.list_resource_templates_mcp
        self.get_prompt = session.get_prompt_mcp
        self.read_resource = session.read_resource_mcp
        self.session = session

    def call_tool(self, name, arguments, progress_callback):
        return self.session.call_tool_mcp(name, arguments or {}, progress_handler=progress_callback)


def transport(plan):
    """What the plan says to talk through."""
    if plan.get("url"):
        return StreamableHttpTransport(plan["url"])
    command, *arguments = plan["command"]
    return StdioTransport(command=command, args=arguments, env=plan["env"], keep_alive=False)


async def main():
    plan = read_plan()
    async with Client(transport(plan)) as session:
        greeting = {
            "protocolVersion": session.protocol_version,
            "capabilities": plain(session.server_capabilities),
            "serverInfo": plain(session.server_info) if session.server_info else None,
            "instructions": session.instructions,
        }
        await show_and_wait(await play(Whole(session), greeting, plan, MCPError, str))


asyncio.run(main())
