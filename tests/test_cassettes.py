"""Cassettes are clean, say what they are, and cannot be missed unnoticed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import vcr
import yaml
from langchain_core.runnables import RunnableLambda
from langchain_tests.integration_tests import ChatModelIntegrationTests

from langchain_tale.openrouter.chat_models import ChatOpenRouter
from tests.conftest import RECORDED_KEY, ROOT
from tests.recording import VCR_CONFIG, clean_response, every_request_recorded

if TYPE_CHECKING:
    from pathlib import Path

CASSETTES = sorted((ROOT / "cassettes").rglob("*.yaml"))
UNWANTED = re.compile(
    r"sk-or-|authorization|cookie|x-stainless|cf-ray|user_id|127\.0\.0\.1|bearer"
    r"|localhost|/(?:home|root|tmp|users|work)/",
    re.IGNORECASE,
)


def test_there_are_cassettes() -> None:
    names = {path.relative_to(ROOT / "cassettes").with_suffix("").as_posix() for path in CASSETTES}

    assert names >= {
        "test_recordings/test_story",
        "test_recordings/test_streamed_story",
        "test_recordings/test_wrong_key",
        "test_recordings/test_fallback_from_a_retired_model",
        "faults/test_rate_limit_then_success",
        "faults/test_error_inside_a_200",
    }


def test_every_test_of_langchains_suite_has_its_own() -> None:
    folder = ROOT / "cassettes" / "test_standard_integration"
    recorded = {path.stem.partition("[")[0] for path in CASSETTES if path.parent == folder}
    suite = {name for name in dir(ChatModelIntegrationTests) if name.startswith("test_")}

    asking = suite - {"test_no_overrides_DO_NOT_OVERRIDE"}
    assert recorded == {f"TestChatOpenRouter.{name}" for name in asking}


@pytest.mark.parametrize("path", CASSETTES, ids=lambda path: path.stem)
def test_a_cassette_holds_no_secret_and_names_its_server(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert UNWANTED.search(text) is None
    for interaction in yaml.safe_load(text)["interactions"]:
        assert interaction["request"]["uri"].startswith("https://openrouter.ai/api/v1/")
        headers = {k.lower(): v for k, v in interaction["response"]["headers"].items()}
        assert re.match(r"langchain-tale-sandbox/|cloudflare", headers["server"][0])


def test_an_account_is_not_recorded() -> None:
    response: dict[str, Any] = {
        "headers": {"Set-Cookie": ["a=b"], "content-type": ["application/json"], "CF-Ray": ["x"]},
        "body": {"string": b'{"error": {"code": 401}, "user_id": "user_1"}'},
    }

    clean = clean_response(response)

    assert clean["headers"] == {"content-type": ["application/json"]}
    assert clean["body"]["string"] == b'{"error": {"code": 401}}'


def test_a_miss_fails_even_where_a_fallback_serves(tmp_path: Path) -> None:
    llm: Any = ChatOpenRouter(model="a/b", api_key=RECORDED_KEY, max_retries=0)
    served: Any = RunnableLambda(lambda _input: "served")
    asking: Any = RunnableLambda(llm.invoke)
    safe = asking.with_fallbacks([served])
    empty = str(tmp_path / "empty.yaml")

    with (
        vcr.use_cassette(empty, record_mode="none", **VCR_CONFIG) as cassette,
        pytest.raises(pytest.fail.Exception, match="not in the cassette"),
        every_request_recorded(cassette, is_replay=True),
    ):
        assert safe.invoke("x") == "served"


def test_an_answer_that_nobody_asked_for_fails_too() -> None:
    path = ROOT / "cassettes" / "faults" / "test_rate_limit_then_success.yaml"

    with (
        vcr.use_cassette(str(path), record_mode="none", **VCR_CONFIG) as cassette,
        pytest.raises(pytest.fail.Exception, match="has 2 answers; 0 were asked for"),
        every_request_recorded(cassette, is_replay=True),
    ):
        pass
