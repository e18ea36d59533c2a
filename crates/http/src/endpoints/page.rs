//! Pages of lists.

use std::ops::Range;

use crate::parameters::query::Value;
use crate::response::json;
use crate::response::problem::Problem;
use crate::response::schema::{COUNT, Field, Schema};

/// The number of items of a page by default.
pub(crate) const PAGE_SIZE: u32 = 20;

/// The fields of every page before its items.
pub(crate) const TOTAL: Field = Field::new("total", COUNT, "");
pub(crate) const OFFSET: Field = Field::new("offset", COUNT, "");
pub(crate) const SIZE: Field =
    Field::new("size", Schema::Integer { least: 1, most: Some(1000) }, "");

/// The items of a page.
pub(crate) const fn items(schema: &'static Schema) -> Field {
    Field::new("items", Schema::AtMost(1000, schema), "")
}

/// A part of a list.
pub(crate) struct Page {
    pub(crate) total: usize,
    pub(crate) offset: usize,
    pub(crate) size: usize,
    /// The indexes of the items on the page.
    pub(crate) items: Range<usize>,
}

impl Page {
    pub(crate) fn read(
        size: &Value<'_>,
        offset: &Value<'_>,
        total: usize,
    ) -> Result<Self, Problem> {
        Ok(Self::new(total, offset.number()?, size.number()?))
    }

    pub(crate) fn new(total: usize, offset: usize, size: usize) -> Self {
        let start = offset.min(total);
        Self { total, offset, size, items: start..total.min(start + size) }
    }

    /// The beginning of the page's JSON, up to its items.
    pub(crate) fn start(&self) -> Vec<u8> {
        let mut out = b"{".to_vec();
        self.write_start(&mut out);
        out
    }

    /// Writes the beginning of the page's JSON after the brace.
    pub(crate) fn write_start(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"total\":");
        json::integer(out, self.total);
        out.extend_from_slice(b",\"offset\":");
        json::integer(out, self.offset);
        out.extend_from_slice(b",\"size\":");
        json::integer(out, self.size);
        out.extend_from_slice(b",\"items\":");
    }
}
