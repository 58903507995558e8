//! Where the state of calls outlives the signaling process.
//!
//! A [`Home`] keeps one blob for each recording, durable when [`Home::commit`] returns. [`Keeper`] is
//! the thread in which a home lives: it takes what is to be saved from a queue, many calls' in one
//! commit, and reports what is durable. What a blob means is not known here.
//!
//! While a home cannot save, the keeper says so once, tries until it can, and says that; all that is
//! wanted then is to be handed to it again. A home that several nodes share also says which calls this
//! node has lost to another one, and which it has adopted.

mod home;
mod keeper;
mod limits;
mod redis;
mod sqlite;

pub use home::{Change, Dialog, Home, Row, StoreError};
pub use keeper::{Keeper, Report, StartError};
pub use redis::{Redis, RedisConfig, RedisMode};
pub use sqlite::Sqlite;
