"""What happened: events, logs, metrics, cost."""
