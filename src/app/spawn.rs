//! What each thread of the edge runs.

use std::io;
use std::sync::Arc;

use futures_util::future::try_join_all;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};

use super::Edge;
use super::drain;
use super::listening::{Operator, unusable};
use super::parts::Parts;
use super::reload::{Loader, Source};
use super::upkeep::{all_said, tell_spans, upkeep, warn_of_developer};
use crate::listener::handover::{Offer, Predecessor};
use crate::listener::reload::Asked;
use crate::listener::{self, Public};
use crate::panics::kept_up;

impl Edge {
    pub(super) fn spawn_workers(
        &mut self,
        public: &Arc<Public>,
        shares: Vec<Vec<std::net::TcpListener>>,
    ) -> io::Result<()> {
        let batch = {
            let doors = self.doors.now();
            let batch = doors.generation.settings.boot.batch;
            (!batch.is_zero()).then(|| (batch, doors.metrics.batch_waits.clone()))
        };
        for (i, share) in shares.into_iter().enumerate() {
            let (public, beats) = (public.clone(), self.beats.clone());
            let work = move || async move {
                let serve = async |socket| match TcpListener::from_std(socket) {
                    Ok(listener) => listener::serve(listener, public.clone()).await,
                    Err(error) => unusable(&error),
                };
                tokio::select! {
                    served = try_join_all(share.into_iter().map(serve)) => served.map(|_| ()),
                    () = beats.beat(i) => Ok(()),
                }
            };
            self.working
                .spawn_worker(format!("worker-{i}"), batch.clone(), work)?;
        }
        Ok(())
    }

    /// What goes on beside connections, and asks or tells the store, or others.
    pub(super) fn spawn_store(&mut self, parts: Arc<Parts>) -> io::Result<()> {
        let in_force = self.doors.clone();
        let told = in_force.now().generation.settings.boot.telemetry.clone();
        self.working.spawn("store".to_owned(), move || async move {
            let (store, orders, metrics) = {
                let doors = in_force.now();
                (
                    doors.store.clone(),
                    doors.orders.clone(),
                    doors.metrics.clone(),
                )
            };
            let metrics = &metrics;
            tokio::select! {
                kept = kept_up(metrics, "store", || store.run()) => kept,
                kept = kept_up(metrics, "orders", || orders.run()) => kept,
                given_up = parts.run(metrics) => Err(given_up),
                kept = kept_up(metrics, "spans", || tell_spans(&told, metrics)) => kept,
                kept = kept_up(metrics, "end", || all_said(&in_force, &parts)) => kept,
            }
        })
    }

    /// The operator's listener, and what sees to the end.
    pub(super) fn spawn_operator(
        &mut self,
        operator: Operator,
        offer: Option<Offer>,
        predecessor: Option<Predecessor>,
    ) -> io::Result<()> {
        let in_force = self.doors.clone();
        self.operator.spawn("admin".to_owned(), move || async move {
            let (insecure_dev, metrics, audit) = {
                let doors = in_force.now();
                (
                    doors.insecure_dev,
                    doors.metrics.clone(),
                    doors.audit.clone(),
                )
            };
            let (in_force, metrics) = (&in_force, &metrics);
            tokio::select! {
                kept = operator.serve(metrics) => kept,
                kept = kept_up(metrics, "drain", || drain::conduct_for_ever(in_force)) => kept,
                () = drain::offer_sockets(offer) => Ok(()),
                () = drain::own_the_audit(predecessor, audit) => Ok(()),
                kept = kept_up(metrics, "figures", || upkeep(in_force)) => kept,
                kept = kept_up(metrics, "warnings", || warn_of_developer(insecure_dev)) => kept,
            }
        })
    }

    /// What reads the settings anew.
    pub(super) fn spawn_loader(
        &mut self,
        source: Source,
        asked: mpsc::Receiver<Asked>,
        of: (Arc<Public>, Arc<Parts>),
    ) -> io::Result<()> {
        let (drain, metrics) = (self.drain.clone(), self.doors.now().metrics.clone());
        let loader = Mutex::new(Loader::new(source, asked, of));
        self.working
            .spawn("settings".to_owned(), move || async move {
                // Nobody else holds the loader.
                let load = async || loader.lock().await.run().await;
                tokio::select! {
                    kept = kept_up(&metrics, "settings", load) => kept,
                    () = drain.ending() => Ok(()),
                }
            })
    }
}
