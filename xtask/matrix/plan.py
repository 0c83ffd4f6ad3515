"""What the Python drivers share: the plan, the steps, the transcript.

A driver is told by a plan (a JSON file, its only argument) which command to
start, or which URL to go to, and what to ask. It opens a session as its SDK does by default, writes one
line of JSON, the transcript, to standard output, keeps the session open until
its standard input ends, then closes it and exits.
"""

import asyncio
import json
import sys

# The lists of a server, and the capability that announces each.
LISTS = [
    ("tools/list", "tools", "list_tools"),
    ("prompts/list", "prompts", "list_prompts"),
    ("resources/list", "resources", "list_resources"),
    ("resources/templates/list", "resources", "list_resource_templates"),
]


def read_plan():
    """The plan that this driver was started with."""
    with open(sys.argv[1], encoding="utf-8") as file:
        return json.load(file)


def plain(value):
    """A value of the SDK as what it was on the wire."""
    return value.model_dump(mode="json", by_alias=True, exclude_none=True)


async def outcome(error_type, awaitable):
    """The result of one request, or its JSON-RPC error."""
    try:
        return {"result": plain(await awaitable)}
    except error_type as error:
        return {"error": plain(error.error)}


async def play(session, initialize, plan, error_type, as_uri):
    """Asks all that the plan names, and returns the transcript."""
    transcript = {"initialize": initialize}
    for method, capability, function in LISTS:
        if capability in initialize["capabilities"]:
            transcript[method] = await outcome(error_type, getattr(session, function)())
    transcript["steps"] = []
    for step in plan["steps"]:
        seen = []
        done = await outcome(error_type, ask(session, step, seen, as_uri))
        if step.get("progress"):
            done["progress"] = seen
        transcript["steps"].append(done)
    return transcript


def ask(session, step, seen, as_uri):
    """One request of the plan."""
    if step["method"] == "tools/call":

        async def note(progress, total, message):
            seen.append({"progress": progress, "total": total, "message": message})

        callback = note if step.get("progress") else None
        return session.call_tool(step["name"], step.get("arguments"), progress_callback=callback)
    if step["method"] == "prompts/get":
        return session.get_prompt(step["name"], step.get("arguments"))
    if step["method"] == "resources/read":
        return session.read_resource(as_uri(step["uri"]))
    raise ValueError(f"the plan asks for {step['method']}, which this driver does not know")


async def show_and_wait(transcript):
    """Prints the transcript and keeps the session open until standard input ends."""
    print(json.dumps(transcript), flush=True)
    await asyncio.to_thread(sys.stdin.read)
