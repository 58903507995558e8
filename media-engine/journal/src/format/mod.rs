//! The bytes on disk. Nobody outside of these modules knows an offset.

pub(crate) mod batch;
pub(crate) mod bytes;
pub(crate) mod name;
pub(crate) mod record;
pub(crate) mod segment;
