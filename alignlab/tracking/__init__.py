"""What a person and a tracker see of a run: messages, progress, metrics. Nothing here changes what is learned."""
