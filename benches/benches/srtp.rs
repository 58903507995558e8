//! What does it cost more to take an encrypted packet into its track? What `track_…` takes, less what
//! `protect_…` takes, which is the sender's part, less what `track` and not `feed` takes.

mod common;

fn main() {
    common::time(&[
        ("feed", &[1, 8_000]),
        ("track", &[1, 8_000]),
        ("protect_cm", &[1, 8_000]),
        ("track_cm", &[1, 8_000]),
        ("protect_gcm", &[1, 8_000]),
        ("track_gcm", &[1, 8_000]),
    ]);
}
