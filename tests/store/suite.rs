//! What the store promises, whatever keeps it: each test runs over all engines.

use std::time::Duration;

use tonegate::config::Rate;
use tonegate::ids::SessionId;
use tonegate::label::Label;
use tonegate::secret::Digest;
use tonegate::store::{
    Attempt, CallEnded, Enter, Entered, Facts, Kept, Known, Needs, Still, Tones, Tried,
};

use crate::glance::{
    a35_a_glance_says_no_of_all_that_is_not_what_it_was,
    a35_a_verdict_that_is_no_more_is_seen_at_a_glance_and_its_call_s_alone,
};
use crate::orders::{
    a35_an_order_is_read_by_every_edge_from_where_it_stopped,
    a35_an_order_that_has_ended_makes_room, a35_an_order_that_is_written_again_is_one,
    a35_what_the_log_has_lost_is_written_again_and_what_it_has_is_not,
};
use crate::pace::{
    u8_a_quota_that_is_shut_has_no_turn_for_any_edge,
    u8_of_thirty_who_race_for_ten_turns_ten_have_one,
    u8_turns_are_of_all_edges_together_and_free_when_they_are_over,
    u8_what_was_taken_while_the_store_was_away_counts_first,
};
use crate::people::{
    c22_a_note_ends_and_each_writing_renews_it, c22_a_note_has_its_bound,
    c22_a_note_is_found_by_every_edge_until_it_is_dropped,
};
use crate::running::{
    c13_a_session_that_runs_is_found_by_whose_it_is_at_every_edge,
    c13_so_many_are_found_as_are_wanted_and_whether_there_are_more,
    c13_what_is_told_of_a_session_ends_unless_it_is_told_again,
};
use crate::under::{Call, HOUR, Under, eventually, random_ani, random_id};

macro_rules! on_every_engine {
    ($($test:ident),+ $(,)?) => {
        on_every_engine!(@ memory: $($test),+);
        on_every_engine!(@ single: $($test),+);
        on_every_engine!(@ tls: $($test),+);
        on_every_engine!(@ cluster: $($test),+);
        on_every_engine!(@ sentinel: $($test),+);
    };
    (@ $engine:ident: $($test:ident),+) => {
        mod $engine {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(super::Under::$engine().await).await;
                }
            )+
        }
    };
}

pub(crate) use on_every_engine;

on_every_engine!(
    a18_an_unknown_call_is_refused_until_it_is_known,
    a18_a_signed_url_makes_the_record_and_may_not_contradict_it,
    a18_a_call_is_bound_to_the_first_connection,
    a18_a_call_is_bound_to_the_route_that_it_came_by,
    a18_a_record_that_somebody_wrote_may_not_be_contradicted_either,
    a02_a_token_is_spent_once,
    a02_a_refusal_spends_and_consumes_nothing,
    a02_of_thirty_callers_with_one_token_one_enters,
    a14_the_api_flow_consumes_its_key_once,
    a13_the_sip_flow_finds_its_key_by_the_record,
    a18_a_key_that_is_not_consumed_stays,
    a18_of_thirty_callers_for_one_key_one_wins,
    a12_the_right_code_opens_and_a_wrong_one_does_not,
    a12_the_same_try_again_is_the_same_answer_and_counts_once,
    a29_a_call_has_so_many_tries_in_all_its_sessions,
    a29_failures_of_a_caller_count_across_calls_and_edges,
    a29_the_window_of_failures_ends,
    a29_a_shared_number_locks_nobody_out_but_its_key_does,
    a29_failures_of_a_route_count_together,
    a25_a_verdict_holds_for_the_resume_window_and_no_longer,
    a25_a_second_session_takes_the_call_over,
    a25_a_call_that_is_given_back_is_whose_it_was,
    a27_an_expired_key_opens_nothing,
    a19_a_session_sees_what_its_call_is_to_it,
    a35_a_glance_says_no_of_all_that_is_not_what_it_was,
    a35_a_verdict_that_is_no_more_is_seen_at_a_glance_and_its_call_s_alone,
    a03_an_event_is_taken_once_and_may_be_given_back,
    a06_keys_of_callbacks_reach_the_session_that_has_the_call,
    a06_a_call_has_so_many_keys_and_one_that_nobody_knows_has_none,
    a06_a_call_that_is_over_opens_for_nobody,
    a26_a_made_call_is_unknown_until_its_connection_is_and_then_that_ones,
    a26_a_made_call_comes_by_its_own_url_and_is_made_of_none,
    a26_the_session_key_of_another_made_call_opens_nothing,
    a26_a_made_call_is_told_as_it_goes,
    c22_a_note_is_found_by_every_edge_until_it_is_dropped,
    c22_a_note_ends_and_each_writing_renews_it,
    c22_a_note_has_its_bound,
    a35_an_order_is_read_by_every_edge_from_where_it_stopped,
    a35_an_order_that_is_written_again_is_one,
    a35_an_order_that_has_ended_makes_room,
    a35_what_the_log_has_lost_is_written_again_and_what_it_has_is_not,
    c13_a_session_that_runs_is_found_by_whose_it_is_at_every_edge,
    c13_what_is_told_of_a_session_ends_unless_it_is_told_again,
    c13_so_many_are_found_as_are_wanted_and_whether_there_are_more,
    u8_turns_are_of_all_edges_together_and_free_when_they_are_over,
    u8_of_thirty_who_race_for_ten_turns_ten_have_one,
    u8_what_was_taken_while_the_store_was_away_counts_first,
    u8_a_quota_that_is_shut_has_no_turn_for_any_edge,
);

async fn a18_an_unknown_call_is_refused_until_it_is_known(under: Under) {
    let call = Call::new();
    let store = under.store();
    assert_eq!(call.enter(store, Needs::Dialled).await, Entered::Unknown);
    assert_eq!(call.enter(store, Needs::Nothing).await, Entered::Unknown);
    // The other edge answers the call.
    call.note(under.other()).await;
    assert_eq!(call.enter(store, Needs::Dialled).await, call.pending());
}

async fn a18_a_signed_url_makes_the_record_and_may_not_contradict_it(under: Under) {
    let store = under.store();
    let call = Call::new();
    let signed = Facts {
        correlation: None,
        ..call.facts.clone()
    };
    let ask = Enter {
        signed: Some(&signed),
        ..call.ask(Needs::Dialled)
    };
    assert_eq!(store.enter(&ask).await.unwrap(), call.pending());
    let contradictions = [
        Facts {
            ani: Some(random_ani()),
            ..signed.clone()
        },
        Facts {
            sip: Some(random_id()),
            ..signed.clone()
        },
        Facts {
            connection: Some(random_id()),
            ..signed.clone()
        },
    ];
    for contradiction in &contradictions {
        let again = call.again();
        let ask = Enter {
            signed: Some(contradiction),
            ..again.ask(Needs::Dialled)
        };
        let entered = under.other().enter(&ask).await.unwrap();
        assert_eq!(entered, Entered::OtherConnection, "{contradiction:?}");
    }
    // None of them changed what is known, and one that says less is no contradiction.
    let again = call.again();
    let less = Facts::default();
    let ask = Enter {
        signed: Some(&less),
        ..again.ask(Needs::Dialled)
    };
    assert_eq!(store.enter(&ask).await.unwrap(), call.pending());
    // A URL and a socket of two connections, and no record that could tell.
    let call = Call::new();
    let ask = Enter {
        signed: Some(&contradictions[2]),
        ..call.ask(Needs::Dialled)
    };
    assert_eq!(store.enter(&ask).await.unwrap(), Entered::OtherConnection);
    assert_eq!(call.enter(store, Needs::Dialled).await, Entered::Unknown);
}

async fn a18_a_call_is_bound_to_the_first_connection(under: Under) {
    let store = under.store();
    let call = Call::new();
    let said = Facts {
        connection: None,
        correlation: None,
        ..call.facts.clone()
    };
    store.note_call(&call.id, &said).await.unwrap();
    assert_eq!(call.enter(store, Needs::Dialled).await, call.pending());
    let other = random_id();
    let again = call.again();
    let ask = Enter {
        connection: Some(&other),
        ..again.ask(Needs::Dialled)
    };
    assert_eq!(store.enter(&ask).await.unwrap(), Entered::OtherConnection);
    let another = random_id();
    let ask = Enter {
        correlation: Some(&another),
        ..again.ask(Needs::Dialled)
    };
    assert_eq!(under.other().enter(&ask).await.unwrap(), call.pending());
}

/// What one route asks of a call another one may not have asked.
async fn a18_a_call_is_bound_to_the_route_that_it_came_by(under: Under) {
    let store = under.store();
    let mut open = Call::new();
    open.route = Label::new("open").unwrap();
    open.note(store).await;
    assert_eq!(
        open.enter(store, Needs::Nothing).await,
        open.authorised(false)
    );
    let gated = open.again();
    let entered = gated.enter(under.other(), Needs::Dialled).await;
    assert_eq!(entered, Entered::OtherConnection);
    let mut again = open.again();
    again.route = open.route.clone();
    let entered = again.enter(under.other(), Needs::Nothing).await;
    assert_eq!(entered, open.authorised(true));
}

async fn a18_a_record_that_somebody_wrote_may_not_be_contradicted_either(under: Under) {
    let store = under.store();
    let call = Call::new();
    let wrong = Facts {
        ani: Some(random_ani()),
        ..Facts::default()
    };
    let ask = |signed| Enter {
        signed: Some(signed),
        makes: false,
        ..call.ask(Needs::Dialled)
    };
    let unknown = store.enter(&ask(&wrong)).await.unwrap();
    assert_eq!(unknown, Entered::Unknown, "nothing is made of it");
    call.note(store).await;
    let entered = store.enter(&ask(&wrong)).await.unwrap();
    assert_eq!(entered, Entered::OtherConnection);
    let entered = store.enter(&ask(&call.facts)).await.unwrap();
    assert_eq!(entered, call.pending());
}

async fn a02_a_token_is_spent_once(under: Under) {
    let call = Call::dialled(under.store()).await;
    // The answer was lost, and the same session asks again.
    assert_eq!(
        call.enter(under.store(), Needs::Dialled).await,
        call.pending()
    );
    // Another session, the same token, for the same call and for another one.
    let stranger = Call {
        token: call.token,
        ..Call::new()
    };
    stranger.note(under.store()).await;
    let same = Call {
        token: call.token,
        ..call.again()
    };
    for thief in [&same, &stranger] {
        let entered = thief.enter(under.other(), Needs::Dialled).await;
        assert_eq!(entered, Entered::Spent);
    }
    // Whoever was refused has not taken the call over.
    let still = under.store().look(&call.id, call.owner).await.unwrap();
    assert_eq!(still, Still::Ours);
    // Only its own session gives it back.
    under
        .other()
        .give_back(&call.given_back(same.owner))
        .await
        .unwrap();
    let entered = stranger.enter(under.other(), Needs::Dialled).await;
    assert_eq!(entered, Entered::Spent);
    under
        .store()
        .give_back(&call.given_back(call.owner))
        .await
        .unwrap();
    let entered = stranger.enter(under.other(), Needs::Dialled).await;
    assert_eq!(entered, stranger.pending());
}

async fn a02_a_refusal_spends_and_consumes_nothing(under: Under) {
    let store = under.store();
    let call = Call::new();
    let key = store.keys().api(call.connection());
    store.put_key(&key, HOUR).await.unwrap();
    let needs = Needs::ApiKey { consume: true };
    assert_eq!(call.enter(store, needs).await, Entered::Unknown);
    call.note(store).await;
    let other = random_id();
    let ask = Enter {
        connection: Some(&other),
        ..call.ask(needs)
    };
    assert_eq!(store.enter(&ask).await.unwrap(), Entered::OtherConnection);
    let sip = Needs::SipKey { consume: true };
    assert_eq!(call.enter(store, sip).await, Entered::NoKey);
    // The key is there and the token is good, for another session even.
    let session = Call {
        token: call.token,
        ..call.again()
    };
    let entered = session.enter(under.other(), needs).await;
    assert_eq!(entered, call.authorised(false));
}

async fn a02_of_thirty_callers_with_one_token_one_enters(under: Under) {
    let token = Digest::of(&SessionId::random().to_string());
    let callers = (0..30).map(|_| {
        let store = under.shared();
        tokio::spawn(async move {
            let call = Call {
                token,
                ..Call::new()
            };
            call.note(&store).await;
            call.enter(&store, Needs::Dialled).await
        })
    });
    let callers: Vec<_> = callers.collect();
    let mut entered = Vec::new();
    for caller in callers {
        entered.push(caller.await.unwrap());
    }
    let pending = entered.iter().filter(|e| matches!(e, Entered::Pending(_)));
    assert_eq!(pending.count(), 1);
    let spent = entered.iter().filter(|e| **e == Entered::Spent);
    assert_eq!(spent.count(), 29);
}

async fn a14_the_api_flow_consumes_its_key_once(under: Under) {
    let store = under.store();
    let call = Call::new();
    call.note(store).await;
    let needs = Needs::ApiKey { consume: true };
    assert_eq!(call.enter(store, needs).await, Entered::NoKey);
    let key = store.keys().api(call.connection());
    under.other().put_key(&key, HOUR).await.unwrap();
    assert_eq!(call.enter(store, needs).await, call.authorised(false));
    // The answer was lost: the session finds what it had, though its key is gone.
    assert_eq!(call.enter(store, needs).await, call.authorised(false));
    // Another call by the same connection id finds no key.
    let other = Call {
        facts: call.facts.clone(),
        ..Call::new()
    };
    other.note(store).await;
    assert_eq!(other.enter(store, needs).await, Entered::NoKey);
}

async fn a13_the_sip_flow_finds_its_key_by_the_record(under: Under) {
    let store = under.store();
    let call = Call::new();
    let needs = Needs::SipKey { consume: true };
    store
        .put_key(&store.keys().sip(call.sip()), HOUR)
        .await
        .unwrap();
    call.note(store).await;
    assert_eq!(call.enter(store, needs).await, call.authorised(false));
    // The same from a signed URL, without a record.
    let call = Call::new();
    store
        .put_key(&store.keys().sip(call.sip()), HOUR)
        .await
        .unwrap();
    let ask = Enter {
        signed: Some(&call.facts),
        ..call.ask(needs)
    };
    assert_eq!(store.enter(&ask).await.unwrap(), call.authorised(false));
    // A call without a SIP id has none to be found.
    let call = Call::new();
    let said = Facts {
        sip: None,
        ..call.facts.clone()
    };
    store.note_call(&call.id, &said).await.unwrap();
    assert_eq!(call.enter(store, needs).await, Entered::NoKey);
}

async fn a18_a_key_that_is_not_consumed_stays(under: Under) {
    let store = under.store();
    let facts = Call::new().facts;
    let key = store.keys().api(facts.connection.as_ref().unwrap());
    store.put_key(&key, HOUR).await.unwrap();
    for _ in 0..2 {
        let call = Call {
            facts: facts.clone(),
            ..Call::new()
        };
        call.note(store).await;
        let entered = call.enter(store, Needs::ApiKey { consume: false }).await;
        assert_eq!(entered, call.authorised(false));
    }
    let first = Call::dialled(store).await;
    let code = first.key(store, "823");
    store.put_key(&code, HOUR).await.unwrap();
    for _ in 0..2 {
        let call = Call::dialled(store).await;
        let attempt = Attempt {
            consume: false,
            ..call.attempt(&code, 1)
        };
        assert_eq!(store.try_code(&attempt).await.unwrap(), Tried::Opened(None));
    }
}

async fn a18_of_thirty_callers_for_one_key_one_wins(under: Under) {
    let store = under.store();
    let key = Call::new().key(store, "823");
    store.put_key(&key, HOUR).await.unwrap();
    let callers: Vec<_> = (0..30)
        .map(|_| {
            let (store, key) = (under.shared(), key.clone());
            tokio::spawn(async move {
                let call = Call::dialled(&store).await;
                store.try_code(&call.attempt(&key, 1)).await.unwrap()
            })
        })
        .collect();
    let mut tried = Vec::new();
    for caller in callers {
        tried.push(caller.await.unwrap());
    }
    assert_eq!(
        tried.iter().filter(|t| **t == Tried::Opened(None)).count(),
        1
    );
    assert_eq!(tried.iter().filter(|t| **t == Tried::Wrong).count(), 29);
}

async fn a12_the_right_code_opens_and_a_wrong_one_does_not(under: Under) {
    let store = under.store();
    let call = Call::dialled(store).await;
    let (right, wrong) = (call.key(store, "823"), call.key(store, "824"));
    under.other().put_key(&right, HOUR).await.unwrap();
    let tried = store.try_code(&call.attempt(&wrong, 1)).await.unwrap();
    assert_eq!(tried, Tried::Wrong);
    let tried = store.try_code(&call.attempt(&right, 2)).await.unwrap();
    assert_eq!(tried, Tried::Opened(None));
    // A call that is open stays so, whatever is dialled.
    let tried = store.try_code(&call.attempt(&wrong, 3)).await.unwrap();
    assert_eq!(tried, Tried::Opened(None));
    // The key went with its use.
    let other = Call::dialled(under.other()).await;
    let tried = store.try_code(&other.attempt(&right, 1)).await.unwrap();
    assert_eq!(tried, Tried::Wrong);
}

async fn a12_the_same_try_again_is_the_same_answer_and_counts_once(under: Under) {
    let store = under.store();
    let call = Call::dialled(store).await;
    let (right, wrong) = (call.key(store, "823"), call.key(store, "824"));
    store.put_key(&right, HOUR).await.unwrap();
    let per_ani = Some(Rate {
        count: 2,
        per: HOUR,
    });
    let attempt = |key, number| Attempt {
        per_call: 2,
        per_ani,
        ..call.attempt(key, number)
    };
    for _ in 0..5 {
        let tried = store.try_code(&attempt(&wrong, 1)).await.unwrap();
        assert_eq!(tried, Tried::Wrong);
    }
    // Had it counted twice, neither the call nor the caller had another.
    let tried = under.other().try_code(&attempt(&right, 2)).await.unwrap();
    assert_eq!(tried, Tried::Opened(None));
    // What succeeded is no failure: the caller has one left, on another call.
    let second = Call::dialled(store).await;
    let of_second = |number| Attempt {
        ani: Some(call.ani()),
        per_ani,
        ..second.attempt(&wrong, number)
    };
    assert_eq!(store.try_code(&of_second(1)).await.unwrap(), Tried::Wrong);
    let tried = store.try_code(&of_second(2)).await.unwrap();
    assert_eq!(tried, Tried::LockedOut);
    // And what was decided stays so, though the caller is locked out by now.
    for (key, number, wanted) in [(&wrong, 1, Tried::Wrong), (&right, 2, Tried::Opened(None))] {
        let tried = under.other().try_code(&attempt(key, number)).await.unwrap();
        assert_eq!(tried, wanted);
    }
}

async fn a29_a_call_has_so_many_tries_in_all_its_sessions(under: Under) {
    let store = under.store();
    let call = Call::dialled(store).await;
    let (right, wrong) = (call.key(store, "823"), call.key(store, "824"));
    store.put_key(&right, HOUR).await.unwrap();
    for number in [1, 2] {
        let tried = store.try_code(&call.attempt(&wrong, number)).await.unwrap();
        assert_eq!(tried, Tried::Wrong);
    }
    // Dialling in again does not give new ones.
    let again = call.again();
    assert_eq!(
        again.enter(under.other(), Needs::Dialled).await,
        call.pending()
    );
    let tried = under
        .other()
        .try_code(&again.attempt(&wrong, 1))
        .await
        .unwrap();
    assert_eq!(tried, Tried::Wrong);
    for number in [2, 3] {
        let tried = store
            .try_code(&again.attempt(&right, number))
            .await
            .unwrap();
        assert_eq!(tried, Tried::LockedOut);
    }
    // And the key is still there, for another call.
    let other = Call::dialled(store).await;
    let tried = store.try_code(&other.attempt(&right, 1)).await.unwrap();
    assert_eq!(tried, Tried::Opened(None));
}

async fn a29_failures_of_a_caller_count_across_calls_and_edges(under: Under) {
    let ani = random_ani();
    let right = under.store().keys().pstn(&ani, "823").unwrap();
    under.store().put_key(&right, HOUR).await.unwrap();
    let per_ani = Some(Rate {
        count: 4,
        per: HOUR,
    });
    for failure in 0..4 {
        let edge = if failure % 2 == 0 {
            under.store()
        } else {
            under.other()
        };
        let call = Call::dialled(edge).await;
        let wrong = edge.keys().pstn(&ani, &format!("90{failure}")).unwrap();
        let attempt = Attempt {
            ani: Some(&ani),
            per_ani,
            ..call.attempt(&wrong, 1)
        };
        assert_eq!(edge.try_code(&attempt).await.unwrap(), Tried::Wrong);
    }
    for edge in [under.store(), under.other()] {
        let call = Call::dialled(edge).await;
        let attempt = Attempt {
            ani: Some(&ani),
            per_ani,
            ..call.attempt(&right, 1)
        };
        assert_eq!(edge.try_code(&attempt).await.unwrap(), Tried::LockedOut);
        // It cost the call no try, and the key is still there for whoever is not counted.
        let attempt = Attempt {
            per_ani: None,
            per_call: 1,
            consume: false,
            ..attempt
        };
        assert_eq!(edge.try_code(&attempt).await.unwrap(), Tried::Opened(None));
    }
}

async fn a29_the_window_of_failures_ends(under: Under) {
    let store = under.store();
    let ani = random_ani();
    let per_ani = Some(Rate {
        count: 1,
        per: Duration::from_millis(700),
    });
    let call = Call::dialled(store).await;
    let wrong = store.keys().pstn(&ani, "824").unwrap();
    let attempt = |number| Attempt {
        ani: Some(&ani),
        per_ani,
        per_call: 10,
        ..call.attempt(&wrong, number)
    };
    assert_eq!(store.try_code(&attempt(1)).await.unwrap(), Tried::Wrong);
    let mut locked_out = 0;
    eventually("the end of the window", async || {
        let tried = store.try_code(&attempt(2)).await.unwrap();
        if tried == Tried::LockedOut {
            locked_out += 1;
            return None;
        }
        assert_eq!(tried, Tried::Wrong);
        Some(())
    })
    .await;
    assert!(locked_out > 0, "the window was never seen");
}

async fn a29_a_shared_number_locks_nobody_out_but_its_key_does(under: Under) {
    let store = under.store();
    let ani = random_ani();
    let per_ani = Some(Rate {
        count: 2,
        per: HOUR,
    });
    let tried = async |code: &str| {
        let call = Call::dialled(store).await;
        let key = store.keys().pstn(&ani, code).unwrap();
        let attempt = Attempt {
            ani: Some(&ani),
            per_ani,
            shared_ani: true,
            ..call.attempt(&key, 1)
        };
        store.try_code(&attempt).await.unwrap()
    };
    // Many callers behind one number fail, each with a code of its own.
    for code in ["901", "902", "903", "904"] {
        assert_eq!(tried(code).await, Tried::Wrong);
    }
    let right = store.keys().pstn(&ani, "823").unwrap();
    store.put_key(&right, HOUR).await.unwrap();
    assert_eq!(tried("823").await, Tried::Opened(None));
    // One code, tried over and over from new calls, is locked.
    assert_eq!(tried("901").await, Tried::Wrong);
    assert_eq!(tried("901").await, Tried::LockedOut);
}

async fn a29_failures_of_a_route_count_together(under: Under) {
    let store = under.store();
    let route = Label::new(&SessionId::random().to_string()).unwrap();
    let rate = Rate {
        count: 3,
        per: HOUR,
    };
    let mut all = Vec::new();
    for _ in 0..5 {
        let call = Call::dialled(store).await;
        let wrong = call.key(store, "824");
        let attempt = Attempt {
            per_route: Some((&route, rate)),
            ..call.attempt(&wrong, 1)
        };
        all.push(store.try_code(&attempt).await.unwrap());
    }
    assert!(all[..3].iter().all(|tried| *tried == Tried::Wrong));
    assert!(all[3..].iter().all(|tried| *tried == Tried::LockedOut));
}

async fn a25_a_verdict_holds_for_the_resume_window_and_no_longer(under: Under) {
    let store = under.store();
    let call = Call::new();
    call.note(store).await;
    store
        .put_key(&store.keys().api(call.connection()), HOUR)
        .await
        .unwrap();
    let needs = Needs::ApiKey { consume: true };
    assert_eq!(call.enter(store, needs).await, call.authorised(false));
    store.leave(&call.id, call.owner, HOUR).await.unwrap();
    // The key is gone; the verdict is what lets it in, at the other edge as well.
    let second = call.again();
    assert_eq!(
        second.enter(under.other(), needs).await,
        call.authorised(true)
    );
    // It is kept again for as long as the session goes on.
    store
        .leave(&call.id, second.owner, Duration::from_millis(200))
        .await
        .unwrap();
    eventually("the end of the window", async || {
        let third = call.again();
        let entered = third.enter(store, needs).await;
        if matches!(entered, Entered::Authorised { resumed: true, .. }) {
            // It came in time: so it has to leave again.
            let short = Duration::from_millis(1);
            store.leave(&call.id, third.owner, short).await.unwrap();
            return None;
        }
        assert_eq!(entered, Entered::NoKey);
        Some(())
    })
    .await;
}

async fn a25_a_second_session_takes_the_call_over(under: Under) {
    let store = under.store();
    let first = Call::dialled(store).await;
    let right = first.key(store, "823");
    store.put_key(&right, HOUR).await.unwrap();
    let second = first.again();
    let entered = second.enter(under.other(), Needs::Dialled).await;
    assert_eq!(entered, first.pending());
    // The first one may neither try nor leave any more.
    let tried = store.try_code(&first.attempt(&right, 1)).await.unwrap();
    assert_eq!(tried, Tried::NotOurs);
    let tried = store.try_code(&second.attempt(&right, 1)).await.unwrap();
    assert_eq!(tried, Tried::Opened(None));
    store
        .leave(&first.id, first.owner, Duration::from_millis(1))
        .await
        .unwrap();
    let looked = store.look(&first.id, first.owner).await.unwrap();
    assert_eq!(looked, Still::Superseded);
    let looked = store.look(&first.id, second.owner).await.unwrap();
    assert_eq!(looked, Still::Ours);
    let third = first.again();
    let entered = third.enter(store, Needs::Dialled).await;
    assert_eq!(entered, first.authorised(true));
}

/// A second socket of a call was let in, and then there was no upstream for it.
async fn a25_a_call_that_is_given_back_is_whose_it_was(under: Under) {
    let store = under.store();
    let first = Call::dialled(store).await;
    let key = first.key(store, "823");
    store.put_key(&key, HOUR).await.unwrap();
    let opened = store.try_code(&first.attempt(&key, 1)).await.unwrap();
    assert_eq!(opened, Tried::Opened(None));
    let second = first.again();
    let entered = second.enter(under.other(), Needs::Dialled).await;
    assert_eq!(entered, first.authorised(true));
    let back = second.given_back(second.owner);
    under.other().give_back(&back).await.unwrap();
    let looked = store.look(&first.id, first.owner).await.unwrap();
    assert_eq!(looked, Still::Ours);
    let looked = store.look(&first.id, second.owner).await.unwrap();
    assert_eq!(looked, Still::Superseded);
    // Once more is nothing more.
    under.other().give_back(&back).await.unwrap();
    let looked = store.look(&first.id, first.owner).await.unwrap();
    assert_eq!(looked, Still::Ours);
    // One that has left while the call was away does not get it back, and its window runs.
    let third = first.again();
    assert_eq!(
        third.enter(store, Needs::Dialled).await,
        first.authorised(true)
    );
    let window = Duration::from_millis(300);
    store.leave(&first.id, first.owner, window).await.unwrap();
    store
        .give_back(&third.given_back(third.owner))
        .await
        .unwrap();
    let looked = store.look(&first.id, first.owner).await.unwrap();
    assert_eq!(looked, Still::Superseded);
    // To look means to enter, which would begin the window anew.
    tokio::time::sleep(2 * window).await;
    let late = first.again();
    assert_eq!(late.enter(store, Needs::Dialled).await, first.pending());
}

async fn a27_an_expired_key_opens_nothing(under: Under) {
    let store = under.store();
    let facts = Call::new().facts;
    let key = store.keys().api(facts.connection.as_ref().unwrap());
    store
        .put_key(&key, Duration::from_millis(300))
        .await
        .unwrap();
    let mut opened = 0;
    eventually("the key's end", async || {
        let call = Call {
            facts: facts.clone(),
            ..Call::new()
        };
        call.note(store).await;
        let entered = call.enter(store, Needs::ApiKey { consume: false }).await;
        if matches!(entered, Entered::Authorised { .. }) {
            opened += 1;
            return None;
        }
        assert_eq!(entered, Entered::NoKey);
        Some(())
    })
    .await;
    assert!(opened > 0, "the key was never seen");
}

async fn a19_a_session_sees_what_its_call_is_to_it(under: Under) {
    let store = under.store();
    let call = Call::new();
    let looked = store.look(&call.id, call.owner).await.unwrap();
    assert_eq!(looked, Still::Gone);
    call.note(store).await;
    assert_eq!(
        call.enter(store, Needs::Nothing).await,
        call.authorised(false)
    );
    let looked = under.other().look(&call.id, call.owner).await.unwrap();
    assert_eq!(looked, Still::Ours);
    // A verdict that was taken back, which to the store is one that ended. To look is to keep, so a
    // look that came in time is followed by another end.
    eventually("the verdict's end", async || {
        let looked = store.look(&call.id, call.owner).await.unwrap();
        let short = Duration::from_millis(1);
        store.leave(&call.id, call.owner, short).await.unwrap();
        (looked == Still::Gone).then_some(())
    })
    .await;
}

async fn a03_an_event_is_taken_once_and_may_be_given_back(under: Under) {
    let (store, other) = (under.store(), under.other());
    let event = Digest::of(random_id().as_str());
    let (first, second) = (SessionId::random(), SessionId::random());
    assert!(store.claim(&event, first).await.unwrap());
    assert!(!other.claim(&event, second).await.unwrap());
    // An answer that was lost and is asked for again.
    assert!(store.claim(&event, first).await.unwrap());
    // It is not for others to give back.
    other.unclaim(&event, second).await.unwrap();
    assert!(!other.claim(&event, second).await.unwrap());
    store.unclaim(&event, first).await.unwrap();
    assert!(other.claim(&event, second).await.unwrap());
    let another = Digest::of(random_id().as_str());
    assert!(store.claim(&another, second).await.unwrap());
}

fn told(heard: u32, tones: Tones) -> Vec<(u32, char)> {
    let Tones::Told {
        heard: said,
        mut tones,
    } = tones
    else {
        panic!("{tones:?}");
    };
    assert_eq!(said, heard);
    tones.sort_unstable();
    tones
}

async fn a06_keys_of_callbacks_reach_the_session_that_has_the_call(under: Under) {
    let (store, other) = (under.store(), under.other());
    let call = Call::dialled(store).await;
    let kept = other.add_tones(&call.id, &[(2, '2'), (1, '8')]).await;
    assert_eq!(kept, Ok(Kept::All));
    // The same once more, with another key in its place: the first one counts.
    let kept = other.add_tones(&call.id, &[(2, '9'), (3, '#')]).await;
    assert_eq!(kept, Ok(Kept::All));
    let all = store.tones(&call.id, call.owner, None).await.unwrap();
    assert_eq!(told(0, all), [(1, '8'), (2, '2'), (3, '#')]);
    let rest = store.tones(&call.id, call.owner, Some(2)).await.unwrap();
    assert_eq!(told(2, rest), [(3, '#')]);
    // Whoever has taken them says so once, and a newer session of the call begins behind them.
    let again = call.again();
    assert_eq!(again.enter(other, Needs::Dialled).await, call.pending());
    let not_ours = store.tones(&call.id, call.owner, None).await;
    assert_eq!(not_ours, Ok(Tones::NotOurs));
    let rest = other.tones(&again.id, again.owner, None).await.unwrap();
    assert_eq!(told(2, rest), [(3, '#')]);
}

async fn a06_a_call_has_so_many_keys_and_one_that_nobody_knows_has_none(under: Under) {
    let store = under.store();
    let unknown = Call::new();
    let kept = store.add_tones(&unknown.id, &[(1, '1')]).await;
    assert_eq!(kept, Ok(Kept::Unknown));
    assert_eq!(store.known(&unknown.id).await, Ok(None));
    assert_eq!(
        store.end_call(&unknown.id, CallEnded::default()).await,
        Ok(false)
    );
    let call = Call::dialled(store).await;
    let tones: Vec<_> = (1..=128).map(|place| (place, '5')).collect();
    assert_eq!(store.add_tones(&call.id, &tones).await, Ok(Kept::All));
    let more = store.add_tones(&call.id, &[(128, '5'), (129, '5')]).await;
    assert_eq!(more, Ok(Kept::Full));
    let all = store.tones(&call.id, call.owner, None).await.unwrap();
    assert_eq!(told(0, all).len(), 128);
}

async fn a06_a_call_that_is_over_opens_for_nobody(under: Under) {
    let (store, other) = (under.store(), under.other());
    let call = Call::new();
    call.note(store).await;
    assert_eq!(
        call.enter(store, Needs::Nothing).await,
        call.authorised(false)
    );
    let known = other.known(&call.id).await.unwrap().unwrap();
    assert_eq!((known.facts, known.made), (call.facts.clone(), None));
    let ended = CallEnded {
        code: Some(200),
        sub_code: None,
    };
    for said in [
        CallEnded::default(),
        ended,
        CallEnded {
            code: Some(1),
            ..ended
        },
    ] {
        assert_eq!(other.end_call(&call.id, said).await, Ok(true));
    }
    // The first that tells numbers counts.
    let known = store.known(&call.id).await.unwrap().unwrap();
    assert_eq!(known.ended, Some(ended));
    assert_eq!(store.look(&call.id, call.owner).await, Ok(Still::Ended));
    let tones = store.tones(&call.id, call.owner, None).await;
    assert_eq!(tones, Ok(Tones::Ended));
    let again = call.again();
    assert_eq!(again.enter(other, Needs::Nothing).await, Entered::Unknown);
    assert_eq!(again.enter(store, Needs::Dialled).await, Entered::Unknown);
}

/// Both flows that decide before the `101`, for a call that was made.
const AT_ONCE: [Needs; 2] = [Needs::Nothing, Needs::ApiKey { consume: false }];

async fn a26_a_made_call_is_unknown_until_its_connection_is_and_then_that_ones(under: Under) {
    let (store, other) = (under.store(), under.other());
    for needs in AT_ONCE {
        // Two callers' calls: each URL with the other's connection, before and after.
        let (x, y) = (Call::new(), Call::new());
        let (made, of_y) = (x.make(store).await, y.make(other).await);
        assert!(y.bind(store, of_y.binding).await);
        let stolen = x.again();
        let with = |call, connection| Enter {
            connection,
            binding: Some(made.binding),
            signed: None,
            makes: false,
            ..Call::ask(call, needs)
        };
        let by_y = with(&stolen, Some(y.connection()));
        assert_eq!(other.enter(&by_y).await.unwrap(), Entered::Unknown);
        // Nor is it let in by its own before that is noted.
        let own = with(&x, Some(x.connection()));
        assert_eq!(store.enter(&own).await.unwrap(), Entered::Unknown);
        assert!(
            !x.bind(other, of_y.binding).await,
            "bound by another's binding"
        );
        assert!(x.bind(other, made.binding).await);
        assert_eq!(other.enter(&by_y).await.unwrap(), Entered::OtherConnection);
        let by_none = with(&stolen, None);
        assert_eq!(
            store.enter(&by_none).await.unwrap(),
            Entered::OtherConnection
        );
        let facts = Facts {
            sip: None,
            ..x.facts.clone()
        };
        let authorised = Entered::Authorised {
            facts: facts.clone(),
            resumed: false,
            contact: None,
        };
        assert_eq!(store.enter(&own).await.unwrap(), authorised);
        // It dials again.
        let again = x.again();
        let entered = other.enter(&with(&again, Some(x.connection()))).await;
        let resumed = Entered::Authorised {
            facts,
            resumed: true,
            contact: None,
        };
        assert_eq!(entered, Ok(resumed));
    }
}

async fn a26_a_made_call_comes_by_its_own_url_and_is_made_of_none(under: Under) {
    let (store, other) = (under.store(), under.other());
    let call = Call::new();
    let made = call.make(store).await;
    assert!(call.bind(store, made.binding).await);
    let ask = |binding| Enter {
        binding,
        signed: Some(&call.facts),
        ..call.ask(Needs::Nothing)
    };
    let foreign = Some(Digest::of("another binding"));
    for binding in [None, foreign] {
        let entered = other.enter(&ask(binding)).await.unwrap();
        assert_eq!(entered, Entered::OtherConnection);
    }
    // One that rang is none that was made, and no record comes of such a URL.
    let rang = Call::new();
    rang.note(store).await;
    let of = |call, binding| Enter {
        binding,
        ..Call::ask(call, Needs::Nothing)
    };
    let entered = other.enter(&of(&rang, foreign)).await.unwrap();
    assert_eq!(entered, Entered::OtherConnection);
    let nobody = Call::new();
    let signed = Facts::default();
    let ask = Enter {
        signed: Some(&signed),
        ..of(&nobody, foreign)
    };
    assert_eq!(store.enter(&ask).await.unwrap(), Entered::Unknown);
    assert_eq!(store.known(&nobody.id).await, Ok(None));
}

async fn a26_the_session_key_of_another_made_call_opens_nothing(under: Under) {
    let (store, other) = (under.store(), under.other());
    let needs = Needs::ApiKey { consume: true };
    let made = Call::new();
    let binding = made.make(store).await.binding;
    assert!(made.bind(store, binding).await);
    // A call that rang, whose socket says the connection of the one that was made.
    let thief = Call {
        facts: Facts {
            connection: made.facts.connection.clone(),
            ..Facts::default()
        },
        ..Call::new()
    };
    thief.note(store).await;
    assert_eq!(thief.enter(other, needs).await, Entered::OtherConnection);
    // The key is there still, and good for its own call, once.
    let ask = |call| Enter {
        binding: Some(binding),
        ..Call::ask(call, needs)
    };
    let entered = other.enter(&ask(&made)).await.unwrap();
    assert!(matches!(
        entered,
        Entered::Authorised { resumed: false, .. }
    ));
    assert_eq!(thief.enter(store, needs).await, Entered::NoKey);
    // What another cloud writes opens both.
    let key = store.keys().api(made.connection());
    store.put_key(&key, HOUR).await.unwrap();
    assert_eq!(thief.enter(other, needs).await, thief.authorised(false));
}

async fn a26_a_made_call_is_told_as_it_goes(under: Under) {
    let (store, other) = (under.store(), under.other());
    let call = Call::new();
    let made = call.make(store).await;
    let facts = Facts {
        ani: call.facts.ani.clone(),
        ..Facts::default()
    };
    let begun = Known {
        facts,
        made: Some(made),
        ..Known::default()
    };
    assert_eq!(other.known(&call.id).await, Ok(Some(begun)));
    assert!(call.bind(other, made.binding).await);
    store.connect_call(&call.id).await.unwrap();
    let ended = CallEnded {
        code: Some(487),
        sub_code: Some(5003),
    };
    assert_eq!(store.end_call(&call.id, ended).await, Ok(true));
    let over = Known {
        facts: Facts {
            sip: None,
            ..call.facts.clone()
        },
        made: Some(made),
        connected: true,
        ended: Some(ended),
    };
    assert_eq!(other.known(&call.id).await, Ok(Some(over)));
    // One that rang is not connected by that.
    let rang = Call::new();
    rang.note(store).await;
    store.connect_call(&rang.id).await.unwrap();
    let known = other.known(&rang.id).await.unwrap().unwrap();
    assert!(!known.connected && known.made.is_none());
}
