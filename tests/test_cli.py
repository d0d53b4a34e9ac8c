from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale import __main__ as program
from langchain_tale.catalogue import OpenRouterModel
from langchain_tale.cli import run
from langchain_tale.cli import tell as telling
from langchain_tale.sandbox import Fault, Sandbox
from langchain_tale.sandbox.engines import ScriptedEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

MINI, HAIKU = OpenRouterModel.GPT_4O_MINI, OpenRouterModel.CLAUDE_3_HAIKU
TITLE, STORY = "The Fox", "Once upon a time.\n\nThe end."
FOX = ["a fox who learns to share"]


class Storyteller(ScriptedEngine):
    """Tells one story, and keeps the bodies that asked for it."""

    def __init__(self) -> None:
        super().__init__(self._keep)
        self.bodies: list[dict[str, Any]] = []

    def _keep(self, body: Mapping[str, Any]) -> str:
        self.bodies.append(dict(body))
        return f"# {TITLE}\n\n{STORY}"

    @property
    def prompt(self) -> str:
        """The human message of the last request."""
        return str(self.bodies[-1]["messages"][-1]["content"])


def use(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, key: str | None = None) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", key or sandbox.api_key)
    monkeypatch.setenv("OPENROUTER_API_BASE", sandbox.base_url)
    monkeypatch.setenv("TALE_AI_SERVICE__RETRY_DELAY", "0")


@pytest.fixture
def teller(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storyteller]:
    """What answers the command line's requests."""
    engine = Storyteller()
    with Sandbox(engine, lateness_s=0.0) as sandbox:
        use(sandbox, monkeypatch)
        yield engine


@pytest.fixture
def broken(faulty: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A sandbox where the default model is down for good, and the next is well."""
    sandbox = faulty({MINI: [Fault(status=503)] * 99})
    use(sandbox, monkeypatch)
    return sandbox


def told(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    out, err = capsys.readouterr()
    return out, err


# ── telling ─────────────────────────────────────────────────────────────────


def test_the_story_and_nothing_else_is_on_stdout(
    teller: Storyteller, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(FOX) == 0

    out, err = told(capsys)
    assert out == f"{TITLE}\n\n{STORY}\n"
    assert err.startswith(f"{MINI} · ")
    assert err.count("\n") == 1
    assert "tokens" in err
    assert "$0.0000" in err


def test_the_command_may_be_named(teller: Storyteller, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tell", *FOX]) == 0
    assert told(capsys)[0] == f"{TITLE}\n\n{STORY}\n"


def test_every_option_reaches_the_prompt(teller: Storyteller) -> None:
    options = {
        "name": "Mia",
        "age": "5",
        "words": "150",
        "hero": "a shy hedgehog",
        "moral": "it is good to ask",
        "language": "French",
    }
    argv = [part for name, value in options.items() for part in (f"--{name}", value)]

    assert run([*argv, *FOX]) == 0

    assert f'about 150 words about "{FOX[0]}"' in teller.prompt
    assert "The child is 5 years old" in teller.prompt
    for name in ("name", "hero", "moral", "language"):
        assert f'"{options[name]}"' in teller.prompt
    assert teller.bodies[-1]["provider"] == {"data_collection": "deny"}


def test_json_is_the_whole_result(teller: Storyteller, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*FOX, "--json"]) == 0

    out, err = told(capsys)
    result = json.loads(out)
    assert (result["title"], result["content"], result["model"]) == (TITLE, STORY, MINI)
    assert result["generation_id"].startswith("gen-")
    assert result["attempts"][0]["model"] == MINI
    assert result["cost_usd"] > 0
    assert err.startswith(f"{MINI} · ")


def test_a_model_is_asked_by_its_slug(
    teller: Storyteller, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*FOX, "--model", "qwen/qwen-max"]) == 0

    assert teller.bodies[-1]["model"] == "qwen/qwen-max"
    assert told(capsys)[1].startswith("qwen/qwen-max · ")


def test_models_after_the_first_are_fallbacks(
    broken: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*FOX, "--model", MINI, "--model", HAIKU, "--json"]) == 0

    out, err = told(capsys)
    assert json.loads(out)["model"] == HAIKU
    assert [attempt["model"] for attempt in json.loads(out)["attempts"]] == [MINI, HAIKU]
    assert "2 attempts" in err


def test_a_story_that_was_cut_off_says_so(
    teller: Storyteller, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "story_chain", _limited_chain)

    assert run(FOX) == 0
    assert "cut off" in told(capsys)[1]


def _limited_chain(_models: list[str]) -> Any:
    from contextlib import nullcontext

    from langchain_tale.story.chain import create_story_chain

    return nullcontext(create_story_chain(max_tokens=4))


def test_without_a_key_a_small_model_on_this_machine_tells_the_story(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALE_AI_SERVICE__MAX_TOKENS", "1")  # room for its 20 words is enough

    assert run([*FOX, "--words", "20", "--model", "qwen/qwen-max"]) == 0

    out, err = told(capsys)
    notice, summary = err.strip().splitlines()
    assert out.strip()
    assert notice.startswith("No OPENROUTER_API_KEY: a small model on this machine tells it")
    assert "instead of qwen/qwen-max" in notice
    assert "https://openrouter.ai/keys" in notice
    assert summary.startswith("huggingfacetb/smollm2-135m-instruct · ")
    assert "$0" in summary


# ── files ───────────────────────────────────────────────────────────────────


def test_a_story_is_written_to_a_file_too(
    teller: Storyteller, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "лиса.txt"

    assert run([*FOX, "--out", str(path)]) == 0

    assert path.read_text(encoding="utf-8") == f"{TITLE}\n\n{STORY}\n" == told(capsys)[0]
    assert list(tmp_path.iterdir()) == [path]


def test_json_goes_to_stdout_and_the_story_to_the_file(
    teller: Storyteller, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "fox.txt"

    assert run([*FOX, "--json", "--out", str(path)]) == 0

    assert json.loads(told(capsys)[0])["content"] == STORY
    assert path.read_text(encoding="utf-8") == f"{TITLE}\n\n{STORY}\n"


def test_a_story_replaces_what_was_in_the_file(teller: Storyteller, tmp_path: Path) -> None:
    path = tmp_path / "fox.txt"
    path.write_text("an old story", encoding="utf-8")

    assert run([*FOX, "--out", str(path)]) == 0
    assert path.read_text(encoding="utf-8") == f"{TITLE}\n\n{STORY}\n"


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_file_has_the_mode_that_the_umask_leaves(
    teller: Storyteller, tmp_path: Path, mask: int
) -> None:
    before = os.umask(mask)
    try:
        assert run([*FOX, "--out", str(tmp_path / "fox.txt")]) == 0
        assert os.umask(mask) == mask
    finally:
        os.umask(before)

    assert (tmp_path / "fox.txt").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_failure_leaves_the_file_as_it_was(
    broken: Sandbox, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "fox.txt"
    path.write_text("an old story", encoding="utf-8")

    assert run([*FOX, "--out", str(path)]) == 1

    assert path.read_text(encoding="utf-8") == "an old story"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interruption_leaves_the_file_as_it_was(
    teller: Storyteller, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "fox.txt"
    path.write_text("an old story", encoding="utf-8")
    monkeypatch.setattr(telling, "_told", _interrupted)

    assert run([*FOX, "--out", str(path)]) == 130

    assert path.read_text(encoding="utf-8") == "an old story"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("where", ["missing/fox.txt", "."], ids=["no folder", "a folder"])
def test_a_file_that_cannot_be_written_is_said_before_anything_is_asked(
    teller: Storyteller, capsys: pytest.CaptureFixture[str], tmp_path: Path, where: str
) -> None:
    assert run([*FOX, "--out", str(tmp_path / where)]) == 1

    out, err = told(capsys)
    assert out == ""
    assert err.startswith("Cannot write ")
    assert err.count("\n") == 1
    assert teller.bodies == []
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_leaves_is_not_blamed_on_the_file(
    teller: Storyteller,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def nobody_reads(*_args: object, **_options: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(telling, "_told", nobody_reads)

    # typer wraps both streams where a pipe broke; pytest puts its own back
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    with pytest.raises(SystemExit) as caught:
        run([*FOX, "--out", str(tmp_path / "fox.txt")])

    assert caught.value.code == 1
    assert "Cannot write" not in told(capsys)[1]
    assert list(tmp_path.iterdir()) == []


# ── mistakes and failures ───────────────────────────────────────────────────


def test_no_arguments_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0

    out, err = told(capsys)
    assert all(command in out for command in ("tell", "models", "sandbox", "--version"))
    assert err == ""


@pytest.mark.parametrize("argv", [["--help"], ["tell", "--help"], ["sandbox", "--help"]], ids=str)
def test_help_can_be_asked_for(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(argv) == 0
    assert "Usage" in told(capsys)[0]


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert told(capsys) == (f"langchain-tale {version('langchain-tale')}\n", "")


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        ([*FOX, "--colour", "red"], "--colour"),
        ([*FOX, "--age", "five"], "--age"),
        ([*FOX, "--age", "0"], "StoryRequest.age"),
        ([*FOX, "--age", "99"], "StoryRequest.age"),
        ([*FOX, "--words", "1"], "StoryRequest.words"),
        ([*FOX, "--name", "<Mia>"], "StoryRequest.child_name"),
        (["", "--age", "5"], "StoryRequest.theme"),
        (["--age", "5"], "'theme'"),
        (["a fox", "a bear"], "a bear"),
        (["sandbox", "--engine", "gpt"], "--engine"),
        (["sandbox", "--port", "x"], "--port"),
        (["models", "--colour"], "--colour"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_named_on_one_line_before_anything_is_asked(
    teller: Storyteller, capsys: pytest.CaptureFixture[str], argv: list[str], named: str
) -> None:
    assert run(argv) == 2

    out, err = told(capsys)
    assert out == ""
    assert named in err
    assert err.count("\n") == 1
    assert teller.bodies == []


def test_a_setting_that_is_wrong_is_a_mistake(
    teller: Storyteller, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALE_AI_SERVICE__MAX_TOKENS", "many")

    assert run(FOX) == 2
    assert told(capsys)[1].startswith("TALE_AI_SERVICE__MAX_TOKENS: ")


def test_a_wrong_key_is_one_line(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(sandbox, monkeypatch, key="sk-or-v1-wrong")

    assert run(FOX) == 1

    out, err = told(capsys)
    assert out == ""
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert "key" in err.lower()
    assert "sk-or-v1-wrong" not in err


def test_a_model_that_stays_down_is_three_lines(
    broken: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*FOX, "--name", "Mia"]) == 1

    out, err = told(capsys)
    assert out == ""
    assert err.count("\n") == 3
    assert "4 tries" in err
    assert "Mia" not in err


def test_a_story_that_breaks_off_ends_its_line_before_the_error(
    faulty: Callable[..., Sandbox],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(faulty({MINI: [Fault(kind="cut", after_chunks=20)]}), monkeypatch)

    assert run(FOX) == 1

    out, err = told(capsys)
    assert "Once upon a time" in out
    assert out.endswith("\n")
    assert err.count("\n") == 1


def _interrupted(*_args: object, **_options: object) -> None:
    raise KeyboardInterrupt


def test_an_interruption_is_130(
    teller: Storyteller, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from langchain_tale.story import chain

    monkeypatch.setattr(chain, "story_messages", _interrupted)

    assert run(FOX) == 130

    assert told(capsys) == ("", "\nStopped.\n")
    assert teller.bodies == []


# ── models and the sandbox ──────────────────────────────────────────────────


@pytest.mark.parametrize("columns", ["60", "200"], ids=["narrow", "wide"])
def test_models_are_listed_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)

    assert run(["models"]) == 0

    out, err = told(capsys)
    assert err == ""
    assert all(f"{member} " in out for member in OpenRouterModel)
    assert out.count("→") == sum(m.info.successor is not None for m in OpenRouterModel)
    assert ("good for" in out) == (columns == "200")


def test_models_are_listed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--json"]) == 0

    rows = json.loads(told(capsys)[0])
    assert [row["slug"] for row in rows] == list(OpenRouterModel)
    assert rows[2] == {
        "name": "CLAUDE_3_5_SONNET",
        "slug": "anthropic/claude-3.5-sonnet",
        "provider": "Anthropic",
        "use_cases": list(OpenRouterModel.CLAUDE_3_5_SONNET.info.use_cases),
        "performance": OpenRouterModel.CLAUDE_3_5_SONNET.info.performance,
        "context_length": 200_000,
        "status": "retired",
        "successor": "~anthropic/claude-sonnet-latest",
        "expires_on": None,
        "max_output_tokens": None,
        "heeds_schemas": None,
        "languages": ["*"],
    }


def test_a_port_that_is_taken_is_one_line(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sandbox", "--port", str(sandbox.port), "--engine", "scripted"]) == 1

    out, err = told(capsys)
    assert out == ""
    assert f"Port {sandbox.port} cannot be used" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("shell", ["exec", "trap '' INT; exec"], ids=["foreground", "background"])
def test_the_sandbox_says_how_to_reach_it_and_stops_at_a_signal(
    stop: signal.Signals, shell: str
) -> None:
    argv = [sys.executable, "-m", "langchain_tale", "sandbox", "--port", "0"]
    argv = [*argv, "--engine", "scripted"]
    with subprocess.Popen(  # noqa: S603 (our own program)
        ["/bin/sh", "-c", f'{shell} "$@"', "sh", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            first = process.stdout.readline()
            process.send_signal(stop)
            process.wait(timeout=30)
            rest, err = process.stdout.read(), process.stderr.read()
        finally:
            process.kill()

    assert first.startswith("export OPENROUTER_API_BASE=http://127.0.0.1:")
    assert rest == "export OPENROUTER_API_KEY=sk-or-v1-sandbox\n"
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.endswith("\nStopped.\n")


# ── the program ─────────────────────────────────────────────────────────────


def test_the_program_takes_its_arguments_from_the_command_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["langchain-tale", "--version"])

    assert program.main() == 0
    assert told(capsys)[0].startswith("langchain-tale ")


def _forget_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("langchain_tale.cli")]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize("extra", ["typer", "rich"])
def test_without_its_extra_the_program_says_how_to_install_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, extra: str
) -> None:
    _forget_the_program(monkeypatch)
    for name in [name for name in sys.modules if name.partition(".")[0] == extra]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, extra, None)

    assert program.main() == 1
    assert told(capsys) == (
        "",
        "The command line needs an extra: pip install 'langchain-tale[cli]'.\n",
    )


def test_an_import_that_fails_for_another_reason_is_not_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _forget_the_program(monkeypatch)
    monkeypatch.setitem(sys.modules, "langchain_tale.settings", None)

    with pytest.raises(ModuleNotFoundError, match=r"langchain_tale\.settings"):
        program.main()
