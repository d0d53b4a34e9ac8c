"""Runs by OpenRouter's batch API: half the price, within a day, and nothing asked twice."""
