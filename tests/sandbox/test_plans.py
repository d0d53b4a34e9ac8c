"""Which requests fail: in order, at random, by what they say; and the counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_tale.sandbox import Fault, FaultMix, Sandbox
from langchain_tale.sandbox.pieces import text_of
from langchain_tale.sandbox.plans import FaultPlan

MODEL = "openai/gpt-4o-mini"
OTHER = "anthropic/claude-3-haiku"
KINDS = [Fault(status=429), Fault(kind="body"), Fault(kind="choiceless")]
MIX = FaultMix(share=0.4, kinds=KINDS, seed=7)

Serve = Callable[..., tuple[Any, Any]]


class TestMixes:
    @given(st.lists(st.sampled_from(["a/a", "b/b", "c/c"]), max_size=60))
    def test_what_fails_depends_on_the_model_and_the_number_alone(self, asked: list[str]) -> None:
        plan = FaultPlan({"*": MIX})
        seen: dict[str, list[Fault | None]] = {}
        for model in asked:
            seen.setdefault(model, []).append(plan.next_for(model, {}))
        for model, faults in seen.items():
            assert faults == [MIX.nth(number, model) for number in range(1, len(faults) + 1)]

    def test_models_and_seeds_differ(self) -> None:
        def told(mix: FaultMix, model: str) -> list[Fault | None]:
            return [mix.nth(number, model) for number in range(50)]

        another = FaultMix(share=0.4, kinds=KINDS, seed=8)
        assert told(MIX, "a/a") == told(MIX, "a/a")
        assert told(MIX, "a/a") != told(MIX, "b/b")
        assert told(MIX, "a/a") != told(another, "a/a")

    @pytest.mark.parametrize("share", [0, 0.3, 1])
    def test_the_share_is_kept(self, share: float) -> None:
        mix = FaultMix(share=share, kinds=KINDS)
        faults = [mix.nth(number, "a/b") for number in range(3000)]
        failed = [fault.kind for fault in faults if fault is not None]
        assert len(failed) / 3000 == pytest.approx(share, abs=0.03)
        for count in Counter(failed).values():
            assert count / len(failed) == pytest.approx(1 / len(KINDS), abs=0.05)

    @pytest.mark.parametrize("options", [{"share": 1.1}, {"share": -0.1}, {"kinds": []}])
    def test_a_mix_that_cannot_be_is_refused(self, options: Any) -> None:
        with pytest.raises(ValueError, match="FaultMix"):
            FaultMix(**{"share": 0.5, "kinds": KINDS, **options})

    def test_the_same_requests_fail_however_many_come_at_once(self, serve: Serve) -> None:
        counted = []
        for at_once in (1, 4, 16):
            sandbox, http = serve(faults={MODEL: MIX})
            with ThreadPoolExecutor(at_once) as pool:
                answers = pool.map(http.ask, [f"Story {n}" for n in range(64)])
                statuses = [answer.status_code for answer in answers]
            assert statuses.count(429) == sandbox.failures[MODEL, "http"]
            assert sandbox.most_at_once <= at_once
            counted.append(sandbox.failures)
        assert counted[0] == counted[1] == counted[2]
        assert 10 < counted[0].total() < 45


class TestWhichFail:
    def test_those_of_the_star_are_for_every_model_that_is_not_named(self, serve: Serve) -> None:
        _, http = serve(faults={"*": [Fault(status=503)], MODEL: [None, Fault(status=500)]})
        statuses = [http.ask(model=model).status_code for model in (OTHER, MODEL, "a/b")]
        assert statuses == [503, 200, 503]
        statuses = [http.ask(model=model).status_code for model in (OTHER, MODEL, "a/b")]
        assert statuses == [200, 500, 200]

    def test_a_function_sees_the_body(self, serve: Serve) -> None:
        def wolves(body: Mapping[str, Any]) -> Fault | None:
            return Fault.moderated() if "wolf" in text_of(body["messages"][-1]) else None

        sandbox, http = serve(faults={MODEL: wolves})
        asked = ("a fox", "a wolf", "a hen", "two wolfhounds")
        assert [http.ask(story).status_code for story in asked] == [200, 403, 200, 403]
        assert sandbox.failures == {(MODEL, "http"): 2}

    def test_a_single_fault_is_no_sequence(self) -> None:
        faults: Any = {MODEL: Fault()}
        with pytest.raises(TypeError, match=f"{MODEL} must be a sequence"):
            Sandbox(engine="scripted", faults=faults)


class TestCounters:
    def test_failures_are_counted_by_model_and_kind(self, serve: Serve) -> None:
        down = [Fault(), None, Fault(kind="body"), Fault()]
        sandbox, http = serve(faults={MODEL: down, OTHER: [Fault()]})
        for model in [MODEL] * 5 + [OTHER] * 2:
            http.ask(model=model)
        assert sandbox.failures == {(MODEL, "http"): 2, (MODEL, "body"): 1, (OTHER, "http"): 1}
        assert sandbox.failures.total() == 4
        assert sandbox.failures[OTHER, "cut"] == 0
        assert sandbox.requests == {MODEL: 5, OTHER: 2}

    def test_what_is_read_changes_nothing(self, serve: Serve) -> None:
        sandbox, _ = serve()
        sandbox.failures[MODEL, "cut"] += 1
        assert sandbox.failures == {}

    @pytest.mark.parametrize("stream", [False, True])
    def test_one_after_the_other_is_one_at_once(self, serve: Serve, *, stream: bool) -> None:
        sandbox, http = serve(faults={MODEL: [None, Fault(), None]})
        for _ in range(20):
            http.ask(stream=stream)
        assert sandbox.most_at_once == 1

    def test_the_greatest_number_at_once_is_kept(self, serve: Serve, stuck: Any) -> None:
        sandbox, http = serve(stuck("Once"))
        assert sandbox.most_at_once == 0
        with ThreadPoolExecutor() as pool:
            asked = [pool.submit(http.ask) for _ in range(5)]
            http.until(lambda: sandbox.most_at_once == 5)
            sandbox.stop()
        assert all(answer.done() for answer in asked)  # with an error, or cut off where busy
        assert sandbox.most_at_once == 5
