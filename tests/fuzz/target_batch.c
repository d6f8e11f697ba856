// Messages of ReserveStream as they are read: the straight way against the general one, and both
// against what protobuf-c unpacks. The engine only says which cells there are.
//
//   byte 0: 0 raw, else what shape_message makes of the rest; 2: its lengths as short as may be
#include "fuzz/fuzz_service.h"
#include "fuzz/fuzz_shape.h"

#include "base/status.h"
#include "holdfast/v1/reservation.pb-c.h"
#include "base/prng.h"

#include <stdio.h>
#include <stdlib.h>

#define ROOM 65536

static struct fuzz_service *service;

void fuzz_set_up(void)
{
    static const uint8_t everybody[1];
    struct fuzz_input in = {everybody, everybody + 1};
    fuzz_service_set_up();
    service = fuzz_service_open(&in);
}

// Packs again what was shaped: as clients write it, in the fewest bytes.
static size_t repack(uint8_t *packed, size_t bytes)
{
    Holdfast__V1__ReserveStreamRequest *m =
        holdfast__v1__reserve_stream_request__unpack(NULL, bytes, packed);
    if (!m)
        return bytes;
    size_t count = holdfast__v1__reserve_stream_request__get_packed_size(m);
    if (count <= ROOM)
        bytes = holdfast__v1__reserve_stream_request__pack(m, packed);
    holdfast__v1__reserve_stream_request__free_unpacked(m, NULL);
    return bytes;
}

static size_t shaped(struct fuzz_input *in, uint8_t kind, uint8_t *out)
{
    size_t bytes = shape_message(in, &holdfast__v1__reserve_stream_request__descriptor, out, ROOM);
    return kind == 2 ? repack(out, bytes) : bytes;
}

void fuzz_seeds(void)
{
    static uint8_t packed[ROOM + 1];
    for (uint32_t n = 0; n < 60; n++) {
        struct prng p = {n + 3000};
        uint8_t bytes[300];
        char name[32];
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)prng_next(&p);
        bytes[0] = 1 + n % 2;
        bytes[1] = (uint8_t)(1 + n % 4 * 4);
        snprintf(name, sizeof name, "shape-%02u", n);
        fuzz_seed(name, bytes, sizeof bytes);
        struct fuzz_input in = {bytes + 1, bytes + sizeof bytes};
        packed[0] = 0;
        size_t count = shaped(&in, 2, packed + 1);
        snprintf(name, sizeof name, "raw-%02u", n);
        if (count < 2000)
            fuzz_seed(name, packed, count + 1);
    }
}

void fuzz_one(const uint8_t *data, size_t bytes)
{
    static uint8_t packed[ROOM];
    struct fuzz_input in = {data, data + bytes};
    uint8_t kind = fuzz_byte(&in) % 3;
    size_t count = fuzz_left(&in);
    if (kind == 0)
        memcpy(packed, in.at, count < ROOM ? count : ROOM);
    else
        count = shaped(&in, kind, packed);
    count = count < ROOM ? count : ROOM;
    uint8_t *exact = malloc(count ? count : 1); // so that a read past it is seen
    HF_ASSERT(exact);
    memcpy(exact, packed, count);
    fuzz_service_batch(service, exact, count);
    free(exact);
}
