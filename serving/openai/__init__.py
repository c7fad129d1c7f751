"""OpenAI's requests and answers: from a body to what the engine is asked, and from its tokens to JSON."""
