"""Models: the decoder and its layers, number formats, attention and kernels. Nothing here knows of requests."""
