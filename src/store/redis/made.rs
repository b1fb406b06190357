//! Calls that the edge made, in Redis. Session key and record are in two slots, so to bind a call are
//! two commands: the key first, for without the record's word nobody asks for it.

use fred::interfaces::{ClientLike as _, KeysInterface as _};
use fred::types::Expiration;

use super::{Redis, is, ms, record};
use crate::ids::{CallId, ForeignId};
use crate::secret::Digest;
use crate::store::made::{BOUND, Bind, CallEnded, Known, Made, millis, time};
use crate::store::{Facts, Keys, Unavailable};

impl Redis {
    pub(in crate::store) async fn make_call(
        &self,
        call: &CallId,
        facts: &Facts,
        made: &Made,
        keys: &Keys,
    ) -> Result<(), Unavailable> {
        let turn = self.turn()?;
        let mut args = vec![ms(self.policy.ttl)];
        args.extend(record::fields(facts, keys));
        for (name, value) in [
            ("creator", made.creator.to_hex()),
            ("binding", made.binding.to_hex()),
            ("created", millis(made.at).to_string()),
        ] {
            args.extend([name.to_owned(), value]);
        }
        let done: String = turn
            .ask(&self.scripts.note, [keys.call(call)], args)
            .await?;
        is(&done, "ok")
    }

    pub(in crate::store) async fn bind_call(
        &self,
        bind: &Bind<'_>,
        keys: &Keys,
    ) -> Result<bool, Unavailable> {
        let turn = self.turn()?;
        let options = turn.options()?;
        let client = self.client.with_options(&options);
        let ttl = i64::try_from(self.policy.ttl.as_millis()).unwrap_or(i64::MAX);
        let ends = Some(Expiration::PX(ttl.max(1)));
        let value = format!("{BOUND}{}", bind.binding.to_hex());
        let key = keys.api(bind.connection);
        let put: Result<(), _> = client.set(key.expose(), value, ends, None, false).await;
        put.map_err(|error| self.unavailable(&error))?;
        let correlation = bind.correlation.map_or("", ForeignId::as_str);
        let args = [
            ms(self.policy.ttl),
            bind.binding.to_hex(),
            bind.connection.to_string(),
            correlation.to_owned(),
        ];
        let told: String = turn
            .ask(&self.scripts.bind, [keys.call(bind.call)], args)
            .await?;
        match told.as_str() {
            "ok" => Ok(true),
            "unknown" => Ok(false),
            _ => Err(Unavailable::Malformed),
        }
    }

    pub(in crate::store) async fn connect_call(
        &self,
        call: &CallId,
        keys: &Keys,
    ) -> Result<(), Unavailable> {
        let turn = self.turn()?;
        let args = [ms(self.policy.ttl)];
        let done: String = turn
            .ask(&self.scripts.connect, [keys.call(call)], args)
            .await?;
        is(&done, "ok")
    }
}

/// What `known` tells of a call behind its facts. `None`: it is not as the edge writes it.
pub(super) fn known(facts: Facts, rest: &[String]) -> Option<Known> {
    let [creator, binding, created, connected, ended, code, sub_code] = rest else {
        return None;
    };
    let number = |text: &str| match text {
        "" => Some(None),
        text => text.parse().ok().map(Some),
    };
    let made = match binding.as_str() {
        "" => None,
        binding => Some(Made {
            creator: Digest::from_hex(creator)?,
            binding: Digest::from_hex(binding)?,
            at: time(created.parse().ok()?)?,
        }),
    };
    let told = CallEnded {
        code: number(code)?,
        sub_code: number(sub_code)?,
    };
    Some(Known {
        facts,
        made,
        connected: !connected.is_empty(),
        ended: (!ended.is_empty()).then_some(told),
    })
}
