"""What a tool of an MCP server answered, as the text that an agent is shown."""

import json
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

if TYPE_CHECKING:
    from mcp.types import CallToolResult, ContentBlock


def result_text(result: "CallToolResult", misfit: str = "") -> str:
    """The blocks as text, one under the other; structured content where there is nothing else.

    `misfit` is how the result fails its tool's outputSchema: it is told below the text, which is kept.
    """
    parts = [_block_text(block) for block in result.content]
    if not parts and result.structured_content is not None:
        parts = [json.dumps(result.structured_content, ensure_ascii=False)]
    return "\n".join([*parts, *([f"[not as the tool's outputSchema says: {misfit}]"] if misfit else [])])


def _block_text(block: "ContentBlock") -> str:
    """Text as it is, also that of an embedded resource; a link with its address; what is no text is named."""
    if block.type == "text":
        return block.text
    if block.type == "resource":
        found = getattr(block.resource, "text", None)
        return found if found is not None else f"[resource {block.resource.uri}]"
    if block.type == "resource_link":
        described = f": {block.description}" if block.description else ""
        return f"[{block.title or block.name}]({block.uri}){described}"
    return f"[{block.type}]"


def invalid_result(error: ValidationError) -> str:
    """Why what a server answered is no result of the protocol, in one line."""
    findings = error.errors(include_url=False)
    if any(_asks_for_input(finding["input"]) for finding in findings):
        return "the server asks for more input, which nobody gives here"
    finding = findings[0]
    place = ".".join(str(part) for part in finding["loc"])
    return f"the server's answer is not valid MCP: {place}: {finding['msg']}" if place else finding["msg"]


def _asks_for_input(value: Any) -> bool:
    return isinstance(value, dict) and value.get("resultType") == "input_required"
