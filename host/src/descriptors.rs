//! File descriptors: how many the process may open, and how many connections may use. The rest is reserved for the
//! store, files and outgoing requests, which must not fail because of clients.

/// The lowest limit of connections, however few descriptors there are.
const MIN_CONNECTIONS: usize = 16;
/// The smallest reserve of descriptors.
const MIN_RESERVE: usize = 128;
/// The limit of connections of the probe listener.
const PROBE_CONNECTIONS: usize = 64;

/// The number of connections that each listener may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connections {
    /// The ingress.
    pub(crate) ingress: usize,
    /// The admin interface.
    pub(crate) admin: usize,
    /// The probe listener.
    pub(crate) probe: usize,
    /// The Unix socket of the admin interface, if there is one.
    pub(crate) socket: usize,
}

/// Raises the soft limit of descriptors to the hard limit. Returns the limit, if the system has one.
pub(crate) fn raise() -> Option<usize> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        let limit = if raised.is_ok() { maximum } else { current };
        limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
    }
    #[cfg(not(target_os = "linux"))]
    {
        None
    }
}

impl Connections {
    /// Divides the descriptors among the listeners. Logs a warning if they do not suffice for the configured number.
    #[must_use]
    pub(crate) fn within(wanted: usize, descriptors: Option<usize>) -> Self {
        let Some(descriptors) = descriptors else {
            return Self { ingress: wanted, admin: wanted, probe: PROBE_CONNECTIONS, socket: 0 };
        };
        let reserve = (descriptors / 4).max(MIN_RESERVE);
        let all = descriptors.saturating_sub(reserve).max(MIN_CONNECTIONS);
        let admin = wanted.min(all / 8);
        let probe = PROBE_CONNECTIONS.min(all / 8);
        let ingress = wanted.min(all - admin - probe);
        if ingress < wanted {
            tracing::warn!(
                descriptors,
                connections = ingress,
                "the limit of open files allows fewer connections than `http.max_connections` = {wanted}; raise it with `ulimit -n` or `LimitNOFILE`"
            );
        }
        Self { ingress, admin, probe, socket: 0 }
    }

    /// Gives a quarter of the connections of the admin interface to its Unix socket.
    #[must_use]
    pub(crate) fn with_socket(self) -> Self {
        let socket = (self.admin / 4).max(1);
        Self { admin: (self.admin - socket.min(self.admin)).max(1), socket, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_to_others() {
        for (wanted, descriptors, ingress, admin, probe) in [
            (4_096, None, 4_096, 4_096, 64),
            (4_096, Some(1 << 20), 4_096, 4_096, 64),
            (4_096, Some(1_024), 608, 96, 64),
            (100, Some(1_024), 100, 96, 64),
            (4_096, Some(256), 96, 16, 16),
            (4_096, Some(20), 12, 2, 2),
            (1, Some(1 << 20), 1, 1, 64),
        ] {
            let expected = Connections { ingress, admin, probe, socket: 0 };
            assert_eq!(Connections::within(wanted, descriptors), expected, "{wanted} {descriptors:?}");
        }
    }

    #[test]
    fn the_socket_shares_the_connections_of_the_admin_interface() {
        for (wanted, admin, socket) in [(100, 75, 25), (2, 1, 1), (1, 1, 1)] {
            let connections = Connections::within(wanted, None).with_socket();
            assert_eq!((connections.admin, connections.socket), (admin, socket), "{wanted}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_soft_limit_is_raised() {
        use rustix::process::{Resource, getrlimit};
        let limit = raise();
        let now = getrlimit(Resource::Nofile);
        assert_eq!(now.current.map(|current| usize::try_from(current).unwrap()), limit);
        assert_eq!(now.current, now.maximum);
    }
}
