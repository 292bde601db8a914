"""A real RTSP server, run by the system's Python, which has GStreamer's bindings.

    /usr/bin/python3 rtsp_server.py CLIP.mp4 [--user NAME --password WORD]
    /usr/bin/python3 rtsp_server.py STREAM.ts [--user NAME --password WORD]
    /usr/bin/python3 rtsp_server.py live [--user NAME --password WORD]

It serves a clip, or MPEG-TS, which may change in its middle, from the beginning to whoever
connects, or as ``live`` a moving ball, 128x96 px at
25 Hz in H.264 with a key frame every second, without end. It prints the port it listens on, on
127.0.0.1, and serves rtsp://127.0.0.1:PORT/live until its standard input is closed or it is killed.
"""

import argparse
import sys
import threading

import gi  # type: ignore[import-not-found]

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-not-found]  # noqa: E402

LAUNCH = (
    "( filesrc location={clip} ! qtdemux ! h264parse config-interval=-1 ! "
    "rtph264pay name=pay0 pt=96 config-interval=-1 )"
)
TRANSPORT = (
    "( filesrc location={clip} ! tsdemux ! h264parse config-interval=-1 ! "
    "rtph264pay name=pay0 pt=96 config-interval=-1 )"
)
LIVE = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=128,height=96,framerate=25/1 ! "
    "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 threads=1 ! "
    "rtph264pay name=pay0 pt=96 config-interval=-1 )"
)


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("clip")
    parser.add_argument("--user")
    parser.add_argument("--password")
    arguments = parser.parse_args()

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    factory = GstRtspServer.RTSPMediaFactory()
    clip = arguments.clip
    launch = LIVE if clip == "live" else TRANSPORT if clip.endswith(".ts") else LAUNCH
    factory.set_launch(launch.format(clip=clip))
    if arguments.user:
        require_basic_auth(server, factory, arguments.user, arguments.password)
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)

    loop = GLib.MainLoop()
    threading.Thread(target=lambda: (sys.stdin.read(), loop.quit()), daemon=True).start()
    print(server.get_bound_port(), flush=True)
    loop.run()


def require_basic_auth(
    server: GstRtspServer.RTSPServer,
    factory: GstRtspServer.RTSPMediaFactory,
    user: str,
    password: str,
) -> None:
    """Serve the clip to nobody but ``user``."""
    auth = GstRtspServer.RTSPAuth()
    allowed = GstRtspServer.RTSPToken()
    allowed.set_string("media.factory.role", "user")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), allowed)
    server.set_auth(auth)
    factory.add_role_from_structure(
        Gst.Structure.from_string(
            "user, media.factory.access=(boolean)true, media.factory.construct=(boolean)true"
        )[0]
    )


if __name__ == "__main__":
    main()
