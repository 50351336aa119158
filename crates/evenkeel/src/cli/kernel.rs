//! What the running kernel is set to, where that decides how a configuration fares under a flood of
//! connections. Owns what is looked at and the advice; changes nothing.

use evenkeel_config::Config;

/// Connections that a listening socket asks the kernel to keep waiting.
const BACKLOG: u64 = 4096;
/// Descriptors of a connection that is passed on: the client's and the server's.
const DESCRIPTORS: u64 = 2;

/// What is looked at; what cannot be read is not judged.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kernel {
    syncookies: Option<u64>,
    somaxconn: Option<u64>,
    descriptors: Option<u64>,
}

impl Kernel {
    /// Of this machine and process.
    pub(crate) fn running() -> Self {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/sys/net/{name}")).ok();
        let number = |name: &str| read(name)?.trim().parse().ok();
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        Self {
            syncookies: number("ipv4/tcp_syncookies"),
            somaxconn: number("core/somaxconn"),
            descriptors: open_files(&limits),
        }
    }

    /// What to change, a sentence for each; nothing if all is well.
    pub(crate) fn advice(&self, config: &Config) -> Vec<String> {
        let mut advice = Vec::new();
        if self.syncookies == Some(0) {
            advice.push(
                "this kernel answers a SYN flood with refusals: `sysctl net.ipv4.tcp_syncookies=1` \
                 lets clients in all the same"
                    .to_owned(),
            );
        }
        if let Some(most) = self.somaxconn.filter(|most| *most < BACKLOG) {
            advice.push(format!(
                "this kernel lets {most} connections wait for an accept, not {BACKLOG}: a burst is \
                 dropped; `sysctl net.core.somaxconn={BACKLOG}`"
            ));
        }
        let wanted = config.listeners.iter().filter_map(|l| l.limits.connections).map(u64::from);
        let needed = wanted.fold(0_u64, |sum, n| sum.saturating_add(n)).saturating_mul(DESCRIPTORS);
        if let Some(most) = self.descriptors.filter(|most| *most < needed) {
            advice.push(format!(
                "the listeners may have connections that need {needed} open files, but this process \
                 may have {most}: raise it (`LimitNOFILE=` of the systemd unit, `ulimit -Hn`)"
            ));
        }
        advice
    }
}

/// The hard limit: it is what the soft one is raised to.
fn open_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use evenkeel_config::{Source, load};

    use super::*;

    fn config(connections: u32) -> Config {
        let text = format!(
            "listeners: {{ l: {{ bind: \":1\", tcp: {{ to: a }}, limits: {{ connections: {connections} }} }} }}\n\
             pools: {{ a: {{ servers: [\"127.0.0.1:1\"] }} }}\n"
        );
        load(&[Source { name: "f".into(), text }], &|_| None).unwrap().config
    }

    #[test]
    fn a_kernel_that_is_set_well_needs_no_advice() {
        let kernel =
            Kernel { syncookies: Some(1), somaxconn: Some(4096), descriptors: Some(200_000) };
        assert_eq!(kernel.advice(&config(100_000)), Vec::<String>::new());
        assert_eq!(Kernel::default().advice(&config(100_000)), Vec::<String>::new());
    }

    #[test]
    fn what_a_flood_would_show_is_said_before() {
        let kernel =
            Kernel { syncookies: Some(0), somaxconn: Some(128), descriptors: Some(199_999) };
        let said = kernel.advice(&config(100_000));
        for (said, words) in said.iter().zip(["tcp_syncookies=1", "somaxconn=4096", "200000"]) {
            assert!(said.contains(words), "{said}");
        }
        assert_eq!(said.len(), 3);
    }

    #[test]
    fn the_hard_limit_is_what_counts() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files\n";
        assert_eq!(open_files(limits), Some(524_288));
    }
}
