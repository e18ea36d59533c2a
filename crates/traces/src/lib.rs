//! The context of traces by the W3C recommendation Trace Context, and the context of the current span.
//!
//! Libraries create spans with `tracing` alone and need to know neither a collector nor its protocol. One that calls another
//! service sends [`current`] as the header `traceparent`. The context comes from the recorder of the spans, which calls
//! [`provide`]. This crate records nothing.

use std::fmt;
use std::sync::OnceLock;

use tracing::{Dispatch, Span, span};

/// The name of the header.
pub const TRACEPARENT: &str = "traceparent";

/// The position in a trace: that of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The id of the trace; not 0.
    pub trace: u128,
    /// The id of the span; not 0.
    pub span: u64,
    /// Whether the trace is recorded.
    pub is_sampled: bool,
}

impl TraceContext {
    /// Reads a header. `None` for an invalid one; parts that later versions append are ignored.
    pub fn parse(header: &[u8]) -> Option<Self> {
        let header = std::str::from_utf8(header).ok()?;
        let mut parts = header.split('-');
        let (version, trace) = (digits(parts.next()?, 2)?, digits(parts.next()?, 32)?);
        let (span, flags) = (digits(parts.next()?, 16)?, digits(parts.next()?, 2)?);
        let is_known = version == 0;
        if version == 0xff || trace == 0 || span == 0 || (is_known && parts.next().is_some()) {
            return None;
        }
        Some(Self { trace, span: u64::try_from(span).ok()?, is_sampled: flags & 1 == 1 })
    }
}

/// A number of exactly this many lower-case hexadecimal digits.
fn digits(text: &str, count: usize) -> Option<u128> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let are_digits = text.len() == count && text.bytes().all(is_digit);
    are_digits.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.is_sampled))
    }
}

/// The context of a span that a subscriber has recorded.
pub type ContextOf = fn(&Dispatch, &span::Id) -> Option<TraceContext>;

static PROVIDER: OnceLock<ContextOf> = OnceLock::new();

/// Sets where [`current`] finds the context of a span. The first call counts.
pub fn provide(context_of: ContextOf) {
    // A later one is of another instance of the same recorder.
    let _ = PROVIDER.set(context_of);
}

/// The context of the current span; `None` if it is not recorded.
pub fn current() -> Option<TraceContext> {
    let context_of = PROVIDER.get()?;
    Span::current().with_subscriber(|(id, dispatch)| context_of(dispatch, id)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn headers_are_read_and_written() {
        let context = TraceContext::parse(EXAMPLE.as_bytes());
        let expected = TraceContext {
            trace: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
            span: 0x00f0_67aa_0ba9_02b7,
            is_sampled: true,
        };
        assert_eq!(context, Some(expected));
        assert_eq!(expected.to_string(), EXAMPLE);
        let not_sampled = EXAMPLE.replace("-01", "-00");
        assert_eq!(
            TraceContext::parse(not_sampled.as_bytes()).map(|context| context.is_sampled),
            Some(false)
        );
        let later = format!("{}-more", EXAMPLE.replacen("00", "cc", 1));
        assert_eq!(TraceContext::parse(later.as_bytes()), Some(expected));
    }

    #[test]
    fn invalid_headers_are_ignored() {
        let zeros = |part: &str| EXAMPLE.replace(part, &"0".repeat(part.len()));
        for header in [
            String::new(),
            EXAMPLE.to_uppercase(),
            EXAMPLE.replacen("00", "ff", 1),
            zeros("4bf92f3577b34da6a3ce929d0e0e4736"),
            zeros("00f067aa0ba902b7"),
            format!("{EXAMPLE}-more"),
            EXAMPLE.replace("-01", ""),
            EXAMPLE.replace("4bf9", "4bf"),
            EXAMPLE.replace("4bf9", "+bf9"),
        ] {
            assert_eq!(TraceContext::parse(header.as_bytes()), None, "{header}");
        }
        assert_eq!(TraceContext::parse(b"\xff"), None);
        assert_eq!(current(), None);
    }
}
