"""What leaves the pipeline: one file a kind of output, put together by the factory."""
