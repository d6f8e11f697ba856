// Time zones by their names in the tz database: which day and time it is there. A zone never
// changes, so any thread may ask.
#ifndef HOLDFAST_SYS_ZONE_H
#define HOLDFAST_SYS_ZONE_H

#include <stdbool.h>
#include <stdint.h>

struct zone;

// "Europe/Berlin", "UTC". NULL: there is no such zone. Set-up, reads files.
struct zone *zone_create(const char *name);
void zone_destroy(struct zone *z);
// The calendar day there, in days since 1970-01-01; ms since 1970 in UTC.
int32_t zone_day(const struct zone *z, uint64_t ms);
// Minutes since its midnight, by the clock on the wall there.
uint32_t zone_minute(const struct zone *z, uint64_t ms);
// "2026-11-26T10:00:00.5+01:00" or with Z, as RFC 3339 has it, in milliseconds since 1970. False:
// not understood, without a zone, or before 1970.
bool zone_time_parse(const char *text, uint64_t *ms);

#endif
