"""One function a row: it does the thing through a proxy, and returns what was observed in words, and
whether that is what an edge must do. No row knows which proxy it is looking at.

Every check is one that the Node relay fails: beside.py insists on it, so none can pass by itself.
"""

import asyncio

import peers
from peers import BINARY, CLOSE, PING, PONG, TEXT, Plan
from targets import KEY

SESSION_CREATED = b'{"type":"session.created"}'
# No longer than it takes for what is not coming to have come on loopback.
SHORT = 0.4


def refused(answer):
    """An answer that is no 101, in words."""
    if answer is None:
        return "no answer"
    return f"{answer.status} before the upgrade" if answer.status != 101 else "101"


async def curl_check(target):
    root, live, ready = await asyncio.gather(*(target.get(path) for path in ("/", "/healthz", "/readyz")))
    words = ", ".join(
        f"`{path}` {answer.status if answer else 'never answers'}"
        for path, answer in (("/", root), ("/healthz", live), ("/readyz", ready))
    )
    good = root is not None and all(answer and answer.status == 200 for answer in (live, ready))
    return words, good and live.body != ready.body


async def wrong_path(target):
    answer = await target.dial(path="/nowhere")
    return refused(answer), answer is not None and answer.status == 404


async def foreign_origin(target):
    page = lambda origin: [("Origin", origin)]  # noqa: E731
    foreign = await target.dial(headers=page("https://evil.example"))
    longer = await target.dial(headers=page("https://app.example.com.evil.example"))
    own = await target.dial(headers=page("https://app.example.com"))
    none = await target.dial()
    none_on_pages = await target.dial(path="/pages")
    answers = {"foreign": foreign, "longer by a suffix": longer, "the page's own": own, "none": none}
    answers["none, where only pages may"] = none_on_pages
    told = ", ".join(f"{name}: {answer.status}" for name, answer in answers.items())
    return told, [answer.status for answer in answers.values()] == [403, 403, 101, 101, 403]


async def subprotocol(target):
    offered = f"openai-insecure-api-key.{KEY}, realtime"
    answer = await target.dial(headers=[("Sec-WebSocket-Protocol", offered)])
    chosen = answer.header("Sec-WebSocket-Protocol")
    sent_on = target.upstream.visits[-1].header("Sec-WebSocket-Protocol")
    words = "echoes the key" if KEY in chosen else f"agrees on `{chosen}`"
    return f"{words}; upstream sees {sent_on or 'none'}", (chosen, sent_on) == ("realtime", "")


async def injection(target):
    before = len(target.upstream.visits)
    answer = await target.dial(query="model=gpt%26agent-id%3Devil")
    visits = target.upstream.visits[before:]
    if not visits:
        return f"{refused(answer)}, nothing dialled", answer.status in (400, 403)
    injected = "agent-id=evil" in visits[-1].target.split("?", 1)[1].split("&")
    return "upstream is asked for `agent-id=evil`" if injected else f"upstream: `{visits[-1].target}`", not injected


async def token_twice(target):
    before = len(target.upstream.visits)
    answer = await target.dial(query="token=a&token=b")
    visits = target.upstream.visits[before:]
    if visits:
        return f"`{visits[-1].header('Authorization')}` sent upstream", False
    return f"{refused(answer)}, nothing dialled", answer.status == 400


async def api_version(target):
    _, listed = await target.call(query="apiVersion=2026-04-10&model=gpt-realtime")
    before = len(target.upstream.visits)
    answer = await target.dial(query="apiVersion=2099-01-01&model=gpt-realtime")
    asked = [visit.target.split("api-version=")[1].split("&")[0] for visit in target.upstream.visits[before:]]
    unknown = f"upstream is asked for {asked[0]}" if asked else refused(answer)
    passed = "api-version=2026-04-10" in listed.target
    return f"{unknown}; one on the list {'goes on' if passed else 'does not go on'}", passed and not asked


async def early_message(target):
    """A message in one segment with the request, and the upstream takes its time."""
    target.upstream.plan = Plan(before_answer=0.3)
    message = peers.encode(TEXT, b"first words", b"mask")
    _, visit = await target.call(first=message)
    arrived = await target.upstream.until(lambda: visit.frames, 2.0)
    return "arrives" if arrived else "lost", arrived and visit.frames[0].payload == b"first words"


async def early_frame(target):
    target.upstream.plan = Plan(with_answer=peers.encode(TEXT, SESSION_CREATED))
    link, _ = await target.call()
    try:
        frame = await link.message(2.0)
    except TimeoutError:
        return "lost", False
    return "arrives", frame is not None and frame.payload == SESSION_CREATED


async def binary_frame(target):
    link, visit = await target.call()
    payload = bytes(range(256))
    link.send(BINARY, payload)
    await target.upstream.until(lambda: visit.frames)
    frame = visit.frames[0]
    kind = {BINARY: "binary", TEXT: "text"}.get(frame.opcode, frame.opcode)
    same = frame.payload == payload
    told = "the same bytes" if same else f"{len(payload)} bytes became {len(frame.payload)}"
    return f"arrives as {kind}, {told}", same and frame.opcode == BINARY


async def client_ping(target):
    link, visit = await target.call()
    link.send(PING, b"are you there")
    pong = await link.frame()
    crossed = await target.upstream.until(lambda: any(f.opcode == PING for f in visit.frames), SHORT)
    silent = await target.fresh(ping="1s")
    link, visit = await silent.call()
    try:
        frame = await link.frame(2.0)
        down = frame is not None and frame.opcode == PING
    except TimeoutError:
        down = False
    up = await target.upstream.until(lambda: any(f.opcode == PING for f in visit.frames), 2.0)
    await silent.process.stop()
    answered = pong.opcode == PONG and pong.payload == b"are you there"
    words = f"{'crosses' if crossed else 'answered here'}; silent legs pinged: client {yes(down)}, upstream {yes(up)}"
    return words, answered and down and up


def yes(truth):
    return "yes" if truth else "no"


async def client_close(target):
    link, visit = await target.call()
    link.send(CLOSE, peers.close_payload(4321, "bye"))
    await link.ending()
    await target.upstream.until(lambda: visit.frames or not visit.open)
    told = peers.told_close(visit.frames[0].payload) if visit.frames else "1006 (no close frame)"
    return f"upstream sees {told}", told == '4321 "bye"'


async def upstream_close(target):
    target.upstream.plan = Plan(then="4001 nope")
    link, _ = await target.call()
    told = await link.ending()
    return f"client sees {told}", told == '4001 "nope"'


async def upstream_reset(target):
    target.upstream.plan = Plan(then="reset")
    link, _ = await target.call()
    link.send(TEXT, b"now")
    told = await link.ending()
    return f"client sees {told}", told.startswith(("1011 ", "1014 "))


async def upstream_401(target):
    target.upstream.plan = Plan(status=401)
    answer = await target.dial()
    if not answer.link:
        reason = "upstream_unauthorized" if "upstream_unauthorized" in answer.body else "no reason"
        counted = await has_metric(target, 'result="upstream_unauthorized"')
        words = f"{refused(answer)}, `{reason}`, {'counted' if counted else 'not counted'}"
        return words, answer.status == 502 and reason != "no reason" and counted and "401" not in answer.body
    frame = await answer.link.message()
    leaked = frame is not None and b"401" in frame.payload
    told = await answer.link.ending()
    return f"101, {'tells the client of the 401, ' if leaked else ''}then {told}", False


async def has_metric(target, words):
    if not target.admin:
        return False
    page = await target.get("/metrics", port=target.admin)
    return page is not None and words in page.body


async def upstream_hangs(target):
    target.upstream.plan = Plan(before_answer=float("inf"))
    clock = asyncio.get_running_loop().time
    began = clock()
    answer = await target.dial(patience=8.0)
    took = clock() - began
    if answer is None or answer.link:
        told = await answer.link.ending(4.0) if answer else "no answer"
        return f"101 at once, {told}", False
    # 2 s is what the settings allow.
    return f"{refused(answer)}, after {took:.1f} s", answer.status == 504 and 1.5 < took < 6


async def abandoned(target):
    target.upstream.plan = Plan(before_answer=0.3)
    upstream = target.upstream
    before = len(upstream.visits)
    for nth in range(20):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", target.port, ssl=target.tls, server_hostname="localhost" if target.tls else None
        )
        writer.write(peers.upgrade_request("/ws", [("api-key", KEY)]))
        await upstream.until(lambda nth=nth: len(upstream.visits) > before + nth)
        peers.Link(reader, writer, masks=True).abort()
    await asyncio.sleep(1.5)
    dialled, left = len(upstream.visits) - before, sum(visit.open for visit in upstream.visits[before:])
    return f"{left} of {dialled} upstream connections left open", dialled == 20 and left == 0


async def unmasked(target):
    other = await target.fresh()
    target.upstream.plan = Plan(echo=True)
    neighbour, _ = await other.call()
    offender, _ = await other.call()
    offender.send(TEXT, b"bare", mask=False)
    told = await offender.ending()
    code = await other.process.ended(SHORT)
    if code is not None:
        return f"the process ends with exit code {code}", False
    neighbour.send(TEXT, b"undisturbed")
    frame = await neighbour.message()
    undisturbed = frame is not None and frame.payload == b"undisturbed"
    await other.process.stop()
    return f"{told}; a neighbour {'is undisturbed' if undisturbed else 'is disturbed'}", undisturbed and told.startswith("1002")


async def log_lines(target):
    other = await target.fresh(log="trace")
    target.upstream.plan = Plan(echo=True)
    link, _ = await other.call(query=f"token={KEY}")
    link.send(TEXT, b"canary-payload")
    await link.message()
    await other.dial(query="token=canary-token")
    await other.dial(query="mode=agent&agentId=asst_1&projectName=support&token=canary-agent")
    link.send(CLOSE, peers.close_payload(1000, "canary-reason"))
    await link.ending()
    await asyncio.sleep(SHORT)
    await other.process.stop()
    printed = "".join(other.process.output)
    secrets = {"token": (KEY, "canary-token", "canary-agent"), "payload": ("canary-payload",), "close reason": ("canary-reason",)}
    found = [name for name, canaries in secrets.items() if any(canary in printed for canary in canaries)]
    # A silent log proves nothing: something must have been said.
    return f"shows {' and '.join(found) or 'none of it'}", bool(printed) and not found


ROWS = {
    "the guide's check, `curl http://host:8080`": curl_check,
    "wrong path": wrong_path,
    "`Origin`": foreign_origin,
    "subprotocols offered: a key, `realtime`": subprotocol,
    "`model=gpt%26agent-id%3Devil`": injection,
    "`token` twice": token_twice,
    "unknown `apiVersion`": api_version,
    "message before the upstream is open": early_message,
    "upstream frame in one segment with its 101": early_frame,
    "binary frame": binary_frame,
    "client pings": client_ping,
    'client closes with 4321 "bye"': client_close,
    'upstream closes with 4001 "nope"': upstream_close,
    "upstream resets": upstream_reset,
    "upstream answers 401": upstream_401,
    "upstream never answers": upstream_hangs,
    "20 × connect and abort": abandoned,
    "unmasked frame": unmasked,
    "token, payload, close reason in the log, all of it on": log_lines,
}
