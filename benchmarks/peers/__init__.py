"""Our tracker beside others on the same detections: ``make bench-peers``.

The others live in environments of their own, and meet ours by plain files (``exchange``): ``run``,
``exchange`` and what is in ``adapters`` also run there, and import nothing but numpy, the peer, and
``streamer.types``.
"""
