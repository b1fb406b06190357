use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use futures_util::future::join_all;
use tokio::time::advance;

use super::*;

/// A resolver that is told what to say, and counts.
#[derive(Default)]
struct Told {
    says: Mutex<Option<Vec<SocketAddr>>>,
    asked: AtomicUsize,
}

impl Told {
    fn names(self: &Arc<Told>) -> Names {
        let told = self.clone();
        let resolve = move |name: &str, _| {
            assert_eq!(name, "voice.example");
            told.asked.fetch_add(1, Ordering::Relaxed);
            told.says.lock().unwrap().clone()
        };
        Names::by("voice.example", 443, Arc::new(resolve))
    }

    fn say(&self, last: &[u8]) {
        let says = last.iter().map(|last| at(*last)).collect();
        *self.says.lock().unwrap() = Some(says);
    }

    fn say_nothing(&self) {
        *self.says.lock().unwrap() = None;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

fn at(last: u8) -> SocketAddr {
    ([192, 0, 2, last], 443).into()
}

fn told(last: &[u8]) -> Arc<Told> {
    let told = Arc::new(Told::default());
    told.say(last);
    told
}

/// The last numbers of what is to be tried, and whether it was kept.
async fn got(names: &Names) -> Result<(Vec<u8>, bool), Unknown> {
    let found = names.get().await?;
    let last = |address: &SocketAddr| match address.ip() {
        IpAddr::V4(ip) => ip.octets()[3],
        IpAddr::V6(_) => panic!("{address}"),
    };
    Ok((found.addresses.iter().map(last).collect(), found.kept))
}

/// Until a look-up behind the scenes has ended.
async fn ended(names: &Names, rounds: u64) {
    let Place::Name(name) = &names.place else {
        panic!("an address");
    };
    let mut known = name.known.subscribe();
    known
        .wait_for(|known| known.rounds >= rounds)
        .await
        .unwrap();
}

/// Waits until no look-up runs.
async fn nobody_asks(names: &Names) {
    let Place::Name(name) = &names.place else {
        panic!("an address");
    };
    let mut known = name.known.subscribe();
    known.wait_for(|known| known.asking == 0).await.unwrap();
}

#[tokio::test]
async fn an_address_is_never_asked_for() {
    let never: Arc<Resolve> = Arc::new(|name: &str, _| panic!("{name}"));
    for text in ["192.0.2.7", "2001:db8::7", "127.0.0.1"] {
        let names = Names::by(text, 8443, never.clone());
        let found = names.get().await.unwrap();
        let expected = SocketAddr::new(text.parse().unwrap(), 8443);
        assert_eq!(*found.addresses, [expected]);
        assert_eq!(names.anew(&found).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn one_look_up_serves_all_who_ask_at_the_time_and_for_five_seconds() {
    let told = told(&[1, 2]);
    let names = told.names();
    let all = join_all((0..100).map(|_| got(&names))).await;
    // The last of them may come when it has ended, and then has what was kept.
    let one_and_two = |got: &Result<(Vec<u8>, bool), Unknown>| {
        got.as_ref().is_ok_and(|(found, _)| *found == [1, 2])
    };
    assert!(all.iter().all(one_and_two), "{all:?}");
    assert_eq!(told.asked(), 1);
    told.say(&[3]);
    advance(FRESH - Duration::from_millis(1)).await;
    assert_eq!(got(&names).await, Ok((vec![1, 2], true)));
    assert_eq!(told.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn it_is_asked_again_behind_the_scenes_and_what_it_says_then_is_used() {
    let told = told(&[1]);
    let names = told.names();
    got(&names).await.unwrap();
    told.say(&[3]);
    advance(FRESH).await;
    assert_eq!(got(&names).await, Ok((vec![1], true)));
    ended(&names, 2).await;
    assert_eq!(got(&names).await, Ok((vec![3], true)));
    assert_eq!(told.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_confirmed_for_long_is_forgotten_and_the_resolver_is_not_pressed() {
    let told = told(&[1]);
    let names = told.names();
    got(&names).await.unwrap();
    told.say_nothing();
    let mut rounds = 1;
    for _ in 5..30 {
        advance(if rounds == 1 { FRESH } else { RETRY }).await;
        // Many in one second are one look-up.
        for _ in 0..10 {
            assert_eq!(got(&names).await, Ok((vec![1], true)), "{rounds}");
        }
        rounds += 1;
        ended(&names, rounds).await;
        assert_eq!(told.asked() as u64, rounds);
    }
    advance(RETRY).await;
    assert_eq!(got(&names).await, Err(UNKNOWN));
    assert_eq!(got(&names).await, Err(UNKNOWN));
    told.say(&[2]);
    assert_eq!(got(&names).await, Ok((vec![2], false)));
}

#[tokio::test(start_paused = true)]
async fn who_found_nobody_is_told_what_is_new_and_only_that() {
    let told = told(&[1, 2]);
    let names = told.names();
    let first = names.get().await.unwrap();
    assert_eq!(names.anew(&first).await, None, "it was asked just now");
    assert_eq!(told.asked(), 1);
    let kept = names.get().await.unwrap();
    told.say(&[2, 1]);
    assert_eq!(names.anew(&kept).await, None, "the same in another order");
    let kept = names.get().await.unwrap();
    told.say(&[1, 4]);
    let anew = names.anew(&kept).await.unwrap();
    assert_eq!(*anew.addresses, [at(1), at(4)]);
    assert_eq!(told.asked(), 3);
    told.say_nothing();
    let kept = names.get().await.unwrap();
    assert_eq!(names.anew(&kept).await, None);
    assert_eq!(told.asked(), 4);
    // The resolver is away, and what it said is still the best that is known; it is asked once a second.
    for _ in 0..3 {
        assert_eq!(got(&names).await, Ok((vec![1, 4], true)));
    }
    assert_eq!(told.asked(), 4);
    told.say(&[5]);
    advance(RETRY).await;
    assert_eq!(
        got(&names).await,
        Ok((vec![5], false)),
        "waited for, as nobody was there"
    );
    told.say_nothing();
    let kept = names.get().await.unwrap();
    assert_eq!(names.anew(&kept).await, None);
    advance(STALE_MAX).await;
    assert_eq!(got(&names).await, Err(UNKNOWN), "not for ever");
}

#[tokio::test]
async fn a_look_up_that_hangs_is_waited_for_by_nobody_who_went_and_ends_for_those_who_come() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let resolve = move |_: &str, _| {
        wait.lock().unwrap().recv().ok()?;
        Some(vec![at(9)])
    };
    let names = Names::by("voice.example", 443, Arc::new(resolve));
    let gone = tokio::time::timeout(Duration::from_millis(1), names.get()).await;
    assert!(gone.is_err());
    let (got, ()) = tokio::join!(got(&names), async { go.send(()).unwrap() });
    assert_eq!(got, Ok((vec![9], false)));
}

/// A resolver each of whose look-ups hangs until it is told what to say, in the order in which they began;
/// one that is never told anything ends with the test.
struct Hanging {
    names: Names,
    begun: Mutex<mpsc::Receiver<mpsc::Sender<Option<u8>>>>,
}

impl Hanging {
    fn new() -> Hanging {
        let (begins, begun) = mpsc::channel();
        let resolve = move |_: &str, _| {
            let (say, said) = mpsc::channel();
            begins.send(say).ok()?;
            let last: Option<u8> = said.recv().ok()?;
            Some(vec![at(last?)])
        };
        Hanging {
            names: Names::by("voice.example", 443, Arc::new(resolve)),
            begun: Mutex::new(begun),
        }
    }

    /// How to tell the next look-up that has begun; `None`: none has.
    fn begun(&self) -> Option<mpsc::Sender<Option<u8>>> {
        let begun = self.begun.lock().unwrap();
        begun.recv_timeout(Duration::from_millis(50)).ok()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_up_that_hangs_gives_way_to_a_second_one_and_there_is_no_third() {
    let hanging = Arc::new(Hanging::new());
    let ask = || {
        let hanging = hanging.clone();
        tokio::spawn(async move { got(&hanging.names).await })
    };
    let started = Instant::now();
    let first = ask();
    let hangs = hanging.begun().unwrap();
    let others: Vec<_> = (0..10).map(|_| ask()).collect();
    assert!(hanging.begun().is_none(), "one is enough at first");
    tokio::time::sleep_until(started + PATIENCE).await;
    let second = hanging.begun().or_else(|| hanging.begun()).unwrap();
    assert!(hanging.begun().is_none(), "two are enough");
    second.send(Some(7)).unwrap();
    assert_eq!(first.await.unwrap(), Ok((vec![7], false)));
    for other in others {
        assert_eq!(other.await.unwrap(), Ok((vec![7], false)));
    }
    assert!(started.elapsed() < 2 * PATIENCE, "{:?}", started.elapsed());
    // What the first one says in the end is older.
    hangs.send(Some(1)).unwrap();
    nobody_asks(&hanging.names).await;
    assert_eq!(got(&hanging.names).await, Ok((vec![7], true)));
    assert!(hanging.begun().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resolver_that_never_answers_is_told_of_in_time_and_is_not_pressed() {
    let hanging = Hanging::new();
    let started = Instant::now();
    let all = join_all((0..10).map(|_| got(&hanging.names))).await;
    assert!(all.iter().all(|got| *got == Err(SILENT)), "{all:?}");
    let waited = started.elapsed();
    assert!((2 * PATIENCE..4 * PATIENCE).contains(&waited), "{waited:?}");
    let begun = [(); 3].map(|()| hanging.begun());
    assert_eq!(begun.each_ref().map(Option::is_some), [true, true, false]);
    // It answers again: who comes then is served.
    let [one, ..] = begun;
    let (got, ()) = tokio::join!(got(&hanging.names), async {
        one.unwrap().send(Some(3)).unwrap();
    });
    assert_eq!(got, Ok((vec![3], false)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_resolver_hangs_what_it_said_before_is_used() {
    let hanging = Hanging::new();
    let (first, ()) = tokio::join!(got(&hanging.names), async {
        hanging.begun().unwrap().send(Some(1)).unwrap();
    });
    assert_eq!(first, Ok((vec![1], false)));
    // Nobody is there: the resolver is asked, and hangs.
    let kept = hanging.names.get().await.unwrap();
    assert!(kept.kept);
    let started = Instant::now();
    assert_eq!(hanging.names.anew(&kept).await, None, "nothing is new");
    assert!(started.elapsed() >= 2 * PATIENCE);
    let begun = [(); 3].map(|()| hanging.begun());
    assert_eq!(begun.each_ref().map(Option::is_some), [true, true, false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_found_nobody_has_the_resolver_asked_also_while_a_look_up_hangs() {
    let hanging = Hanging::new();
    let (first, ()) = tokio::join!(got(&hanging.names), async {
        hanging.begun().unwrap().send(Some(1)).unwrap();
    });
    assert_eq!(first, Ok((vec![1], false)));
    let kept = hanging.names.get().await.unwrap();
    // Behind the scenes it is asked again, and hangs.
    let Place::Name(name) = &hanging.names.place else {
        panic!("an address");
    };
    name.ask(Instant::now());
    let hangs = hanging.begun().unwrap();
    let (anew, ()) = tokio::join!(hanging.names.anew(&kept), async {
        hanging.begun().unwrap().send(Some(2)).unwrap();
    });
    assert_eq!(*anew.unwrap().addresses, [at(2)]);
    // What hung began before, and says nothing new.
    hangs.send(Some(1)).unwrap();
    nobody_asks(&hanging.names).await;
    assert_eq!(got(&hanging.names).await, Ok((vec![2], true)));
}

#[tokio::test]
async fn a_name_has_eight_addresses_at_the_most_and_one_that_has_none_is_not_known() {
    let told = told(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let names = told.names();
    let found = names.get().await.unwrap();
    assert_eq!(found.addresses.len(), ADDRESSES_MAX);
    let none = self::told(&[]);
    assert_eq!(got(&none.names()).await, Err(UNKNOWN));
}

#[tokio::test]
async fn a_resolver_that_panics_has_found_nothing() {
    let bad: Arc<Resolve> = Arc::new(|name: &str, _| panic!("{name}"));
    let names = Names::by("voice.example", 443, bad);
    for _ in 0..2 {
        assert_eq!(got(&names).await, Err(UNKNOWN));
    }
}
