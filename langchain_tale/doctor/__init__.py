"""Is everything as it must be to ask OpenRouter? One finding for each thing that can be wrong."""
