"""OpenAI's requests and answers: from JSON to what the engine is asked, and from its tokens to JSON."""
