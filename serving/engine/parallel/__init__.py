"""A model computed by several processes: how they are started, and the engine's side of them."""
