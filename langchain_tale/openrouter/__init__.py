"""Speaking OpenRouter."""
