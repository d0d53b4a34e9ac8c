"""The doctor against sandboxes that are well, ill and gone: one line for each thing, no secret."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import ssl
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from pydantic import SecretStr

from langchain_tale.catalogue import OpenRouterModel
from langchain_tale.cli import run
from langchain_tale.cli.doctor import MARKS
from langchain_tale.doctor import keys
from langchain_tale.doctor.examination import examine
from langchain_tale.errors import InsufficientCreditsError
from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.openrouter.reach import explained, skew_s
from langchain_tale.sandbox import LOCAL_MODEL, Fault, KeyTerms, Sandbox
from langchain_tale.settings import FoundKey, find_api_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_tale.doctor.finding import Finding
    from langchain_tale.sandbox.pytest_plugin import StartSandbox

MINI, HAIKU = OpenRouterModel.GPT_4O_MINI, OpenRouterModel.CLAUDE_3_HAIKU
WRONG_KEY = "sk-or-v1-0123456789abcdef"
CHECKS = [
    ".env",
    "settings",
    "key",
    "proxy",
    "connection",
    "clock",
    "key accepted",
    "key limit",
    "key expiry",
    "model",
    "local model",
]
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, *map(str.lower, PROXIES)):
        monkeypatch.delenv(name, raising=False)


async def found(*slugs: str, **options: Any) -> dict[str, Finding]:
    """What was found, by check; the last of several models."""
    return {each.check: each for each in await examine(slugs, **options)}


def failures(findings: dict[str, Finding]) -> list[str]:
    return [check for check, each in findings.items() if each.status == "failed"]


def write_env(content: bytes) -> None:
    Path(".env").write_bytes(content)


@contextmanager
def listening() -> Iterator[str]:
    """The base URL of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/api/v1"


# ── the command ─────────────────────────────────────────────────────────────


def test_all_well_is_a_line_for_each_check_and_exit_code_0(
    faulty: StartSandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    faulty()

    assert run(["doctor"]) == 0

    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert [line[2:16].strip() for line in lines] == CHECKS
    assert {line[0] for line in lines} == {MARKS["ok"], MARKS["skipped"]}
    assert [line[2:16].strip() for line in lines if line[0] == MARKS["skipped"]] == [
        ".env",
        "proxy",
    ]
    assert err == ""


def test_a_failure_is_exit_code_1(
    faulty: StartSandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty()
    monkeypatch.setenv("OPENROUTER_API_KEY", WRONG_KEY)

    assert run(["doctor"]) == 1

    (line,) = (line for line in capsys.readouterr().out.splitlines() if line[0] == "✗")
    assert "key accepted" in line
    assert "401" in line
    assert "https://openrouter.ai/keys" in line


@pytest.mark.parametrize("argv", [["--model", "gpt"], ["--model", ""], ["--colour"], ["now"]])
def test_a_mistake_in_what_was_asked_is_exit_code_2(
    faulty: StartSandbox, capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    faulty()
    assert run(["doctor", *argv]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1


def test_json_has_the_same_and_the_facts(
    faulty: StartSandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox = faulty(key=KeyTerms(limit_usd=5, limit_reset="monthly"))

    assert run(["doctor", "--json", "--model", MINI, "--model", "no/body"]) == 1

    report = json.loads(capsys.readouterr().out)
    assert report["is_ok"] is False
    checks = report["checks"]
    assert [each["check"] for each in checks] == [*CHECKS[:-1], "model", CHECKS[-1]]
    by_name = {each["check"]: each for each in checks[:-2]}
    assert by_name["key"]["key_hint"] == sandbox.api_key[-4:]
    assert by_name["connection"]["base_url"] == sandbox.base_url
    assert by_name["key limit"]["remaining_usd"] == 5
    assert by_name["model"]["input_usd"] == 0.00000015
    assert [each["status"] for each in checks if each["check"] == "model"] == ["ok", "failed"]


def test_a_terminal_without_such_characters_gets_words(
    faulty: StartSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty(api_key="sk-or-123")  # too short to show its end: three dots stand there
    with (tmp_path / "out").open("w", encoding="ascii") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        assert run(["doctor"]) == 0

    lines = (tmp_path / "out").read_text(encoding="ascii").splitlines()
    assert lines[1].startswith("ok     settings ")
    assert lines[2].endswith("ends in ?")
    assert lines[3].startswith("-      proxy ")


def test_a_dead_network_gives_lines_and_no_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sandbox("scripted") as gone:
        monkeypatch.setenv("OPENROUTER_API_BASE", gone.base_url)
        monkeypatch.setenv("OPENROUTER_API_KEY", gone.api_key)

    assert run(["doctor"]) == 1

    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == len(CHECKS)
    assert [line[2:16].strip() for line in lines if line[0] == "✗"] == ["connection"]
    assert sum("there is no connection" in line for line in lines) == 5
    assert err == ""


def test_nothing_secret_is_said(
    faulty: StartSandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = faulty()
    proxy = f"http://mia:pa55word@127.0.0.1:{sandbox.port}"
    for key in (WRONG_KEY, f'"{WRONG_KEY}"', f"{WRONG_KEY}\n{WRONG_KEY}", f"{WRONG_KEY} ключ"):
        monkeypatch.setenv("OPENROUTER_API_KEY", key)
        monkeypatch.setenv("HTTP_PROXY", proxy)
        assert run(["doctor"]) == 1
        assert run(["doctor", "--json"]) == 1
        monkeypatch.setenv("HTTP_PROXY", proxy.replace("http:", "socks9:"))
        assert run(["doctor"]) == 1
        monkeypatch.setenv("HTTP_PROXY", f"{proxy}0000000")
        assert run(["doctor"]) == 1

    said = "".join(capsys.readouterr())
    assert "(with a password)" in said
    for secret in ("pa55word", "mia", "0123456789", "9abcdef"):
        assert secret not in said


# ── the key ─────────────────────────────────────────────────────────────────


async def test_no_key(faulty: StartSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    faulty()
    monkeypatch.delenv("OPENROUTER_API_KEY")

    findings = await found()

    assert failures(findings) == ["key"]
    assert "set OPENROUTER_API_KEY" in findings["key"].advice
    for check in ("key accepted", "key limit", "key expiry", "model"):
        assert "no key" in findings[check].text
    assert findings["connection"].status == "ok"


async def test_a_wrong_key(faulty: StartSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    faulty()
    monkeypatch.setenv("OPENROUTER_API_KEY", WRONG_KEY)

    findings = await found()

    assert failures(findings) == ["key accepted"]
    assert findings["key"].text.endswith("ends in cdef")
    assert findings["key limit"].status == "skipped"


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (f'"{WRONG_KEY}"', "quotes"),
        (f"'{WRONG_KEY}'", "quotes"),
        (f"{WRONG_KEY[:9]}\n{WRONG_KEY[9:]}", "line break"),
        (f"Bearer {WRONG_KEY}", "Bearer"),
        (f"{WRONG_KEY[:9]} {WRONG_KEY[9:]}", "blank"),
        ("sk-or-v1-0e6...1c3", "cut short"),
        ("sk-or-v1-…", "cut short"),
        ("sk-or-v1-ключключ", "no key has"),
        ("sk-or-v1-\x00\x01\x02\x03", "no key has"),
    ],
    ids=str,
)
def test_a_key_that_cannot_be_one(key: str, words: str) -> None:
    found = FoundKey(variable="X", is_in_file=False, value=SecretStr(key))
    finding = keys.key_found(found, is_accepted=False)
    assert finding.status == "failed"
    assert words in finding.text
    assert "copy it anew" in finding.advice


async def test_a_malformed_key_is_not_sent(
    faulty: StartSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty()
    monkeypatch.setenv("OPENROUTER_API_KEY", f'"{WRONG_KEY}"')

    findings = await found()

    assert failures(findings) == ["key"]
    assert findings["key accepted"].status == "skipped"


async def test_white_space_around_a_key_is_no_mistake(
    faulty: StartSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = faulty()
    monkeypatch.setenv("OPENROUTER_API_KEY", f"  {sandbox.api_key}\n")
    assert failures(await found()) == []


async def test_how_a_key_begins_matters_only_where_it_is_not_accepted(
    faulty: StartSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty(api_key="a-key-of-a-gateway")
    assert failures(await found()) == []

    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-proj-0123456789")
    findings = await found()
    assert failures(findings) == ["key", "key accepted"]
    assert "does not begin with sk-or-" in findings["key"].text


async def test_a_key_is_found_where_it_is(
    faulty: StartSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = faulty()
    monkeypatch.delenv("OPENROUTER_API_KEY")
    write_env(f"OPENROUTER_API_KEY={sandbox.api_key}\n".encode())

    findings = await found()

    assert failures(findings) == []
    assert findings[".env"].status == "ok"
    assert findings["key"].text == "OPENROUTER_API_KEY of .env ends in dbox"

    monkeypatch.setenv("TALE_AI_SERVICE__API_KEY", f" {WRONG_KEY}")
    other = find_api_key()
    assert other is not None
    assert (other.variable, other.is_in_file) == ("TALE_AI_SERVICE__API_KEY", False)
    assert other.value.get_secret_value() == f" {WRONG_KEY}"
    assert WRONG_KEY not in repr(other)


async def test_a_key_too_short_to_show_its_end(
    faulty: StartSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty()
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-9876")
    finding = (await found())["key"]
    assert finding.status == "ok"
    assert finding.text.endswith("ends in …")
    assert finding.facts["key_hint"] is None


async def test_an_expired_key(faulty: StartSandbox) -> None:
    faulty(key=KeyTerms(expires_at=datetime.now(UTC) - timedelta(days=1)))
    findings = await found()
    assert failures(findings) == ["key accepted"]
    assert "expired" in findings["key accepted"].text


async def test_a_key_that_expires_soon(faulty: StartSandbox) -> None:
    end = datetime.now(UTC) + timedelta(days=3, hours=1)
    faulty(key=KeyTerms(expires_at=end))

    finding = (await found())["key expiry"]

    assert finding.status == "ok"
    assert finding.text == f"it expires in 3 days, at {end:%Y-%m-%d %H:%M} UTC"
    assert finding.facts == {"expires_at": end.isoformat()}

    an_hour_before = (end - timedelta(hours=1)).timestamp()
    assert (await found(now=lambda: an_hour_before))["key expiry"].text.startswith(
        "it expires in 1.0 hours"
    )
    finding = (await found(now=end.timestamp))["key expiry"]
    assert finding.status == "failed"
    assert finding.text.startswith("it expired at")


async def test_a_limit_that_is_left(faulty: StartSandbox) -> None:
    faulty(key=KeyTerms(limit_usd=5, limit_reset="weekly"))
    finding = (await found())["key limit"]
    assert finding.status == "ok"
    assert finding.text == "$5.00 of $5.00 left, anew every week, $0.00 spent so far"


async def test_a_limit_that_is_spent(faulty: StartSandbox) -> None:
    faulty(key=KeyTerms(limit_usd=0.000001, limit_reset="daily"))
    llm = ChatOpenRouter(model=MINI, max_retries=0)
    llm.invoke("Tell me of a fox.")
    with pytest.raises(InsufficientCreditsError):
        llm.invoke("Tell me of another.")

    findings = await found()

    assert failures(findings) == ["key limit"]
    assert findings["key limit"].text == "$0.00 of $0.000001 left, anew every day"
    assert "the next day (UTC)" in findings["key limit"].advice


async def test_a_management_key(faulty: StartSandbox) -> None:
    faulty(key=KeyTerms(is_management_key=True))
    findings = await found()
    assert failures(findings) == ["key accepted"]
    assert "may ask no model" in findings["key accepted"].text


# ── models ──────────────────────────────────────────────────────────────────


async def test_the_model_of_the_settings_is_looked_at(
    faulty: StartSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty()
    monkeypatch.setenv("TALE_AI_SERVICE__DEFAULT_MODEL", HAIKU)
    finding = (await found())["model"]
    assert finding.text == (
        f"{HAIKU}: healthy, its endpoint answered 100 % of requests in 5 minutes, "
        "from $0.15 in, $0.60 out per million tokens"
    )


@pytest.mark.parametrize(
    ("percent", "status", "verdict"),
    [
        (99.5, "ok", "healthy"),
        (85.0, "ok", "degraded"),
        (12.0, "failed", "down"),
        (None, "ok", "unknown"),
    ],
)
async def test_the_health_of_its_endpoints(
    faulty: StartSandbox, percent: float | None, status: str, verdict: str
) -> None:
    faulty(uptime_percent={MINI: percent})
    finding = (await found(MINI))["model"]
    assert (finding.status, finding.facts["verdict"]) == (status, verdict)
    assert ("fallback" in finding.advice) is (status == "failed")


async def test_a_free_model_is_free(faulty: StartSandbox) -> None:
    faulty()
    assert (await found(LOCAL_MODEL))["model"].text.endswith(", free")


async def test_variants_that_only_steer_are_no_models_of_their_own(faulty: StartSandbox) -> None:
    faulty()
    assert (await found(f"{MINI}:nitro"))["model"].status == "ok"


async def test_an_unknown_and_a_retired_model(faulty: StartSandbox) -> None:
    faulty()
    unknown, retired = [
        each
        for each in await examine(["no/body", OpenRouterModel.CLAUDE_3_5_SONNET])
        if each.check == "model"
    ]
    assert {unknown.status, retired.status} == {"failed"}
    assert "langchain-tale models" in unknown.advice
    assert retired.advice == f"ask {OpenRouterModel.CLAUDE_3_5_SONNET.info.successor}"


async def test_a_preset_is_passed_over(faulty: StartSandbox) -> None:
    faulty()
    assert (await found("@preset/bedtime"))["model"].status == "skipped"


async def test_a_default_model_that_is_no_slug(
    faulty: StartSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty()
    monkeypatch.setenv("TALE_AI_SERVICE__DEFAULT_MODEL", "gpt-4o")
    findings = await found()
    assert failures(findings) == ["model"]
    assert "model must be a slug" in findings["model"].text


# ── the way ─────────────────────────────────────────────────────────────────


async def test_a_server_that_says_nothing_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", WRONG_KEY)
    with listening() as base_url:
        monkeypatch.setenv("OPENROUTER_API_BASE", base_url)
        findings = await found(timeout_s=0.05)

    assert failures(findings) == ["connection"]
    assert findings["connection"].text == f"{base_url}: no answer in time"
    assert "firewall" in findings["connection"].advice


async def test_another_address_of_the_same_server(
    faulty: StartSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = faulty()
    monkeypatch.setenv("OPENROUTER_API_BASE", f"http://127.0.0.1:{sandbox.port}/v1")
    findings = await found()
    assert "connection" in failures(findings)
    assert "answers 404" in findings["connection"].text
    assert "base_url" in findings["connection"].advice


@pytest.mark.parametrize(
    ("ahead_s", "status"), [(0, "ok"), (-20, "ok"), (45, "failed"), (-3600, "failed")]
)
async def test_a_clock_that_is_off(faulty: StartSandbox, ahead_s: float, status: str) -> None:
    from time import time

    faulty()
    finding = (await found(now=lambda: time() + ahead_s))["clock"]
    assert finding.status == status
    assert finding.facts["skew_s"] == pytest.approx(ahead_s, abs=5)
    if status == "failed":
        assert ("ahead of" if ahead_s > 0 else "behind") in finding.text


@pytest.mark.parametrize("date", [None, "", "yesterday"])
def test_a_server_without_a_time(date: str | None) -> None:
    assert skew_s(date, 0.0) is None


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx2.ConnectError("x"), "refused or lost"),
        (httpx2.ProxyError("407 Proxy Authentication Required"), "the proxy refuses (407"),
        (httpx2.ConnectTimeout("x"), "no answer in time"),
        (httpx2.RemoteProtocolError("x"), "the answer is none (RemoteProtocolError)"),
        (OSError(errno.ENETUNREACH, "x"), "the answer is none (OSError)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_why_there_is_no_answer(error: Exception, words: str) -> None:
    why, advice = explained(error)
    assert words in why
    assert advice


def test_a_name_that_nobody_knows() -> None:
    error = httpx2.ConnectError("x")
    error.__cause__ = ExceptionGroup("all", [OSError("y"), socket.gaierror(-2, "unknown")])
    assert explained(error)[0] == "its name is not known here"


def test_a_certificate_that_nobody_trusts() -> None:
    error, cause = httpx2.ConnectError("x"), ssl.SSLCertVerificationError("y")
    cause.verify_message = "self-signed certificate in chain."
    error.__cause__ = cause
    why, advice = explained(error)
    assert why == "its certificate is not trusted (self-signed certificate in chain)"
    assert "SSL_CERT_FILE" in advice


# ── proxies ─────────────────────────────────────────────────────────────────


async def test_a_proxy_on_the_way_is_said(
    faulty: StartSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty()
    with listening() as elsewhere:
        proxy = elsewhere.removesuffix("/api/v1")
        monkeypatch.setenv("HTTP_PROXY", proxy.replace("//", "//mia:secret@"))
        findings = await found(timeout_s=0.05)

    assert failures(findings) == ["connection"]
    assert findings["proxy"].text == (
        f"the way to 127.0.0.1 leads through {proxy} (with a password)"
    )
    assert findings["proxy"].facts == {"proxy": f"{proxy} (with a password)", "is_used": True}


async def test_a_proxy_that_is_passed_over_is_said(
    faulty: StartSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty()
    monkeypatch.setenv("HTTP_PROXY", "proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")

    findings = await found()

    assert failures(findings) == []
    assert findings["proxy"].text == "NO_PROXY keeps 127.0.0.1 from http://proxy.example:3128"


async def test_a_proxy_for_another_scheme_is_none(
    faulty: StartSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty()
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    finding = (await found())["proxy"]
    assert (finding.status, finding.text) == ("skipped", "none is set for http")


@pytest.mark.parametrize(
    ("proxy", "shown", "advice"),
    [
        ("ftp://proxy.example:21", "ftp://proxy.example:21 cannot be used", "http://host:port"),
        ("http://proxy.example:port", "it has an address that cannot be read", "http://host:port"),
        ("http://proxy.example:99999", "it has an address that cannot be read", "http://host:port"),
        ("socks5://proxy.example", "socks5://proxy.example cannot be used", "httpx2[socks]"),
    ],
)
async def test_a_proxy_that_cannot_be_used(
    faulty: StartSandbox, monkeypatch: pytest.MonkeyPatch, proxy: str, shown: str, advice: str
) -> None:
    faulty()
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("HTTP_PROXY", proxy)

    findings = await found()

    assert failures(findings) == ["proxy"]
    assert findings["proxy"].text == shown
    assert advice in findings["proxy"].advice
    assert findings["connection"].status == findings["model"].status == "skipped"


# ── this machine ────────────────────────────────────────────────────────────


async def test_settings_that_are_wrong_come_first(
    faulty: StartSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty()
    monkeypatch.setenv("TALE_AI_SERVICE__MAX_TOKENS", "many")
    findings = await found()
    assert failures(findings) == ["settings"]
    assert "TALE_AI_SERVICE__MAX_TOKENS" in findings["settings"].text
    assert findings["key"].status == findings["model"].status == "skipped"


async def test_a_file_of_settings_that_is_no_text(faulty: StartSandbox) -> None:
    faulty()
    write_env(b"X=\xff")
    findings = await found()
    assert failures(findings) == [".env"]
    assert "UTF-8" in findings[".env"].advice


def test_a_file_of_settings_that_may_not_be_read(faulty: StartSandbox) -> None:
    faulty()
    Path(".env").symlink_to("/proc/self/mem")  # a regular file that even root cannot read
    findings = asyncio.run(found())
    assert failures(findings) == [".env"]
    assert "cannot be read" in findings[".env"].text


def test_missing_weights_matter_where_there_is_no_key(
    faulty: StartSandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty()
    monkeypatch.setenv("TALE_GGUF", "no.gguf")
    assert run(["doctor"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("– local model")
    assert "TALE_GGUF names no.gguf" in last

    monkeypatch.delenv("OPENROUTER_API_KEY")
    assert run(["doctor"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("✗ local model")


def test_without_its_extra_there_is_no_local_model(
    faulty: StartSandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty()
    monkeypatch.setattr("langchain_tale.cli.doctor.find_spec", lambda _name: None)
    assert run(["doctor"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert "pip install 'langchain-tale[local]'" in last


# ── the sandbox's side ──────────────────────────────────────────────────────


def test_terms_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        KeyTerms(limit_usd=-1)
    with pytest.raises(ValueError, match="zone"):
        KeyTerms(expires_at=datetime(2026, 1, 1))  # noqa: DTZ001 (what is tested)


def test_an_expired_key_is_refused_everywhere(faulty: StartSandbox) -> None:
    sandbox = faulty(key=KeyTerms(expires_at=datetime.now(UTC)))
    with httpx2.Client(base_url=sandbox.base_url) as http:
        http.headers["Authorization"] = f"Bearer {sandbox.api_key}"
        assert http.get("/key").status_code == 401
        assert http.post("/chat/completions", json={}).status_code == 401


def test_faults_do_not_change_what_is_listed(faulty: StartSandbox) -> None:
    faulty({MINI: [Fault(status=503)]}, uptime_percent={HAIKU: 12.5})
    assert run(["doctor", "--model", MINI]) == 0
