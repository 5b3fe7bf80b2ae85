"""Notices: told once, bounded in time, harmless in text, and never to a private network."""

from __future__ import annotations

import http.server
import json
import socket
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from algotrade.config import Settings, load_settings
from algotrade.workflows import deliver, notify
from algotrade.workflows.notify import Notice, halt_notice, harmless

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "hook-path-5f2c9e"  # noqa: S105  a canary
HALT = halt_notice("paper", "R18 daily loss 310 bps over 300")


@contextmanager
def hook(status: int = 200, wait: float = 0.0) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve a webhook on loopback; give its address and what it was sent."""
    came: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            came.append({"path": self.path, **json.loads(body)})
            time.sleep(wait)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", f"/elsewhere/{SECRET}")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None: ...  # the other side has gone, as told

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/{SECRET}", came
    finally:
        server.shutdown()
        server.server_close()


def settings_of(home: Path, **flags: str) -> Settings:
    (home / "data").mkdir(exist_ok=True)
    named = {f"notify.{name}": text for name, text in flags.items()}
    return load_settings(home=str(home), flags=named, isolated=True)


def hooked(home: Path, address: str, **flags: str) -> Settings:
    file = home / "hook"
    file.write_text(address + "\n")
    file.chmod(0o600)
    return settings_of(home, webhook_file="hook", loopback="on", **flags)


def program(home: Path, body: str) -> str:
    """Give a command that runs Python of ours."""
    script = home / "tell.py"
    script.write_text(f"import json, os, sys, time\nout = {str(home / 'told')!r}\n{body}\n")
    return f"{sys.executable} {script}"


def test_a_program_gets_a_line_and_json_and_none_of_our_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYGON_API_KEY", "key-canary")
    body = "json.dump([sys.argv[1:], json.load(sys.stdin), dict(os.environ)], open(out, 'w'))"
    settings = settings_of(tmp_path, command=program(tmp_path, body) + " 'two words'")
    assert notify.notify(settings, [HALT], print) == []
    argv, message, environ = json.loads((tmp_path / "told").read_text())
    assert argv == [
        "two words",
        "algotrade [paper]: trading halted: R18 daily loss 310 bps over 300",
    ]
    assert message["schema"] == "algotrade.notice/1"
    assert message["text"] == argv[1]
    assert message["events"] == [
        {
            "kind": "halts",
            "account": "paper",
            "text": "trading halted: R18 daily loss 310 bps over 300",
        }
    ]
    assert "POLYGON_API_KEY" not in environ
    assert set(environ) <= {"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LC_CTYPE"}


def test_a_shell_is_never_asked(tmp_path: Path) -> None:
    said: list[str] = []
    command = f"echo x ; touch {tmp_path / 'owned'} && true"
    notify.notify(settings_of(tmp_path, command=command), [HALT], said.append)
    assert not (tmp_path / "owned").exists()
    notice = Notice("halts", "a", "k", f"$(touch {tmp_path / 'owned'})")
    notify.notify(settings_of(tmp_path, command="echo"), [notice], said.append)
    assert not (tmp_path / "owned").exists()


def test_the_same_halt_is_told_once_although_its_figures_move(tmp_path: Path) -> None:
    with hook() as (address, came):
        settings = hooked(tmp_path, address)
        for figure in (310, 311, 312):
            cause = f"R18 daily loss {figure} bps over 300"
            assert notify.notify(settings, [halt_notice("paper", cause)], print) == []
        notify.notify(settings, [halt_notice("paper", "R19 drawdown 1001 bps")], print)
        notify.notify(settings, [halt_notice("sample", "R19 drawdown 1001 bps")], print)
    assert len(came) == 3
    assert came[0]["path"] == f"/{SECRET}"
    assert came[0]["allowed_mentions"] == {"parse": []}


def test_what_was_not_delivered_is_told_again(tmp_path: Path) -> None:
    said: list[str] = []
    with hook(status=500) as (address, came):
        settings = hooked(tmp_path, address)
        for _ in range(2):
            assert notify.notify(settings, [HALT], said.append) == ["webhook: answered 500"]
    assert len(came) == 2
    assert said == ["notice not told: webhook: answered 500"] * 2


def test_a_redirect_is_a_failure_and_is_not_followed(tmp_path: Path) -> None:
    with hook(status=302) as (address, came):
        failures = notify.notify(hooked(tmp_path, address), [HALT], print)
    assert failures == ["webhook: answered 302"]
    assert [one["path"] for one in came] == [f"/{SECRET}"]


def test_only_the_kinds_asked_for_are_told(tmp_path: Path) -> None:
    fill = Notice("fills", "paper", "k", "bought 1 AAPL")
    with hook() as (address, came):
        settings = hooked(tmp_path, address, on="halts, failures")
        notify.notify(settings, [fill], print)
        assert came == []
        notify.notify(settings, [fill, HALT], print)
    assert [event["kind"] for event in came[0]["events"]] == ["halts"]


@pytest.mark.parametrize("way", ["program", "webhook"])
def test_one_that_hangs_is_left_within_three_seconds(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "SECONDS", 0.6)
    said: list[str] = []
    with hook(wait=3.0) as (address, _):
        settings = (
            hooked(tmp_path, address)
            if way == "webhook"
            else settings_of(tmp_path, command=program(tmp_path, "time.sleep(30)"))
        )
        began = time.monotonic()
        notify.notify(settings, [HALT], said.append)
        assert time.monotonic() - began < 2.5
    assert len(said) == 1
    assert SECRET not in said[0]


def test_a_program_that_fails_or_is_not_there_is_one_line(tmp_path: Path) -> None:
    for command, why in {
        program(tmp_path, "sys.exit(3)"): "command: ended with 3",
        "/nonexistent/mail": "command: cannot be started: No such file or directory",
    }.items():
        assert notify.notify(settings_of(tmp_path, command=command), [HALT], print) == [why]


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("http://127.0.0.1:1/x", "the address is not https"),
        ("https://127.0.0.1:1/x", "its host is in a private network"),
        ("https://10.0.0.1/x", "its host is in a private network"),
        ("https://192.168.1.1/x", "its host is in a private network"),
        ("https://169.254.169.254/latest/meta-data", "its host is in a private network"),
        ("https://[::1]/x", "its host is in a private network"),
        ("https://[::ffff:10.0.0.1]/x", "its host is in a private network"),
        ("https://[fd00::1]/x", "its host is in a private network"),
        ("https://0.0.0.0/x", "its host is in a private network"),
        ("https://224.0.0.1/x", "its host is in a private network"),
        ("https://localhost/x", "its host is in a private network"),
        ("http://example.com/x", "the address is not https"),
        ("file:///etc/passwd", "the address is not https://HOST/PATH"),
        ("https://user:pw@example.com/x", "the address is not https://HOST/PATH"),
        ("https://", "the address is not https://HOST/PATH"),
        ("https://exa mple.com/x", "the address is not https://HOST/PATH"),
        ("https://example.com:0/x", "the address is not https://HOST/PATH"),
        ("https://example.com:99999/x", "the address is not https://HOST/PATH"),
    ],
)
def test_no_address_leads_into_a_private_network(
    tmp_path: Path, address: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = {"example.com": "93.184.216.34", "localhost": "127.0.0.1"}
    real = socket.getaddrinfo

    def resolve(host: str, *args: Any, **more: Any) -> Any:  # noqa: ANN401
        return real(numbers.get(host, host), *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    file = tmp_path / "hook"
    file.write_text(f"{address}/{SECRET}")
    file.chmod(0o600)
    failures = notify.notify(settings_of(tmp_path, webhook_file="hook"), [HALT], print)
    assert len(failures) == 1
    assert why in failures[0]
    assert SECRET not in failures[0]


def test_a_name_with_one_private_address_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def two(_host: str, port: int, **_more: Any) -> Any:  # noqa: ANN401
        kind = socket.SOCK_STREAM
        return [
            (socket.AF_INET, kind, 6, "", (number, port))
            for number in ("93.184.216.34", "10.0.0.7")
        ]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    file = tmp_path / "hook"
    file.write_text("https://rebinding.example/x")
    file.chmod(0o600)
    [why] = notify.notify(settings_of(tmp_path, webhook_file="hook"), [HALT], print)
    assert why == "webhook: its host is in a private network"


def test_a_webhook_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "hook"
    file.write_text(f"https://example.com/{SECRET}")
    file.chmod(0o644)
    [why] = notify.notify(settings_of(tmp_path, webhook_file="hook"), [HALT], print)
    assert "can be read by others" in why
    assert SECRET not in why


@pytest.mark.parametrize(
    "text",
    [
        "\x1b]0;owned\x07 \x1b[2J",
        "\x9b31mred",
        "left\u202eright\u2066",
        "@everyone <!channel> <@U123>",
        "line\nline\r\0",
    ],
)
def test_a_text_drives_no_terminal_and_mentions_nobody(text: str) -> None:
    plain = harmless(text)
    assert plain.isprintable()
    assert not set(plain) & set("@<>")
    assert len(harmless("x" * 10_000)) < 400


def test_nobody_is_told_where_nobody_asked(tmp_path: Path) -> None:
    assert notify.notify(settings_of(tmp_path), [HALT], print) == []
    assert not (tmp_path / "data" / "notified").exists()
