"""One search over prompts, models, tools, workflow and serving knobs, judged on held-out cases."""
