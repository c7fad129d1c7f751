"""OpenAI's API: validates and prepares requests, and turns the engine's tokens into responses."""
