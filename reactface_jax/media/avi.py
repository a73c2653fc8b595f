"""When the pictures of an avi are shown: the format has a track's packets at a constant rate, and says nothing more.

The n-th picture is shown when the n-th packet is there. A decoder holds pictures back where some are made of later ones
(B-frames), and what FFmpeg then takes for a picture's time is that of another, or late.
"""

from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame


def is_avi(container: InputContainer) -> bool:
    """Whether a file is an avi, whatever its name."""
    return container.format.name == "avi"


class AviClock:
    """Gives the decoded pictures of one avi their times.

    To read from the middle on, decode the file's first picture, call `jump`, and go on there.
    """

    def __init__(self) -> None:
        self._first = 0  # of the packets, the one that begins what is decoded
        self._has_begun = False
        self._behind: int | None = None  # how many packets later a picture leaves the decoder
        self._last: int | None = None  # time of the last picture

    def enter(self, packet: Packet) -> None:
        """A packet of the track goes into the decoder."""
        if packet.is_keyframe and packet.dts is not None and not self._has_begun:
            self._first, self._has_begun = packet.dts, True

    def leave(self, picture: VideoFrame) -> None:
        """A picture comes out of the decoder: sets its timestamp right."""
        entered = picture.dts  # the packet that went in meanwhile; None where no more packets came
        if entered is None:
            picture.pts = self._first if self._last is None else self._last + 1
        else:
            if self._behind is None:
                self._behind = entered - self._first
            picture.pts = entered - self._behind
        self._last = picture.pts

    def jump(self) -> None:
        """The file is read from another place on."""
        self._has_begun, self._last = False, None
