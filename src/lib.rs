//! tonegate stands in front of Azure voice: one binary where a TLS proxy, a Node relay and a
//! gateway stood. It terminates TLS, decides who may enter **before** the `101`, and forwards
//! media to Azure Voice Live without touching a byte it does not have to touch. Phone calls come
//! from Azure Communication Services (ACS); a caller's code opens the gate before the agent hears
//! anything.
//!
//! This page is the map. It is the living design, and the tests in `tests/layering.rs` read it.
//!
//! # Words
//!
//! | word | means |
//! | --- | --- |
//! | *client*, *upstream* | who dials us; whom we dial. Each is a *leg* |
//! | [`Side`](error::Side) | blame: client, upstream, edge (ourselves) |
//! | [`Direction`](error::Direction) | movement: up is from the client to the upstream |
//! | *caller* | the client as its own credential names it |
//! | *hop* | a proxy in front of us, listed in the settings: its word on the client is believed |
//! | *session* | our object, from a [`Grant`](admission::Grant) to an [`Ending`](relay::Ending) |
//! | *generation* | one reading of the settings with all that was built of it: the [`listener::doors`] that connections go through |
//! | [*lease*](relay::Lease) | until when a session may last by what was shown for it |
//! | *call* | the telephony fact |
//! | *contact* | what another cloud calls the call that it hands over |
//! | *frame*, *block*, *message* | RFC 6455; signal processing; JSON |
//! | *record* | the one line that a decision has in the [`audit`]; of a call or a session also what the store has |
//! | *admission* | decides before the upgrade |
//! | [*gate*](gate) | the second stage, inside a connected call, opened by digits |
//! | *forward* | moves frames as they are |
//! | [*bridge*](relay::bridge) | translates messages of ACS to those of Voice Live and back |
//! | *replica* | an edge, as one of those that share a store |
//! | *drain* | the edge takes nothing new, and those that run have `grace`: [`drain`] |
//! | *handover* | a process gives its listening sockets to the one that takes its place; a call is *handed over* |
//! | [*store*](store) | session keys that others write, and what the edges know of each other's calls and sessions |
//! | *order* | what every edge is to do about a session; to *revoke* is to end and to shut out |
//! | [*glance*, *look*](store) | a session asks whether its call is still its own: with others, and by itself where that says no |
//! | *turn* | leave to connect to an upstream once; all edges share so many in a window |
//! | *quota* | what an upstream's turns are counted by |
//! | *place* | one of the sessions that a shared limit allows; an edge that dies frees its places after `limits.lease` |
//! | [*witness*](listener::witness) | what the edge saw of a request that `tonegate doctor` sent to its public address |
//! | *party* | a tenant, or who else counts as one, that turns are shared among |
//! | *operator* | whoever runs the edge, and asks its [admin listener](listener::admin) |
//! | *tail* | what crosses a session, as somebody looks on: kinds, lengths, times, never content |
//! | [`Reason`](error::Reason) | why something ended, from one closed list |
//! | [*trace*](trace::Trace), *span* | what several processes call one thing, W3C Trace Context; a part of it |
//!
//! No synonyms, in code, metrics, logs, settings or documentation.
//!
//! # Life of a call
//!
//! 1. [`listener`] takes a socket permit, accepts, hears from a hop that speaks the PROXY protocol
//!    who the client is, completes TLS within a deadline, and keeps
//!    what certificate the client has proved.
//! 2. [`listener::head`] reads the raw request head and judges it; only then hyper parses it.
//!    [`listener::http`] hears from a hop that speaks HTTP who the client is, matches the route and
//!    asks [`admission`] for a `Grant`: network, rate, origin, query, credential, identity, call, ask,
//!    limits. Those that edges share are counted by the store. Without a `Grant` there is an HTTP status with a
//!    problem document, or an error message and a close frame.
//! 3. `session::dial` takes a turn to connect, or waits for one in a queue that is fair, and [`upstream`]
//!    dials before the `101`, so that a refusal there is still an HTTP status. It shows
//!    the caller's own token, a key, or a token of the platform for the edge itself, which one future
//!    per identity keeps fresh.
//! 4. `101`. hyper gives the socket back; what had been read beyond the head was kept apart from
//!    it. TLS session and socket are taken apart ([`tls::Stream`], [`relay::Leg`]); neither owns a buffer,
//!    all connections of a thread have the one in [`buffer`].
//! 5. [`session`] owns the legs and every guard: permit, slot, gauges, registry entry. Its lease ends with
//!    what was shown, or later for who shows something new; it ends before the upstream would end it; all
//!    edges are told by the store that it runs.
//! 6. [`relay`] moves frames: one task, two pumps, no queue and no buffer of its own. [`ws`] finds
//!    frame boundaries in place, [`tap`] looks at the frames and counts, and where a route observes
//!    keys it listens to the client's audio with [`dtmf`].
//!    Of a phone call the messages are heard, and the [bridge](relay::bridge) writes others.
//!    Whatever the grant was given for may be taken back: [`session`] reads such orders from the store,
//!    its registry ends who is named, and [`admission`] refuses them.
//! 7. The first ending wins. Its `Reason` and `Side` are the close code, the log line and the
//!    metric label. [`drain`] says for the whole process whether it takes new sessions, and until when
//!    those that run may go on.
//!
//! Whatever runs is told to end, and looked at, through its [`relay::Handle`], which its registry entry has;
//! [`listener::admin`] shows it to the operator, also for a while after its end.
//!
//! What is decided on the way, at 2, at a gate and at 7, has one record each in the [`audit`], if there is
//! one; nothing is decided that could not be recorded.
//!
//! # What is different for a phone call
//!
//! 0. Unless others do that, [`telephony`] hears from Event Grid that it rings, notes in the store
//!    what signalling says, and has it answered, with a signed media URL and a place for callbacks.
//!    Or whoever may ask has a call made, which is bound to who that is before ACS hears of it.
//! 1. ACS dials the media URL of the call. `listener::calls` asks the [`store`], after [`admission`]
//!    and before the `101`: is the call known, is ACS' token unspent, and, where the flow needs no
//!    digits, is its session key there.
//! 2. Where digits are needed nothing is dialled yet. The relay hears the caller alone, and the
//!    [`gate`] decides from digits and time. What it asks, `session::call` does: try a code at the
//!    store, dial the upstream.
//!    Where Call Automation tells of keys, [`telephony`] puts them into the store, and the session
//!    that waits for them reads them there.
//! 3. From the end of the last key on the audio goes on, in Voice Live's messages, or to an
//!    orchestrator as it came. When the socket drops, the verdict holds for a while; a second socket
//!    of the call takes it over.
//! 4. Where another cloud handed the call over ([`telephony`]), the store says with the verdict for which
//!    contact, and `session::contact` tells that cloud what became of it, by
//!    [`upstream::webhook`]; nobody in the call waits for that.
//! 5. ACS does not end a call whose media socket is closed. Where the edge ended the session,
//!    [`upstream::call_automation`] hangs the call up, when the session has given everything back.
//!
//! # Rows
//!
//! A module imports from strictly lower rows, and within its own folder.
//!
//! | row | modules |
//! | --- | --- |
//! | 11 | `cli` |
//! | 10 | `app` |
//! | 9 | `listener` |
//! | 8 | `telephony`, `bot` |
//! | 7 | `session` |
//! | 6 | `relay`, `admission` |
//! | 5 | `gate`, `store`, `tap` |
//! | 4 | `upstream`, `audit`, `panics` |
//! | 3 | `config`, `metrics`, `log`, `drain`, `tls` |
//! | 2 | `dtmf` |
//! | 1 | `audio`, `buffer`, `wire`, `ws` |
//! | 0 | `error`, `ids`, `label`, `secret`, `trace` |
//!
//! `sim`, the simulated peers, imports nothing of ours but the generator of tones (`dtmf`, `audio`),
//! and only `cli`, tests, benches and the load test import it: an independent peer on purpose.
//!
//! # What is not there
//!
//! * Nothing in rows 0 to 2, in `tap`, in `gate`, in `bot::rewrite` and in `bot::pii` knows of tokio,
//!   sockets, clocks or logging (below row 3 [`ws::handshake`] alone knows HTTP types).
//! * rustls is named in `tls`, `listener/tls`, `listener/expiry`, `upstream` and `sim`, nowhere
//!   else; webpki, which reads the names in a client's certificate and when one ends, in the first two.
//! * fred is named in `store/redis`, nowhere else.
//! * jsonwebtoken is named in `admission/jwt`, `admission/jwks`, `admission/media_url`,
//!   `admission/ticket` and `config`, nowhere else. Keys of issuers are fetched by one future each, which
//!   `app` runs: no request fetches anything.
//! * ppp is named in `listener/proxy`, nowhere else.
//! * Environment variables are read in `config/env`, nowhere else.
//! * sd-notify, which reads them, too, is named there, nowhere else; descriptors are passed on in
//!   `listener/handover`.
//! * `unsafe` is in `dtmf/simd` and, for descriptors that were inherited, in `listener/inherit`, nowhere else.
//! * No session changes thread: one runtime per worker, and what all of them share (registry,
//!   slots, permits, metrics) is shared by design, not by lock around the media path.
//! * No digit leaves the process, in a log line, a metric or an error: the events of [`tap`] and the
//!   [`gate`] hold them, and what is told is their number. A code goes to the store, in the name of
//!   its key.
//! * A payload that is forwarded is not copied, parsed or encoded between the two TLS sessions; that
//!   of a bridged call is lifted out of one envelope into the other, undecoded. Control frames and
//!   unfinished headers, 131 bytes at the most, are held until they can be judged. On a route with
//!   a lock on models a message of the client is held until it is whole and looked at
//!   (`relay/policy`, the only thing that may stop a message).
//! * [`log`] knows nothing of personal data: `cli` hands it a filter of [`bot::pii`], which the log's own
//!   thread runs over each line. The [`audit`] is not filtered: it says who.
//! * Nothing that is in force changes piece by piece: a new generation of the settings takes the place of the one
//!   before ([`app`]), or does not. What must outlive its settings is shared from one to the next; a session
//!   holds what it was given, and its generation's futures run until nobody holds what they are for.
//! * A panic ends one thing: what is served is run by [`panics`]; a relay, a webhook and a thread see to
//!   themselves. What no edge can be without is begun anew, and after eight panics the process ends.
//! * Threads are begun in `app/threads` (workers, `store`, settings, the operator), `audit` and `log`, nowhere
//!   else.
//! * dashmap is named in `admission/slot`, `admission/rate`, `admission/minutes` and `session/registry`;
//!   tungstenite in `ws/handshake` and `sim`; nowhere else.
//! * rcgen serves only in `sim`.
//!
//! # Tour
//!
//! Read [`error`] for the endings, then [`listener::http`], [`admission`], [`relay`], [`ws::scan`].
//! For phone calls then [`telephony`], [`gate`], [`store`], [`relay::bridge`].
//! What people see is in `listener/page`: HTML, CSS and JavaScript that are in the binary as they are.
//! How the process begins, reads settings anew, is replaced and ends: [`app`], `app/reload`, [`drain`],
//! [`listener::handover`]. What an operator sees: [`listener::admin`], and `cli/admin`, which asks it. What is
//! tried before the first call: `cli/doctor`.
//! A trace is [`trace`]; `listener/trace` hears of it, `upstream/trace` tells of it, `upstream/otlp` sends its
//! spans.
//! What edges tell each other goes by three futures on the thread `store`: `session::orders` (what is taken
//! back, ended, refreshed; read twice a second), `session::announce` (which sessions run; where a route is
//! of kind `sessions`), `admission::shared` (places and minutes; three times in `limits.lease`). Turns are taken
//! as they are needed: `session::dial`.
//! [`dtmf`] stands for itself; [`tap`] and [`gate`] feed it from calls, `tonegate dtmf` from files.

pub mod cli;

pub mod app;

pub mod listener;

pub mod admission;
pub mod bot;
pub mod telephony;

pub mod session;

pub mod gate;
pub mod relay;
pub mod store;
pub mod tap;

pub mod audit;
pub mod panics;
pub mod upstream;

pub mod config;
pub mod drain;
pub mod log;
pub mod metrics;
pub mod tls;

pub mod dtmf;

pub mod audio;
pub mod buffer;
pub mod wire;
pub mod ws;

pub mod error;
pub mod ids;
pub mod label;
pub mod secret;
pub mod trace;

pub mod sim;
