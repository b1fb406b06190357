"""What the clients of the SDK tests say."""

import array
import sys

RATE = 24_000
CHUNK = RATE // 50 * 2  # 20 ms of 16-bit samples


def pseudo_speech(seconds):
    """Noise on a 150 Hz pitch under a 4 Hz envelope that never falls silent.

    Whole numbers only, and the same ones as in node/speech.mjs: all clients say the same bytes. No
    stretch of it occurs twice, so a reply that lost or repeated a piece cannot pass for whole.
    """
    samples = array.array("h")
    state = 1
    for n in range(int(seconds * 50) * (CHUNK // 2)):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        noise = (state >> 18) - 8192
        pitch = abs(n % 160 - 80) * 200 - 8000
        envelope = 64 + abs(n % 6000 - 3000) * 192 // 3000
        samples.append(((noise + pitch) * envelope) >> 8)
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()
