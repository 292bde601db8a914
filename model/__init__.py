"""The detector: the network, its weights, and everything that turns a picture into detections."""
