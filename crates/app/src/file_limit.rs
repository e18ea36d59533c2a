//! The limit on open files, which bounds the number of connections.

/// Descriptors that the process has from the start: standard streams, listeners, signals, event queues.
const OWN: usize = 24;
/// Files of data, models and posters, connections to stores and model servers.
const FILES: usize = 28;
const REFUSALS: usize = 32;
const ADMIN: usize = 16;

/// The division of file descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// Connections that are served.
    pub(crate) connections: usize,
    /// Connections over the limit, which receive a 503 or the answer to a health check.
    pub(crate) refusals: usize,
    /// Connections to the admin port.
    pub(crate) admin: usize,
}

/// Raises the limit for this many connections, as far as the system allows. A lower limit is divided, so that health
/// checks and files work even if all connections are in use.
pub(crate) fn reserve(connections: usize) -> Descriptors {
    let wanted = connections.saturating_add(OWN + FILES + REFUSALS + ADMIN);
    let Some(limit) = limit(wanted).filter(|&limit| limit < wanted) else {
        return Descriptors { connections, refusals: REFUSALS, admin: ADMIN };
    };
    let descriptors = share(limit, connections);
    tracing::warn!(
        max_connections = connections,
        open_files = limit,
        possible = descriptors.connections,
        "the limit on open files (nofile) is too low for server.max_connections: serving fewer connections"
    );
    descriptors
}

fn share(limit: usize, connections: usize) -> Descriptors {
    let at_most = |most: usize| most.min(limit / 8).max(1);
    let (files, refusals, admin) = (at_most(FILES), at_most(REFUSALS), at_most(ADMIN));
    let possible = limit.saturating_sub(OWN + files + refusals + admin).max(1);
    Descriptors { connections: possible.min(connections), refusals, admin }
}

/// Returns the limit, raised to `wanted` if the system allows it; `None` if there is no limit.
#[cfg(unix)]
fn limit(wanted: usize) -> Option<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let now = getrlimit(Resource::Nofile);
    let current = now.current?;
    let wanted = wanted as u64;
    if current >= wanted {
        return Some(current as usize);
    }
    let raised = now.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised_limit = Rlimit { current: Some(raised), maximum: now.maximum };
    let is_raised = raised > current && setrlimit(Resource::Nofile, raised_limit).is_ok();
    Some(if is_raised { raised } else { current } as usize)
}

#[cfg(not(unix))]
fn limit(_: usize) -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sufficient_limit_reserves_all_descriptors() {
        assert_eq!(reserve(10), Descriptors { connections: 10, refusals: REFUSALS, admin: ADMIN });
    }

    #[test]
    fn low_limit_is_divided() {
        let shares = |limit| {
            let Descriptors { connections, refusals, admin } = share(limit, 1000);
            [connections, refusals, admin]
        };
        assert_eq!(shares(1024), [924, 32, 16]);
        assert_eq!(shares(64), [16, 8, 8]);
        assert_eq!(shares(10), [1, 1, 1]);
        assert_eq!(share(1024, 100).connections, 100);
        for limit in 64..2000 {
            let [connections, refusals, admin] = shares(limit);
            assert!(OWN + connections + refusals + admin + FILES.min(limit / 8) <= limit);
        }
    }

    #[cfg(unix)]
    #[test]
    fn number_of_connections_is_reduced_to_the_hard_limit() {
        use rustix::process::{Resource, getrlimit};

        // Tests run with a hard limit below this.
        if getrlimit(Resource::Nofile).maximum.is_some() {
            assert!(reserve(usize::MAX / 2).connections < usize::MAX / 2);
        }
    }
}
