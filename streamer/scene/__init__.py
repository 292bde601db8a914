"""A seeded infrared scene with ground truth: the built-in demonstration, and the tests' truth."""

from streamer.scene.scene import Scene, SceneFrame, SceneTruth

__all__ = ["Scene", "SceneFrame", "SceneTruth"]
