#!/usr/bin/env python3
"""Writes tonegate.json, the Grafana dashboard, from one line a panel.

    python3 deploy/grafana/dashboard.py > deploy/grafana/tonegate.json

A test compares the file with what this prints, and every query with the families in the code.
"""
import json

WIDTH, HEIGHT, PER_ROW = 8, 8, 3
EDGE = 'instance=~"$instance"'
ROUTE = EDGE + ', route=~"$route"'


def rate(family, by="", where=EDGE):
    """How often a second, by labels."""
    clause = f" by ({by})" if by else ""
    return f"sum{clause} (rate({family}{{{where}}}[$__rate_interval]))"


def quantiles(family, by="", where=EDGE):
    """The middle, and what one in twenty and one in a hundred exceed."""
    clause = f"le, {by}" if by else "le"
    name = "{{%s}} " % by if by else ""
    return [
        (
            f"histogram_quantile({q}, sum by ({clause}) (rate({family}_bucket{{{where}}}[$__rate_interval])))",
            f"{name}{label}",
        )
        for q, label in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    ]


def of(*names):
    """What a series is called: the values of its labels."""
    return " ".join("{{%s}}" % name for name in names)


# Title, unit, queries with names, what it tells.
ROWS = [
    ("Golden signals", [
        ("Requests", "reqps", [(rate("tonegate_requests_total", "result", ROUTE), of("result"))],
         "Traffic. admitted, or the reason of the refusal."),
        ("Faults", "percentunit", [("tonegate:faults:ratio_rate5m", "faults")],
         "Errors: the part of requests that edge, store, issuer or upstream refused, not the client's fault. "
         "A recording rule of deploy/prometheus/rules.yml."),
        ("From accepted socket to 101", "s", quantiles("tonegate_upgrade_seconds", where=ROUTE),
         "Latency, with the dial upstream and any wait for a turn."),
        ("Sessions and sockets", "short", [
            (f"sum by (instance) (tonegate_sessions{{{ROUTE}}})", "sessions {{instance}}"),
            (f"tonegate_connections{{{EDGE}}}", "sockets {{instance}}"),
        ], "Saturation: against sessions and connections of [limits]."),
        ("Limits", "ops", [(rate("tonegate_limit_hits_total", "limit"), of("limit"))],
         "Saturation: work that a limit refused or put off."),
        ("Ready", "short", [(f"tonegate_ready{{{EDGE}}}", of("instance"))],
         "1 while an edge takes new sessions."),
    ]),
    ("Sessions", [
        ("Sessions by route", "short", [(f"sum by (route) (tonegate_sessions{{{ROUTE}}})", of("route"))], ""),
        ("Endings", "ops", [(rate("tonegate_sessions_ended_total", "by, reason", ROUTE), of("by", "reason"))],
         "By whom and why."),
        ("Duration", "s", quantiles("tonegate_session_seconds", where=ROUTE), ""),
        ("Payload", "Bps", [(rate("tonegate_payload_bytes_total", "direction", ROUTE), of("direction"))], ""),
        ("Waits of server.batch", "ops", [(rate("tonegate_batch_waits_total", "instance"), of("instance"))],
         "Times that a worker let frames gather."),
        ("Messages", "ops", [
            (rate("tonegate_messages_total", "direction", ROUTE), "all {{direction}}"),
            (rate("tonegate_audio_messages_total", "direction", ROUTE), "audio {{direction}}"),
        ], ""),
        ("Near the longest", "ops", [(rate("tonegate_sessions_near_cap_total", "route, upstream", ROUTE),
                                      of("route", "upstream"))],
         "Sessions that will be ended soon, as their upstream allows no longer one."),
        ("Leases", "ops", [(rate("tonegate_leases_total", "route, result", ROUTE), of("route", "result"))],
         "Put off with something new, or ended with what was shown."),
        ("A leg that does not take what waits", "s", quantiles("tonegate_slow_consumer_seconds", "side", ROUTE),
         "Spans of 100 ms and more."),
    ]),
    ("Audio", [
        ("First audio from the 101 or the gate", "s", quantiles("tonegate_first_audio_seconds", "stage",
                                                             ROUTE + ', stage=~"connected|gate"'), ""),
        ("First audio of a turn", "s", quantiles("tonegate_first_audio_seconds", where=ROUTE + ', stage="turn"'),
         "From the end of what the client said."),
        ("Barge-in", "s", quantiles("tonegate_barge_in_seconds", where=ROUTE),
         "From an interruption to the last audio of what it interrupted."),
        ("Gaps", "s", quantiles("tonegate_audio_gap_seconds", "direction", ROUTE),
         "Of 200 ms and more, between two audio messages of one stream."),
        ("Gaps, how often", "ops", [(rate("tonegate_audio_gap_seconds_count", "route, direction", ROUTE),
                                     of("route", "direction"))], ""),
        ("Silence of callers", "s", quantiles("tonegate_caller_silence_seconds", where=ROUTE),
         "Spans of 2 s and more that ACS took for silence."),
    ]),
    ("Calls and gates", [
        ("Gates", "ops", [(rate("tonegate_gates_total", "result", ROUTE), of("result"))], ""),
        ("From first frame to decision", "s", quantiles("tonegate_gate_seconds", where=ROUTE), ""),
        ("Digits", "ops", [(rate("tonegate_gate_digits_total", "feed", ROUTE), of("feed"))],
         "How many, by where they were heard."),
        ("Keys in clients' audio", "ops", [
            (rate("tonegate_dtmf_keys_total", "route", ROUTE), "keys {{route}}"),
            (rate("tonegate_dtmf_unheard_messages_total", "route", ROUTE), "unheard {{route}}"),
        ], ""),
        ("Messages that went no further", "ops",
         [(rate("tonegate_call_messages_dropped_total", "kind", ROUTE), of("kind"))], ""),
        ("Events", "ops", [
            (rate("tonegate_events_total", "event", ROUTE), of("event")),
            (rate("tonegate_events_dropped_total", "why", ROUTE), "dropped: {{why}}"),
        ], ""),
        ("Media that ACS could not stream", "ops",
         [(rate("tonegate_media_failures_total", "detail", ROUTE), of("detail"))], ""),
        ("Call Automation", "ops", [(rate("tonegate_call_automation_operations_total", "operation, result"),
                                     of("operation", "result"))], ""),
        ("Call Automation takes", "s", quantiles("tonegate_call_automation_seconds"), ""),
        ("Calls made", "ops", [(rate("tonegate_calls_made_total", "result", ROUTE), of("result"))], ""),
        ("Webhooks", "ops", [(rate("tonegate_webhooks_total", "result", ROUTE), of("result"))], ""),
    ]),
    ("Upstreams", [
        ("Dials", "ops", [(rate("tonegate_upstream_dials_total", "upstream, result"), of("upstream", "result"))], ""),
        ("A dial takes", "s", quantiles("tonegate_upstream_dial_seconds", "upstream"), "TCP, TLS and upgrade."),
        ("TLS tickets dropped unused", "ops", [
            (rate("tonegate_upstream_tls_tickets_dropped_total", "instance"), of("instance"))], "256 of a host are kept."),
        ("Turns", "ops", [(rate("tonegate_upstream_turns_total", "upstream, result"), of("upstream", "result"))], ""),
        ("Who waits for a turn", "short", [(f"sum by (upstream) (tonegate_upstream_queue{{{EDGE}}})", of("upstream"))], ""),
        ("Wait for a turn", "s", quantiles("tonegate_upstream_queue_seconds", "upstream"), ""),
        ("429 all the same", "ops", [(rate("tonegate_upstream_throttled_total", "upstream"), of("upstream"))], ""),
        ("Tokens of the edge's own", "ops", [
            (rate("tonegate_identity_token_fetches_total", "upstream, result"), of("upstream", "result"))], ""),
    ]),
    ("Who enters", [
        ("Denied", "ops", [(rate("tonegate_requests_total", "route, result",
                                 ROUTE + ', result=~"unauthenticated|forbidden|revoked|rate_limited"'), of("route", "result"))],
         "Who and from where: the records of the audit."),
        ("Tickets", "ops", [(rate("tonegate_tickets_total", "result", ROUTE), of("result"))], ""),
        ("Keys of issuers", "ops", [(rate("tonegate_issuer_key_fetches_total", "issuer, result"), of("issuer", "result"))], ""),
        ("Parameters that went no further", "ops", [(rate("tonegate_dropped_parameters_total", "route", ROUTE), of("route"))], ""),
        ("Taken back", "short", [
            (f"tonegate_revocations{{{EDGE}}}", "in force {{instance}}"),
            (f"tonegate_revocations_age_seconds{{{EDGE}}}", "age in s {{instance}}"),
        ], ""),
        ("Orders", "ops", [(rate("tonegate_orders_total", "kind"), of("kind"))], ""),
    ]),
    ("Store", [
        ("Reachable", "short", [(f"tonegate_store_up{{{EDGE}}}", of("instance"))], ""),
        ("Questions", "ops", [(rate("tonegate_store_operations_total", "operation, result"), of("operation", "result"))], ""),
        ("An answer takes", "s", quantiles("tonegate_store_seconds"), ""),
    ]),
    ("Applications and bots", [
        ("Answers", "ops", [(rate("tonegate_app_answers_total", "route, status", ROUTE), of("route", "status"))], ""),
        ("An answer takes", "s", quantiles("tonegate_app_answer_seconds", where=ROUTE), ""),
        ("Messages of the bot", "ops", [(rate("tonegate_bot_messages_total", "operation, result"), of("operation", "result"))], ""),
        ("A message takes", "s", quantiles("tonegate_bot_message_seconds"), ""),
        ("Notes of the bot", "ops", [(rate("tonegate_bot_notes_total", "note, result"), of("note", "result"))], ""),
        ("Graph", "ops", [(rate("tonegate_graph_lookups_total", "result"), of("result"))], ""),
        ("Graph takes", "s", quantiles("tonegate_graph_lookup_seconds"), ""),
        ("Detectors of personal data", "ops", [(rate("tonegate_pii_detections_total", "detector, result"), of("detector", "result"))], ""),
        ("A detector takes", "s", quantiles("tonegate_pii_detection_seconds", "detector"), ""),
    ]),
    ("Audit and log", [
        ("Records", "ops", [(rate("tonegate_audit_records_total", "event, decision"), of("event", "decision"))], ""),
        ("Audit that fails", "ops", [
            (rate("tonegate_audit_refused_total", "instance"), "refused {{instance}}"),
            (rate("tonegate_audit_errors_total", "instance"), "errors {{instance}}"),
        ], "Nothing may be decided that cannot be recorded."),
        ("Log lines lost", "ops", [
            (rate("tonegate_log_lines_dropped_total", "instance"), "dropped {{instance}}"),
            (rate("tonegate_log_lines_unfiltered_total", "instance"), "unfiltered {{instance}}"),
        ], ""),
        ("Traces", "ops", [(rate("tonegate_traces_total", "result"), of("result"))], ""),
        ("Spans", "ops", [(rate("tonegate_otlp_spans_total", "result"), of("result"))], ""),
    ]),
    ("Doors", [
        ("Sockets", "ops", [(rate("tonegate_connections_total", "instance"), of("instance"))], ""),
        ("What fails before a request", "ops", [
            (rate("tonegate_tls_handshake_failures_total", "instance"), "TLS {{instance}}"),
            (rate("tonegate_proxy_header_failures_total", "instance"), "PROXY {{instance}}"),
            (rate("tonegate_accept_errors_total", "instance"), "accept {{instance}}"),
        ], ""),
        ("Until certificates end", "s", [
            (f"min by (use, name) (tonegate_certificate_expiry_seconds{{{EDGE}}})", of("use", "name"))], ""),
    ]),
    ("Edges", [
        ("Version", "short", [(f"sum by (version) (tonegate_build_info{{{EDGE}}})", of("version"))], ""),
        ("Draining", "short", [(f"tonegate_draining{{{EDGE}}}", of("instance"))], ""),
        ("Sessions of a drain", "ops", [(rate("tonegate_drained_sessions_total", "how"), of("how"))], ""),
        ("Handovers", "ops", [(rate("tonegate_handovers_total", "outcome"), of("outcome"))], ""),
        ("Settings in force", "short", [(f"tonegate_settings_in_force{{{EDGE}}}", of("instance"))],
         "0 while a file is not what the edge goes by: the log says why."),
        ("Settings read anew", "ops", [(rate("tonegate_settings_loads_total", "result"), of("result"))], ""),
        ("Age of the settings", "s", [(f"time() - tonegate_settings_loaded_timestamp_seconds{{{EDGE}}}", of("instance"))], ""),
        ("Operators who were refused", "ops", [(rate("tonegate_admin_refused_total", "reason"), of("reason"))], ""),
        ("Panics", "ops", [(rate("tonegate_panics_total", "where"), of("where"))], ""),
        ("--insecure-dev", "short", [(f"tonegate_insecure_dev{{{EDGE}}}", of("instance"))], ""),
    ]),
]

SOURCE = {"type": "prometheus", "uid": "${source}"}


def panel(number, title, unit, queries, tells, x, y):
    letters = "ABCDEFGHIJ"
    return {
        "id": number,
        "type": "timeseries",
        "title": title,
        "description": tells,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0, "custom": {"fillOpacity": 10, "showPoints": "never"}},
                        "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"},
                    "tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": [
            {"refId": letters[i], "datasource": SOURCE, "expr": expr, "legendFormat": name}
            for i, (expr, name) in enumerate(queries)
        ],
    }


def dashboard():
    panels, y, number = [], 0, 1
    for title, row in ROWS:
        panels.append({"id": number, "type": "row", "title": title, "collapsed": False, "panels": [],
                       "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}})
        number, y = number + 1, y + 1
        for i, (name, unit, queries, tells) in enumerate(row):
            panels.append(panel(number, name, unit, queries, tells, i % PER_ROW * WIDTH, y + i // PER_ROW * HEIGHT))
            number += 1
        y += -(-len(row) // PER_ROW) * HEIGHT

    def variable(name, label, query):
        return {"name": name, "label": label, "type": "query", "datasource": SOURCE, "refresh": 2, "multi": True,
                "includeAll": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"},
                "query": {"query": query, "refId": name}, "definition": query}

    return {
        "uid": "tonegate",
        "title": "tonegate",
        "tags": ["tonegate"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [
            {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
            variable("instance", "Edge", "label_values(tonegate_build_info, instance)"),
            variable("route", "Route", "label_values(tonegate_requests_total, route)"),
        ]},
        "panels": panels,
    }


print(json.dumps(dashboard(), indent=1, ensure_ascii=False))
