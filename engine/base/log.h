// Structured log lines for changes of state: never one a request, never a secret or a buyer key.
#ifndef HOLDFAST_BASE_LOG_H
#define HOLDFAST_BASE_LOG_H

enum hf_log_level { HF_LOG_DEBUG, HF_LOG_INFO, HF_LOG_WARN, HF_LOG_ERROR };

// Receives one whole line without a newline. Any thread; may block.
typedef void (*hf_log_sink)(void *ctx, enum hf_log_level level, const char *line);

// Set-up only, one thread. NULL restores the default: stderr.
void hf_log_set_sink(hf_log_sink sink, void *ctx);
void hf_log_set_level(enum hf_log_level least);

// The line is `event key=value ...`: fmt holds the pairs. Cut at 1,000 bytes.
void hf_log(enum hf_log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
