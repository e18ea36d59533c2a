//! How many files, and so connections, the system lets this process have open.

/// Descriptors that the process has from the start: standard streams, listeners, signals, event queues.
const OWN: usize = 24;
/// Files of data, models and posters, connections to stores and model servers.
const FILES: usize = 28;
const REFUSALS: usize = 32;
const ADMIN: usize = 16;

/// How many descriptors are for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Connections that are served.
    pub(crate) connections: usize,
    /// Connections over the limit that are told so, or whose health check is answered.
    pub(crate) refusals: usize,
    /// Connections to the admin port.
    pub(crate) admin: usize,
}

/// Makes room for so many connections as far as the system allows. Where there is little, all have a share, so that
/// health checks and reading files still work when all connections are taken.
pub(crate) fn room_for(connections: usize) -> Room {
    let wanted = connections.saturating_add(OWN + FILES + REFUSALS + ADMIN);
    let Some(limit) = limit(wanted).filter(|&limit| limit < wanted) else {
        return Room { connections, refusals: REFUSALS, admin: ADMIN };
    };
    let room = share(limit, connections);
    tracing::warn!(
        max_connections = connections,
        open_files = limit,
        possible = room.connections,
        "the system's limit on open files (nofile) is too low for server.max_connections: serving fewer"
    );
    room
}

fn share(limit: usize, connections: usize) -> Room {
    let at_most = |most: usize| most.min(limit / 8).max(1);
    let (files, refusals, admin) = (at_most(FILES), at_most(REFUSALS), at_most(ADMIN));
    let possible = limit.saturating_sub(OWN + files + refusals + admin).max(1);
    Room { connections: possible.min(connections), refusals, admin }
}

/// The limit, raised to what is wanted where that is allowed; `None` where there is none.
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
    fn a_limit_that_suffices_or_can_be_raised_changes_nothing() {
        assert_eq!(room_for(10), Room { connections: 10, refusals: REFUSALS, admin: ADMIN });
    }

    #[test]
    fn a_low_limit_is_shared() {
        let shares = |limit| {
            let Room { connections, refusals, admin } = share(limit, 1000);
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
    fn what_no_limit_allows_is_reduced() {
        use rustix::process::{Resource, getrlimit};

        // Tests run with a hard limit below this.
        if getrlimit(Resource::Nofile).maximum.is_some() {
            assert!(room_for(usize::MAX / 2).connections < usize::MAX / 2);
        }
    }
}
