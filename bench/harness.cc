// The one C++ file: Google Benchmark behind harness.h.
#include "harness.h"

#include <benchmark/benchmark.h>

struct bench_state {
    benchmark::State *state;
};

void bench_register(const char *name, bench_run run, const struct bench_options *options)
{
    benchmark::internal::Benchmark *b =
        benchmark::RegisterBenchmark(name, [run](benchmark::State &state) {
            bench_state s = {&state};
            run(&s);
        });
    b->UseRealTime();
    if (!options)
        return;
    for (unsigned i = 0; i < options->arg_count; i++)
        b->Arg(options->args[i]);
    if (options->threads > 1)
        b->Threads(static_cast<int>(options->threads));
}

bool bench_next(struct bench_state *s, uint64_t batch)
{
    return s->state->KeepRunningBatch(static_cast<benchmark::IterationCount>(batch));
}

void bench_pause(struct bench_state *s)
{
    s->state->PauseTiming();
}

void bench_resume(struct bench_state *s)
{
    s->state->ResumeTiming();
}

int64_t bench_arg(const struct bench_state *s)
{
    return s->state->range(0);
}

unsigned bench_thread(const struct bench_state *s)
{
    return static_cast<unsigned>(s->state->thread_index());
}

uint64_t bench_iterations(const struct bench_state *s)
{
    return static_cast<uint64_t>(s->state->iterations());
}

void bench_items(struct bench_state *s, uint64_t items)
{
    s->state->SetItemsProcessed(static_cast<int64_t>(items));
}

void bench_bytes(struct bench_state *s, uint64_t bytes)
{
    s->state->SetBytesProcessed(static_cast<int64_t>(bytes));
}

void bench_counter(struct bench_state *s, const char *name, double value)
{
    s->state->counters[name] = value;
}

void bench_skip(struct bench_state *s, const char *why)
{
    s->state->SkipWithError(why);
}

int bench_main(int argc, char **argv)
{
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv))
        return 2;
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
