//! The recorder in simulated time, with a peer that writes messages and an engine that keeps its
//! word. One scenario a file, named for it.

mod engine;
mod peer;
mod world;

mod ack_lost;
mod bad_input;
mod basic_call;
mod bye_with_metadata;
mod cancel;
mod capacity;
mod drain;
mod engine_away;
mod engine_restart;
mod fencing;
mod leases;
mod marks;
mod mutations;
mod offerless;
mod operator;
mod outgoing;
mod pause_and_resume;
mod pause_model;
mod port_in_use;
mod recovery_machine;
mod replaces;
mod samples;
mod saved_form;
mod session_timer;
mod sessions_and_people;
mod shutdown;
mod silence;
mod snapshot;
mod store_away;
mod streams_added_and_removed;
mod update_with_metadata;
mod vendors;
