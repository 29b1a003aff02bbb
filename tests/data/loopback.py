"""A small web server on this machine's loopback, with the faults that downloads meet."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from analogjax.data import RemoteFile


class Loopback(ThreadingHTTPServer):
    """Serves `files` (name -> bytes) and records `requests` as `(name, Range header)`.

    Attributes:
        ranges: whether `Range` is honoured.
        cuts: how many of the next answers end after half of their body.
        statuses: the status codes of the next answers, before it serves again.
        drip: whether bodies come in slow, small pieces until `stop` is set.
        shift: how far a 206 answer starts from where it was asked to.
    """

    daemon_threads = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.requests, self.statuses = {}, [], []
        self.ranges, self.cuts, self.drip, self.shift = True, 0, False, 0
        self.stop = threading.Event()

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}"

    def file(self, name, content, **fields):
        """Serves `content` as `name`, and describes it."""
        self.files[name] = content
        return RemoteFile(name, (self.url(name),), hashlib.md5(content).hexdigest(), **fields)

    def handle_error(self, request, client_address):
        """A client that was killed is no news."""


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        server, name, wanted = self.server, self.path[1:], self.headers.get("Range")
        server.requests.append((name, wanted))
        if server.statuses or name not in server.files:
            return self.send_error(server.statuses.pop(0) if server.statuses else 404)
        content = server.files[name]
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
        if start and start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            start -= server.shift
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self._send(content[start:])

    def _send(self, body):
        server = self.server
        if server.cuts:
            server.cuts -= 1
            body = body[: len(body) // 2]
        if not server.drip:
            self.wfile.write(body)
            return
        for i in range(0, len(body), 10_000):
            self.wfile.write(body[i : i + 10_000])
            self.wfile.flush()
            if server.stop.wait(0.02):
                return
