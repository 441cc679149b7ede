"""A headless Chromium, driven through its DevTools pipe: no driver, no port."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)


def find() -> str | None:
    """The path of a Chromium or Chrome, if one is installed."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next(filter(None, map(shutil.which, names)), None)


class Browser:
    """One page. `events` holds what it reported: dicts as Chromium says it."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.rest, self.number, self.events = b"", 0, []
        self.session = None
        target = self.ask("Target.createTarget", url="about:blank")
        attached = self.ask(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        self.session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters) -> dict:
        """Sends a DevTools command; returns its result."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.writer.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, path, width=1280, height=900, dark=False) -> None:
        """Shows a file on a screen of that many CSS pixels."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        theme = "dark" if dark else "light"
        self.ask(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": theme}],
        )
        self.events.clear()
        self.ask("Page.navigate", url=path.resolve().as_uri())
        while not self.named("Page.loadEventFired"):
            self._read()

    def named(self, method: str) -> list[dict]:
        """What was reported under that name since the page was opened."""
        return [e["params"] for e in self.events if e.get("method") == method]

    def evaluate(self, expression: str):
        """The value of a JavaScript expression, past the page's policy."""
        answer = self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True
        )
        return answer["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """Presses a key; code: its Windows virtual key code."""
        for kind in ("rawKeyDown", "keyUp"):
            self.ask(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
            )

    def click(self, selector: str) -> None:
        """Clicks the middle of what a CSS selector finds."""
        x, y = self.evaluate(
            f"(e => {{e.scrollIntoView({{block: 'center'}}); "
            "const r = e.getBoundingClientRect(); "
            "return [r.x + r.width / 2, r.y + r.height / 2]})"
            f"(document.querySelector({json.dumps(selector)}))"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.ask(
                "Input.dispatchMouseEvent",
                type=kind,
                x=x,
                y=y,
                button="left",
                clickCount=1,
            )

    def screenshot(self, whole: bool = False) -> bytes:
        """A PNG of the screen, or of the whole page."""
        answer = self.ask("Page.captureScreenshot", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])

    def _read(self) -> dict:
        while b"\0" not in self.rest:
            part = self.reader.read(1 << 16)
            assert part, "the browser went away"
            self.rest += part
        message, _, self.rest = self.rest.partition(b"\0")
        message = json.loads(message)
        if "method" in message:
            self.events.append(message)
        return message


# The browser reads commands from descriptor 3 and writes to 4; which ones are
# free here, nobody knows.
LAUNCH = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(n), fcntl.F_DUPFD, 10) for n in sys.argv[1:3]]
for number, pipe in enumerate(pipes, start=3):
    os.dup2(pipe, number)
os.execv(sys.argv[3], sys.argv[3:])
"""


@contextlib.contextmanager
def started(path: str):
    """A `Browser` for as long as the context lasts."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    with (
        os.fdopen(ours_in, "rb", buffering=0) as reader,
        os.fdopen(ours_out, "wb", buffering=0) as writer,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
    ):
        pipes = (theirs_in, theirs_out)
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, *map(str, pipes)]
            + [path, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=pipes,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for pipe in pipes:
            os.close(pipe)
        try:
            yield Browser(reader, writer)
        finally:
            process.terminate()
            process.wait(timeout=30)
