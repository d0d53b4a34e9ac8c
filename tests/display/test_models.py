from __future__ import annotations

from langchain_tale import OpenRouterModel
from langchain_tale.display import catalogue


def test_the_catalogue_has_every_model() -> None:
    shown = catalogue()

    for model in OpenRouterModel:
        assert model.value in shown.text()
        assert f">{model.name}</td>" in shown.html()
