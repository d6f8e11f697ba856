// SKUs, locations and channels, interned once; pairs of SKU and location are the stock cells.
//
// Insert-only open-addressed tables: one writer at a time (the administrative mutex), readers
// wait-free in any thread. Numbers are dense and never reused.
#ifndef HOLDFAST_STOCK_NAMES_H
#define HOLDFAST_STOCK_NAMES_H

#include "base/status.h"

#include <stdint.h>

struct stock_directory;

// Set-up. Strings of up to bytes_max, at most names_max of them. NULL: no memory.
struct stock_directory *stock_directory_create(uint32_t cells_max, bool huge);
void stock_directory_destroy(struct stock_directory *d);
uint64_t stock_directory_bytes(const struct stock_directory *d); // mapped

// Finds the handle of a pair. HF_NOT_FOUND.
enum hf_status stock_directory_find(const struct stock_directory *d, const char *sku,
                                    uint32_t sku_bytes, const char *location,
                                    uint32_t location_bytes, uint32_t *handle);
// Appends the next cell; its handle must be stock_directory_count before. One writer.
// HF_FULL; HF_EXISTS.
enum hf_status stock_directory_add(struct stock_directory *d, const char *sku, uint32_t sku_bytes,
                                   const char *location, uint32_t location_bytes,
                                   uint32_t *handle);
uint32_t stock_directory_count(const struct stock_directory *d);

struct stock_name {
    const char *sku, *location;
    uint8_t sku_bytes, location_bytes;
};
// handle < count.
struct stock_name stock_directory_name(const struct stock_directory *d, uint32_t handle);
// The oldest cell of a SKU. False: it has none.
bool stock_directory_sku_first(const struct stock_directory *d, const char *sku, uint32_t sku_bytes,
                               uint32_t *handle);
// Cells of one SKU, oldest first: copies up to max handles, returns how many there are.
uint32_t stock_directory_of_sku(const struct stock_directory *d, const char *sku,
                                uint32_t sku_bytes, uint32_t *handles, uint32_t max);
// The next younger cell of the same SKU, as handle + 1; 0: that was the last. handle < count.
uint32_t stock_directory_sku_next(const struct stock_directory *d, uint32_t handle);

// Channels: numbers 1 .. HF_CHANNELS_MAX.
enum hf_status stock_channel_find(const struct stock_directory *d, const char *name,
                                  uint32_t bytes, uint16_t *channel);
enum hf_status stock_channel_add(struct stock_directory *d, const char *name, uint32_t bytes,
                                 uint16_t *channel);
// NULL: unknown. Terminated.
const char *stock_channel_name(const struct stock_directory *d, uint16_t channel);
uint16_t stock_channel_count(const struct stock_directory *d);

// Strict UTF-8 (RFC 3629) without control characters, 1..max bytes. Any thread.
bool stock_name_valid(const char *text, uint32_t bytes, uint32_t max);

#endif
