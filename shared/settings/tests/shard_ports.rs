//! The port range split over the shards.

use holdfast_settings::{PortRange, Settings};

#[test]
fn shards_share_the_range_evenly_and_never_a_port() {
    for (ports, cores) in [
        ("10000-19999", 1),
        ("10000-19999", 3),
        ("1024-65535", 7),
        ("2000-2011", 3),
    ] {
        let list: Vec<String> = (0..cores).map(|core: u32| core.to_string()).collect();
        let text = format!("[media]\nports = \"{ports}\"\ncores = [{}]", list.join(","));
        // SIP's own port lies within the widest range.
        let text = format!("{text}\n[sip]\nlisten = [\"tcp:0.0.0.0:5060\"]");
        let media = Settings::from_toml(&text).unwrap().media;
        let slices: Vec<PortRange> = (0..cores as usize)
            .map(|shard| media.shard_ports(shard).unwrap())
            .collect();
        assert_eq!(media.shard_ports(cores as usize), None);
        assert_eq!(slices[0].first, media.ports.first);
        for slice in &slices {
            assert_eq!((slice.first % 2, slice.last % 2), (0, 1));
            assert_eq!(slice.pairs(), slices[0].pairs());
        }
        for pair in slices.windows(2) {
            assert_eq!(u32::from(pair[0].last) + 1, u32::from(pair[1].first));
        }
        let last = slices[slices.len() - 1].last;
        let unused = u32::from(media.ports.last) - u32::from(last);
        assert!(
            media.ports.contains(last) && unused < 2 * cores,
            "{unused} ports unused"
        );
    }
}
