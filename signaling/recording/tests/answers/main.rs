//! Bodies, session descriptions, offer and answer: tables by row of the requirements.

mod bodies;
mod direction;
mod life;
mod mutations;
mod own_offer;
mod reader;
mod samples;
mod shape;
mod transport;
mod vectors;
