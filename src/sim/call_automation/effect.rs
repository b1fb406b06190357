//! What a sound request does, and how it is answered.
//!
//! Owns the rules of calls and of repeated requests. Refuses to know HTTP.

use super::answer::Answer;
use super::connection::{Connection, Origin, Parties, Phase};
use super::desk::{Desk, Fate, Remembered};
use super::line::Line;
use super::manner::{Manner, Trouble};
use super::record::{Asked, Event, Violation};
use super::request::{Ask, Operation};
use super::story::{self, Aside};
use crate::sim::acs::guid;
use aws_lc_rs::digest;
use serde_json::Value;
use std::sync::Arc;
use tokio::time::sleep;

/// A request's answer, and what begins with it.
struct Effect {
    answer: Answer,
    then: Then,
}

enum Then {
    Nothing,
    Begin(Line),
    End(Line),
    Start(Line, Aside),
    Stop(Line, Aside),
}

/// Answers a sound request; `None` where the answer is lost on purpose.
pub(super) async fn answer(desk: &Arc<Desk>, ask: Ask) -> Option<Answer> {
    let trouble = desk.take_trouble(ask.operation);
    match trouble {
        Some(Trouble::Status(status)) => {
            asked(desk, &ask, status, false);
            return Some(Answer::refusal(status, "Trouble", "told to fail"));
        }
        Some(Trouble::Later(status, seconds)) => {
            asked(desk, &ask, status, false);
            let refusal = Answer::refusal(status, "Trouble", "told to fail");
            return Some(refusal.with("Retry-After", seconds.to_string()));
        }
        Some(Trouble::Held(pause)) => sleep(pause).await,
        Some(Trouble::Lost) | None => {}
    }
    let lost = trouble == Some(Trouble::Lost);
    let print = print(&ask);
    let id = ask.repeatability.as_ref().map(|(id, _)| id.clone());
    if let Some(first) = id.as_deref().and_then(|id| desk.remembered(id)) {
        if first.print != print {
            let wrong = Violation::Repeatability("the id of another request");
            desk.happened(Event::Wrong(412, wrong));
            let refusal = Answer::refusal(412, "BadRepeatability", "the id of another request");
            return Some(refusal.with("Repeatability-Result", "rejected"));
        }
        asked(desk, &ask, if lost { 0 } else { first.answer.status }, true);
        return (!lost).then_some(first.answer);
    }
    let manner = desk.manner();
    let Effect { mut answer, then } = match effect(desk, &ask, &manner) {
        Ok(effect) => effect,
        Err((answer, violation)) => {
            desk.happened(Event::Wrong(answer.status, violation));
            return Some(answer);
        }
    };
    if let Some(id) = id {
        answer = answer.with("Repeatability-Result", "accepted");
        let answer = answer.clone();
        desk.remember(Remembered { id, print, answer });
    }
    asked(desk, &ask, if lost { 0 } else { answer.status }, false);
    if let Then::Begin(line) = &then
        && let super::manner::Begins::Before(_) = manner.begins
    {
        story::begin(line).await;
        sleep(manner.slow).await;
    } else {
        sleep(manner.slow).await;
        follow(desk, then).await;
    }
    (!lost).then_some(answer)
}

/// What a request sets off goes on by itself, whatever becomes of the connection.
async fn follow(desk: &Arc<Desk>, then: Then) {
    match then {
        Then::Nothing => {}
        Then::Begin(line) => story::begin(&line).await,
        Then::End(line) => drop(desk.spawn(async move { story::end(&line).await })),
        Then::Start(line, aside) => drop(desk.spawn(async move {
            story::stream(&line, "subscriptionStarted", Some(&aside)).await;
        })),
        Then::Stop(line, aside) => {
            drop(desk.spawn(async move { story::stop(&line, &aside).await }));
        }
    }
}

fn asked(desk: &Desk, ask: &Ask, status: u16, repeated: bool) {
    desk.happened(Event::Asked(Asked {
        operation: ask.operation,
        status,
        request_id: ask.repeatability.as_ref().map(|(id, _)| id.clone()),
        repeated,
        shown: ask.shown,
        connection: ask.connection.clone(),
        body: ask.body.clone(),
    }));
}

/// What two requests have in common that are the same.
fn print(ask: &Ask) -> Vec<u8> {
    let text = format!("{:?}\n{:?}\n{}", ask.operation, ask.connection, ask.body);
    let print = digest::digest(&digest::SHA256, text.as_bytes());
    print.as_ref().to_vec()
}

type Outcome = Result<Effect, (Answer, Violation)>;

fn effect(desk: &Arc<Desk>, ask: &Ask, manner: &Manner) -> Outcome {
    let id = ask.connection.as_deref().unwrap_or_default();
    match ask.operation {
        Operation::Answer => answered(desk, &ask.body, manner),
        Operation::Create => created(desk, &ask.body, manner),
        Operation::Redirect => turned(desk, &ask.body, Fate::Redirected),
        Operation::Reject => turned(desk, &ask.body, Fate::Rejected),
        Operation::Get => {
            let line = living(desk, id)?;
            let answer = Answer::new(200, line.connection.properties());
            let then = Then::Nothing;
            Ok(Effect { answer, then })
        }
        Operation::HangUp | Operation::Terminate => {
            let line = living(desk, id)?;
            let (answer, then) = (Answer::empty(204), Then::End(line));
            Ok(Effect { answer, then })
        }
        Operation::StartMedia | Operation::StopMedia => media(desk, id, ask),
        Operation::StartDtmf | Operation::StopDtmf => dtmf(desk, id, ask),
    }
}

fn gone() -> (Answer, Violation) {
    let answer = Answer::refusal(404, "8522", "Call not found.");
    (answer, Violation::State("no such call"))
}

fn not_now(what: &'static str) -> (Answer, Violation) {
    let violation = Violation::State(what);
    (violation.answer(), violation)
}

fn living(desk: &Desk, id: &str) -> Result<Line, (Answer, Violation)> {
    desk.living(id).ok_or_else(gone)
}

fn connected(desk: &Desk, id: &str) -> Result<Line, (Answer, Violation)> {
    let line = living(desk, id)?;
    if line.phase() != Phase::Connected {
        return Err(not_now("the call is not connected"));
    }
    Ok(line)
}

fn answered(desk: &Arc<Desk>, body: &Value, manner: &Manner) -> Outcome {
    let context = body["incomingCallContext"].as_str().unwrap_or_default();
    let ringing = match desk.settle(context, Fate::Answered) {
        Ok(ringing) => ringing,
        Err(Some(Fate::GivenUp)) => return Err(gone()),
        Err(Some(_)) => return Err(not_now("the call was answered or turned away before")),
        Err(None) => return Err(not_now("no such incoming call context")),
    };
    let parties = Parties {
        server_call: ringing.server_call,
        correlation: ringing.correlation,
        far: ringing.far,
        ani: ringing.ani,
    };
    let line = begin(desk, Origin::Answered, parties, body, manner);
    let answer = Answer::new(200, line.connection.properties());
    let then = Then::Begin(line);
    Ok(Effect { answer, then })
}

fn created(desk: &Arc<Desk>, body: &Value, manner: &Manner) -> Outcome {
    let far = body["targets"][0].clone();
    let number = far["phoneNumber"]["value"].as_str().unwrap_or_default();
    if far.get("phoneNumber").is_some() && body.get("sourceCallerIdNumber").is_none() {
        let what = "a telephone is called from a number: sourceCallerIdNumber";
        return Err(not_now(what));
    }
    let parties = Parties {
        server_call: server_call(),
        correlation: guid(),
        ani: number.to_owned(),
        far,
    };
    let line = begin(desk, Origin::Created, parties, body, manner);
    let answer = Answer::new(201, line.connection.properties());
    let then = Then::Begin(line);
    Ok(Effect { answer, then })
}

fn begin(
    desk: &Arc<Desk>,
    origin: Origin,
    parties: Parties,
    body: &Value,
    manner: &Manner,
) -> Line {
    let connection = Connection::new(origin, parties, body, manner);
    let line = Line {
        desk: Arc::clone(desk),
        connection: Arc::new(connection),
    };
    desk.add(line.clone());
    line
}

fn turned(desk: &Desk, body: &Value, fate: Fate) -> Outcome {
    let context = body["incomingCallContext"].as_str().unwrap_or_default();
    match desk.settle(context, fate) {
        Ok(_) => Ok(Effect {
            answer: Answer::empty(204),
            then: Then::Nothing,
        }),
        Err(Some(Fate::GivenUp)) => Err(gone()),
        Err(Some(_)) => Err(not_now("the call was answered or turned away before")),
        Err(None) => Err(not_now("no such incoming call context")),
    }
}

fn media(desk: &Desk, id: &str, ask: &Ask) -> Outcome {
    let line = connected(desk, id)?;
    if line.connection.media.is_none() {
        return Err(not_now("the call has no media streaming options"));
    }
    let streams = line
        .connection
        .with(|state| state.hand.is_some() || state.dialling);
    let aside = aside(&ask.body);
    let then = match (ask.operation, streams) {
        (Operation::StartMedia, true) => return Err(not_now("media streaming was started")),
        (Operation::StartMedia, false) => Then::Start(line, aside),
        (_, true) => Then::Stop(line, aside),
        (_, false) => return Err(not_now("media streaming was not started")),
    };
    let answer = Answer::empty(202);
    Ok(Effect { answer, then })
}

fn aside(body: &Value) -> Aside {
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    Aside {
        url: text("operationCallbackUri"),
        context: text("operationContext"),
    }
}

fn dtmf(desk: &Desk, id: &str, ask: &Ask) -> Outcome {
    let line = connected(desk, id)?;
    if !line.connection.is_far(&ask.body["targetParticipant"]) {
        return Err(not_now("the participant is not in the call"));
    }
    let on = ask.operation == Operation::StartDtmf;
    line.connection.with(|state| state.listens = on);
    Ok(Effect {
        answer: Answer::empty(200),
        then: Then::Nothing,
    })
}

/// A server call id: base64 of a URL, as ACS' are.
pub(super) fn server_call() -> String {
    use base64::Engine as _;
    let url = format!("https://conv.example.com/conv/{}", guid());
    base64::engine::general_purpose::STANDARD.encode(url)
}
