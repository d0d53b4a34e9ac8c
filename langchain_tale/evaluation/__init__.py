"""Models side by side: every model on the same requests, measured alike."""
