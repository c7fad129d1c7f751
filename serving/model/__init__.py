"""Models: the decoder and its layers, number formats, attention and kernels. They know nothing about requests."""
