// holdfast-bench: every micro-benchmark of the tree. Google Benchmark's flags apply; --help.
#include "harness.h"
#include "suites.h"

int main(int argc, char **argv)
{
    bench_base_register();
    bench_memory_register();
    bench_storage_register();
    bench_stock_register();
    bench_journal_register();
    bench_core_register();
    bench_watch_register();
    bench_packet_register();
    return bench_main(argc, argv);
}
