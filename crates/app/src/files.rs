//! How many files, and so connections, the system lets this process have open.

/// Descriptors beside those of connections: data, models, connections to stores and model servers.
const OTHERS: usize = 100;

/// Makes room for so many connections as far as the system allows, and says how many there may be.
pub(crate) fn room_for(connections: usize) -> usize {
    let wanted = connections.saturating_add(OTHERS);
    match limit(wanted) {
        Some(limit) if limit < wanted => {
            let possible = limit.saturating_sub(OTHERS).max(1);
            tracing::warn!(
                max_connections = connections,
                open_files = limit,
                possible,
                "the system's limit on open files (nofile) is too low for server.max_connections: serving fewer"
            );
            possible.min(connections)
        }
        _ => connections,
    }
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
        assert_eq!(room_for(10), 10);
    }

    #[cfg(unix)]
    #[test]
    fn what_no_limit_allows_is_reduced() {
        use rustix::process::{Resource, getrlimit};

        // Tests run with a hard limit below this.
        if getrlimit(Resource::Nofile).maximum.is_some() {
            assert!(room_for(usize::MAX / 2) < usize::MAX / 2);
        }
    }
}
