"""What relaying costs: CPU of the proxy's process per frame, its resident memory per session."""

import asyncio
import os

from peers import TEXT, Plan, encode

# One append of 20 ms at 24 kHz as Microsoft's client for Node sends it, and its pace.
FRAME = 1368
PACE = 0.02


def message(nth):
    text = f'{{"type":"input_audio_buffer.append","event_id":"{nth:012}","audio":"'
    return (text + "A" * (FRAME - len(text) - 2) + '"}').encode()


async def speak(link, seconds, burst, tally):
    """Sends on schedule whatever comes back, `burst` frames at a time, and compares what does."""
    rounds = round(seconds / PACE / burst)
    clock = asyncio.get_running_loop().time

    async def listen():
        for nth in range(rounds * burst):
            frame = await link.message(10.0)
            if frame is None or frame.payload != message(nth):
                raise RuntimeError(f"message {nth} came back changed, or not at all")
            tally["frames"] += 2

    listening = asyncio.create_task(listen())
    start = clock()
    for turn in range(rounds):
        await asyncio.sleep(start + turn * burst * PACE - clock())
        together = (message(turn * burst + nth) for nth in range(burst))
        link.writer.write(b"".join(encode(TEXT, one, os.urandom(4)) for one in together))
    await listening


async def calls(target, count):
    """So many calls, open on both sides."""
    target.upstream.plan = Plan(echo=True)
    links = [(await target.dial(query="model=gpt-realtime")).link for _ in range(count)]
    # The relay drops what comes before its upstream is open.
    await asyncio.sleep(0.3)
    return links


async def cpu_per_frame(target, sessions, seconds, burst):
    """Microseconds; a frame up and its echo down are two."""
    links = await calls(target, sessions)
    tally = {"frames": 0}
    # The first round warms up: compilers, buffers, caches.
    for span in (min(2.0, seconds), seconds):
        tally["frames"] = 0
        before = target.process.cpu_nanoseconds()
        await asyncio.gather(*(speak(link, span, burst, tally) for link in links))
        spent = target.process.cpu_nanoseconds() - before
    for link in links:
        link.drop()
    return spent / 1000 / tally["frames"]


async def memory(target, sessions):
    """Resident KiB idle and with so many sessions that have spoken once."""
    idle = target.process.resident_kib()
    links = await calls(target, sessions)
    for link in links:
        link.send(TEXT, message(0))
        await link.message()
    full = target.process.resident_kib()
    for link in links:
        link.drop()
    return idle, full


async def measure(target, core, sessions, seconds, crowd):
    """All figures of one proxy, each in a process that has done nothing else."""
    figures = {}
    for name, burst in (("cpu", 1), ("burst", 16)):
        fresh = await target.fresh(core=core)
        figures[name] = await cpu_per_frame(fresh, sessions, seconds, burst)
        await fresh.process.stop()
    fresh = await target.fresh(core=core)
    idle, full = await memory(fresh, crowd)
    await fresh.process.stop()
    return figures | {"idle": idle, "full": full, "session": (full - idle) / crowd}


def cores():
    """One for the proxy, one for everything else; none where there is only one."""
    return (0, 1) if (os.cpu_count() or 1) > 1 else (None, None)
