//! How a stage is timed: short, so that all of them together take half a minute.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use holdfast_benches::{BATCH, Running};

/// Times each stage with each number of streams, per packet.
pub fn time(questions: &[(&str, &[usize])]) {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args();
    for &(name, numbers) in questions {
        let mut group = criterion.benchmark_group(name);
        group.sampling_mode(SamplingMode::Flat);
        group.throughput(Throughput::Elements(BATCH));
        for &streams in numbers {
            // A stage is begun where it is not filtered out, and once.
            let mut running = None;
            group.bench_function(BenchmarkId::from_parameter(streams), |bencher| {
                let begin = || Running::begin(name, streams).expect("a stage of this name");
                let stage = running.get_or_insert_with(begin);
                bencher.iter(|| stage.run(BATCH));
            });
            if let Some(stage) = running {
                stage.finish();
            }
        }
        group.finish();
    }
    criterion.final_summary();
}
