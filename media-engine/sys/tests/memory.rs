//! What the allocator holds goes back to the kernel. Alone in its process, whose memory is looked at.
#![cfg(target_env = "gnu")]

/// KiB that the process has in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
    let number = line.unwrap().split_whitespace().next().unwrap();
    number.parse().unwrap()
}

#[test]
fn what_is_free_between_what_is_used_goes_back_to_the_kernel() {
    const KIB: usize = 96;
    let mut pieces: Vec<Vec<u8>> = (0..1_000).map(|_| vec![1; KIB * 1024]).collect();
    // Every hundredth stays, so that nothing can be cut off as a whole.
    let mut at = 0;
    pieces.retain(|_| {
        at += 1;
        at % 100 == 0
    });
    let before = resident();
    holdfast_sys::memory::give_back();
    let given = before.saturating_sub(resident());
    assert!(given > 500 * KIB, "{given} of {before} KiB");
    assert!(pieces.iter().all(|piece| piece[KIB * 1024 - 1] == 1));
}
