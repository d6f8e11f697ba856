// The benchmarks' registration functions, one a module; main.c calls each.
#ifndef HOLDFAST_BENCH_SUITES_H
#define HOLDFAST_BENCH_SUITES_H

void bench_base_register(void);
void bench_memory_register(void);
void bench_storage_register(void);
void bench_stock_register(void);
void bench_journal_register(void);
void bench_core_register(void);
void bench_watch_register(void);
void bench_packet_register(void);

#endif
