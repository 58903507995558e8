//! Damaged messages in random order: nothing panics, nothing is answered twice, and a good call
//! beside them is not disturbed. `SEED=…` replays one run.

use crate::peer::{Ask, Src, invite, metadata, offer};
use crate::world::World;

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }
}

fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..random.below(6) {
        let at = random.below(bytes.len());
        match random.below(5) {
            0 => bytes[at] = random.below(256) as u8,
            1 => bytes.truncate(at.max(1)),
            2 => {
                let end = (at + random.below(40)).min(bytes.len());
                bytes.drain(at..end);
            }
            3 => {
                let end = (at + random.below(200)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => {
                let words: [&[u8]; 6] = [b"\r\n", b"inactive", b"0", b"-1", b"65536", b"</"];
                bytes.splice(at..at, words[random.below(6)].iter().copied());
            }
        }
        if bytes.is_empty() {
            return;
        }
    }
}

#[test]
fn damage_stops_nothing() {
    let seeds = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seeds: Vec<u64> = seeds.map_or_else(|| (1..=40).collect(), |seed| vec![seed]);
    for seed in seeds {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut world = World::new();
        world.takes_damage = true;
        let mut good = world.call("good");
        let mut bad = world.call("bad");
        for round in 0..60_u32 {
            let ask = match random.below(6) {
                0 => invite(),
                1 => Ask::new("UPDATE").metadata(&metadata()),
                2 => Ask::new("INVITE").sdp(&offer("inactive")),
                3 => Ask::new("INVITE"),
                4 => Ask::new("ACK").sole_body("application/sdp", &offer("sendonly")),
                _ => Ask::new("UPDATE").sdp(&offer("sendonly")),
            };
            bad.cseq = round + 2;
            if random.below(4) == 0 {
                bad = Src {
                    to_tag: String::new(),
                    ..Src::new(&format!("bad-{round}"))
                };
            }
            let mut bytes = bad.write(&ask, bad.cseq);
            mutate(&mut random, &mut bytes);
            world.engine.manner.is_silent = random.below(10) == 0;
            world.receive(&bytes);
            world.engine_speaks();
            if random.below(12) == 0 {
                world.disconnect();
                world.connect();
            }
            world.pass(std::time::Duration::from_millis(random.below(3_000) as u64));
        }
        let ok = world.answer(&mut good, &Ask::new("BYE"));
        assert_eq!(ok.status(), 200, "SEED={seed}");
        world.recorder.begin_shutdown(world.now, world.wall());
        world.settle();
        world.pass_secs(80); // Ports rest; BYEs are given up.
        assert!(world.recorder.is_finished(), "SEED={seed}");
        assert_eq!(world.recorder.statistics().calls, 0, "SEED={seed}");
        assert_eq!(
            world.recorder.free_pairs(world.now),
            100,
            "SEED={seed}: ports are lost"
        );
        assert!(
            world
                .recorder
                .poll_timeout()
                .is_none_or(|at| at > world.now),
            "SEED={seed}"
        );
    }
}
