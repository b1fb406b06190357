#!/usr/bin/env python3
"""Does the report say what the runs found? From figures that are made up here; nothing is started."""

import argparse
import pathlib
import tempfile
import unittest
import xml.etree.ElementTree as xml

import goals
import machine
import picture
import recorder
import report
import rounds
import run
from bench import World
from modes import CASES, MODES
from peers import PEERS, configured
from results import Results

MACHINE = {
    "event": "machine", "date": "2026-01-02 03:04 UTC", "cpu": "Some CPU (family 1, model 2)", "cores": 2,
    "kernel": "Linux 6.1", "load": 0.25, "revision": "abc", "builds": {"tonegate": "1"}, "rounds": 3, "seconds": 2,
    "versions": {"nginx": "nginx 1", "tonegate": "tonegate 2", "floor": "floor 3"},
}  # fmt: skip


def call(cpu, p50=200):
    times = {"p50": p50, "p99": p50 * 2, "p999": p50 * 4}
    return {"ok": True, "cpu_us_per_message": cpu, "round_trip_us": times, "lateness_us": {"p99": 321}}


def idle(each, kept):
    return {"ok": True, "resident_kib_per_pair": each, "resident_kib_kept": kept, "connections": 1000, "cores_at_rest": 0}


def row(turn, target, result, case="t2t", mode="call", failed=None):
    return {"event": "run", "round": turn, "case": case, "mode": mode, "target": target, "failed": failed, "result": result}


def canned():
    results = Results()
    results.take(MACHINE)
    for turn, (nginx, own, floor) in enumerate([(20, 10, 8), (30, 21, 20), (10, 9, 5)]):
        for target, value in (("nginx", nginx), ("tonegate", own), ("floor", floor)):
            results.take(row(turn, target, call(value)))
            results.take(row(turn, target, idle(value, value * 250), mode="idle"))
    results.take(row(0, "envoy", None, failed="3 lost"))
    results.take(row(1, "envoy", call(15)))
    return results


def written(results):
    return "\n".join(report.text(results))


class Reported(unittest.TestCase):
    def test_ratios_are_taken_round_by_round(self):
        figure = MODES["call"].figures[0]
        self.assertEqual(canned().spread("t2t", "call", "tonegate", figure), (0.7, 0.5, 0.9))
        # The ratio of the medians would be another: 10 / 20.
        self.assertEqual(canned().median("t2t", "call", "tonegate", figure), 10)
        # A run that failed has no part in it.
        self.assertEqual(canned().spread("t2t", "call", "envoy", figure), (0.5, 0.5, 0.5))

    def test_the_text_has_figures_failures_and_the_machine(self):
        text = written(canned())
        for part in ("10 (0.70×, 0.50–0.90)", "Some CPU", "nginx 1; tonegate 2; floor 3", "p99 321 µs", "load average at the start 0.25"):
            self.assertIn(part, text)
        self.assertIn("FAILED round 1 t2t call envoy: 3 lost", text)

    def test_goals_are_met_or_not(self):
        rows = {(name, limit): (measured, met) for name, _, limit, measured, met in goals.rows(canned())}
        self.assertEqual(rows["1", "≤ 0.7× nginx"], ("0.700× (0.50–0.90)", True))
        self.assertEqual(rows["1", "≤ 1.15× floor"], ("1.25× (1.05–1.80)", False))
        self.assertEqual(rows["5", "≤ 12 KiB/pair"], ("10 KiB/pair", True))
        self.assertEqual(rows["7", "≤ 25 %"], ("25 %", True))
        self.assertEqual(rows["11", "0"], ("0 of 6", True))
        self.assertEqual(rows["13", "≥ 1.4× nginx"], ("1.43× (1.11–2.00)", True))
        self.assertEqual(rows["10", "≤ 0.8× nginx"], ("not measured", None))

    def test_every_goal_asks_for_what_is_run(self):
        for goal in goals.GOALS:
            mode = MODES[goal.mode]
            self.assertIn(goal.figure, mode.figures, goal)
            self.assertIn(goal.case, mode.default, goal)
        self.assertEqual({goal.number for goal in goals.GOALS} | {goals.LOST}, {*map(str, range(1, 14)), "1b", "9b"})

    def test_the_edge_that_loses_something_fails_the_whole_and_a_peer_is_told(self):
        self.assertEqual(list(run.faults(canned())), [])
        lost = canned()
        lost.take(row(2, "tonegate", None, failed="1 changed"))
        self.assertEqual(list(run.faults(lost)), ["round 3 t2t call tonegate: 1 changed"])
        self.assertIn(("11", "0", "1 of 6", False), [(name, limit, *rest) for name, _, limit, *rest in goals.rows(lost)])
        # The same run made again, and sound then, does not make it undone.
        again = dict(lost.runs["t2t", "call", "nginx"][0]["result"])
        lost.take(row(2, "tonegate", again))
        self.assertEqual(list(run.faults(lost)), ["round 3 t2t call tonegate: 1 changed"])
        never = canned()
        never.take(row(1, "envoy", None, failed="did not come up"))
        self.assertEqual(list(run.faults(never)), ["t2t call envoy: not one run was sound"])

    def test_markdown_has_a_column_for_each_peer(self):
        lines = list(report.markdown(canned()))
        head = next(line for line in lines if line.startswith("| | "))
        self.assertEqual(head, "| | nginx | tonegate | Envoy | epoll + rustls |")
        self.assertIn("| CPU per relayed 1 KB message, 200 calls, µs | 20 | 10 (0.70×, 0.50–0.90) | 0.50× | 0.50× |", lines)
        tables = [line for line in lines if line.startswith("|")]
        self.assertTrue(all(line.count("|") == 6 for line in tables), tables)


class Kept(unittest.TestCase):
    def test_what_was_written_is_read_and_nothing_else(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "results.jsonl"
            log = rounds.Log(Results(), path)
            log.take(MACHINE)
            for rows in canned().runs.values():
                for one in rows.values():
                    log.take(one)
            self.assertEqual(written(Results.read(path)), written(canned()))
            path.write_text(path.read_text() + '{"event": "run", "case": "t2t", "mode": "other"}\n')
            with self.assertRaisesRegex(SystemExit, "line 22: not written by this script"):
                Results.read(path)


    def test_figures_of_another_build_or_machine_are_not_added(self):
        self.assertEqual(list(machine.differences(MACHINE, {**MACHINE, "date": "later", "load": 9})), [])
        for what, other in (("builds", {"tonegate": "2"}), ("cpu", "Other"), ("versions", {"nginx": "nginx 9"})):
            self.assertEqual(len(list(machine.differences(MACHINE, {**MACHINE, what: other}))), 1, what)


class Drawn(unittest.TestCase):
    def test_bars_are_as_long_as_the_ratios(self):
        drawn = xml.fromstring(picture.draw(canned()))
        bars = [at for at in drawn.iter("{http://www.w3.org/2000/svg}rect") if at.get("class") == "tonegate"]
        self.assertEqual([float(one.get("width")) for one in bars], [round(0.7 * picture.UNIT, 1)] * 2)
        text = " ".join("".join(one.itertext()) for one in drawn.iter("{http://www.w3.org/2000/svg}text"))
        for part in ("tonegate 0.70× · 10 µs", "nginx: 20 µs", "2026-01-02", "Medians of 3 rounds"):
            self.assertIn(part, text)

    def test_a_bar_that_is_too_long_is_cut_and_a_missing_one_is_told(self):
        long = canned()
        for turn in range(3):
            long.take(row(turn, "floor", call(900)))
            long.take(row(turn, "envoy", None, failed="3 lost"))
        drawn = picture.draw(long)
        self.assertIn("› epoll + rustls 45.00× · 900 µs", drawn)
        self.assertIn("Envoy: failed", drawn)
        parts = list(xml.fromstring(drawn).iter())
        ends = [float(one.get("x2")) for one in parts if one.tag.endswith("line")]
        ends += [picture.LEFT + float(one.get("width")) for one in parts if one.get("class") == "floor"]
        self.assertEqual(max(ends), picture.LEFT + picture.SCALE_MAX * picture.UNIT)


class Planned(unittest.TestCase):
    def plan(self, **more):
        args = {"rounds": 2, "seconds": 2, "cases": ["t2t"], "modes": {"t2t": ["call"]}}
        args |= {"targets": {"t2t": ["nginx", "tonegate"]}, "named": False}
        return argparse.Namespace(**{**args, **more})

    def test_the_order_is_turned_round(self):
        self.assertEqual([targets for *_, targets in rounds.plan(self.plan())], [["nginx", "tonegate"], ["tonegate", "nginx"]])

    def test_a_mode_has_its_own_targets_and_rounds(self):
        plan = rounds.plan(self.plan(rounds=5, modes={"t2t": ["idle9800", "idle", "resume"]}, targets={"t2t": ["node", "tonegate", "tonegate-deaf"]}))
        self.assertEqual([(mode, len(targets)) for _, _, mode, targets in plan if mode == "idle9800"], [("idle9800", 1)])
        self.assertEqual([targets[0] for _, _, mode, targets in plan if mode == "idle"], ["node", "tonegate", "node"])
        self.assertEqual({tuple(targets) for _, _, mode, targets in plan if mode == "resume"}, {("tonegate",)})
        named = rounds.plan(self.plan(named=True, rounds=1, modes={"t2t": ["idle9800", "resume"]}, targets={"t2t": ["nginx", "node"]}))
        self.assertEqual([targets for *_, targets in named], [["nginx", "node"], ["nginx"]])

    def test_all_of_it_takes_no_more_than_26_minutes(self):
        named = {case: [name for name, mode in MODES.items() if case in mode.default] for case in CASES}
        args = self.plan(rounds=5, cases=list(CASES), modes=named, targets={case: list(names) for case, names in run.TARGETS.items()})
        self.assertLess(rounds.seconds(args), 26 * 60)


class Configured(unittest.TestCase):
    def test_templates_keep_the_lines_of_their_case(self):
        bench = argparse.Namespace(directory=pathlib.Path("/d"), descriptors=20_000, key="k")
        for name, kind in PEERS.items():
            template = kind(argparse.Namespace(config=run.HERE / "tonegate.toml")).template
            if template is None:
                continue
            for case, (leaf, authority) in {"t2t": (True, True), "t2p": (True, False), "p2p": (False, False)}.items():
                text = configured(template, World(bench, case))
                self.assertNotRegex(text, "#@ (in|out)")
                self.assertEqual("/d/leaf.pem" in text or "/d/both.pem" in text, leaf, f"{name} {case}")
                self.assertEqual("/d/ca.pem" in text, authority, f"{name} {case}")


def server_hello(*more):
    """A record with a ServerHello of TLS 1.3, AES-128-GCM and X25519, and with these extensions besides."""
    fields = b"".join(bytes.fromhex(one) for one in ("002b00020304", "00330024001d0020" + "00" * 32, *more))
    body = b"\x03\x03" + bytes(32) + b"\x20" + bytes(32) + b"\x13\x01\0" + len(fields).to_bytes(2) + fields
    message = b"\x02" + len(body).to_bytes(3) + body
    return b"\x16\x03\x03" + len(message).to_bytes(2) + message


class Seen(unittest.TestCase):
    def test_a_server_hello_is_read(self):
        for more, resumed in ((("002900020000",), True), ((), False)):
            *agreed, psk = recorder.Seen(answered=server_hello(*more)).server()
            self.assertEqual((tuple(map(recorder.named, agreed)), psk), (("TLS 1.3", "AES-128-GCM", "X25519"), resumed))

    def test_half_a_hello_and_another_record_are_none(self):
        whole = server_hello()
        self.assertIsNone(recorder.Seen(answered=whole[:40]).server())
        self.assertIsNone(recorder.Seen(answered=b"\x15" + whole[1:]).server())


if __name__ == "__main__":
    unittest.main()
