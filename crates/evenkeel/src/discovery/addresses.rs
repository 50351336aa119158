//! What is kept of a name's addresses when not everything is answered: a family (IPv4, IPv6) that
//! failed keeps its last good answer, one that says "none" beside another that has some is gone.

use std::net::IpAddr;
use std::time::Duration;

use super::resolver::{Families, Found, Nothing};

/// The last good answers for one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Addresses {
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
}

impl Addresses {
    /// All, IPv4 first.
    pub(super) fn all(&self) -> impl Iterator<Item = IpAddr> {
        self.v4.iter().chain(&self.v6).copied()
    }

    /// Takes over what was answered; says for how long that holds.
    ///
    /// # Errors
    /// Why nothing was taken over: everything is as it was.
    pub(super) fn take(&mut self, answer: Families) -> Result<Duration, String> {
        let Families { v4, v6 } = answer;
        let ttl = match (&v4, &v6) {
            (Ok(v4), Ok(v6)) => v4.ttl.min(v6.ttl),
            (Ok(found), Err(_)) | (Err(_), Ok(found)) => found.ttl,
            (Err(Nothing::NoRecords(v4)), Err(Nothing::NoRecords(_))) => return Err(v4.clone()),
            // What failed is the reason; that the other family has none is no news.
            (Err(Nothing::NoAnswer(why)), Err(_)) | (Err(_), Err(Nothing::NoAnswer(why))) => {
                return Err(why.clone());
            }
        };
        update(&mut self.v4, v4);
        update(&mut self.v6, v6);
        Ok(ttl)
    }
}

fn update(known: &mut Vec<IpAddr>, answer: Result<Found<IpAddr>, Nothing>) {
    match answer {
        Ok(found) => {
            // The order of an answer changes with every answer; it is no news.
            *known = found.records;
            known.sort_unstable();
            known.dedup();
        }
        Err(Nothing::NoRecords(_)) => known.clear(),
        Err(Nothing::NoAnswer(_)) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(addresses: &[&str], ttl: u64) -> Result<Found<IpAddr>, Nothing> {
        let records = addresses.iter().map(|a| a.parse().unwrap()).collect();
        Ok(Found { records, ttl: Duration::from_secs(ttl) })
    }

    fn none() -> Result<Found<IpAddr>, Nothing> {
        Err(Nothing::NoRecords("none".into()))
    }

    fn failed() -> Result<Found<IpAddr>, Nothing> {
        Err(Nothing::NoAnswer("SERVFAIL".into()))
    }

    fn known() -> Addresses {
        let mut known = Addresses::default();
        let answer = Families { v4: found(&["10.0.0.2", "10.0.0.1"], 9), v6: found(&["::2"], 7) };
        assert_eq!(known.take(answer), Ok(Duration::from_secs(7)));
        known
    }

    fn all(known: &Addresses) -> Vec<String> {
        known.all().map(|a| a.to_string()).collect()
    }

    #[test]
    fn addresses_are_in_an_order_that_does_not_depend_on_the_answer_s() {
        assert_eq!(all(&known()), ["10.0.0.1", "10.0.0.2", "::2"]);
    }

    #[test]
    fn nothing_at_all_changes_nothing() {
        for (v4, v6, why) in [
            (none(), none(), "none"),
            (failed(), none(), "SERVFAIL"),
            (none(), failed(), "SERVFAIL"),
        ] {
            let mut addresses = known();
            assert_eq!(addresses.take(Families { v4, v6 }), Err(why.to_string()));
            assert_eq!(addresses, known());
        }
    }

    #[test]
    fn a_family_that_fails_keeps_its_last_good_answer() {
        let mut addresses = known();
        let ttl = addresses.take(Families { v4: found(&["10.0.0.3"], 5), v6: failed() });
        assert_eq!(ttl, Ok(Duration::from_secs(5)));
        assert_eq!(all(&addresses), ["10.0.0.3", "::2"]);
    }

    #[test]
    fn a_family_that_is_gone_is_gone() {
        let mut addresses = known();
        addresses.take(Families { v4: none(), v6: found(&["::3"], 5) }).unwrap();
        assert_eq!(all(&addresses), ["::3"]);
    }
}
