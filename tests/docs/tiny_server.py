"""A program that serves OpenAI's API on the port that it is given, and says hello to everyone."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODELS: dict[str, Any] = {"object": "list", "data": [{"id": "my-model", "object": "model"}]}
EVENTS: list[dict[str, Any]] = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "hello"}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._send("application/json", json.dumps(MODELS))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        lines = [f"data: {json.dumps(event)}\n\n" for event in EVENTS]
        self._send("text/event-stream", "".join([*lines, "data: [DONE]\n\n"]))

    def _send(self, kind: str, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *arguments: Any) -> None:
        """Says nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
