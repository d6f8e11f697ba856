// UUID text against a reading of the grammar, one character after the other.
#include "fuzz/fuzz.h"

#include "base/status.h"
#include "base/uuid.h"

#include <stdlib.h>

static const char digits[] = "0123456789abcdef";
static const char sample[] = "01890a5d-ac96-774b-bcce-b302099a8057";

static bool oracle(const char *text, struct hf_uuid *id)
{
    uint64_t half[2] = {0, 0};
    if (strlen(text) != 36)
        return false;
    for (unsigned i = 0, n = 0; i < 36; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (text[i] != '-')
                return false;
            continue;
        }
        char lower = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] + 32) : text[i];
        const char *digit = strchr(digits, lower);
        if (!digit || !*digit)
            return false;
        half[n / 16] = half[n / 16] << 4 | (uint64_t)(digit - digits);
        n++;
    }
    *id = (struct hf_uuid){half[0], half[1]};
    return true;
}

static void judge(const char *text)
{
    const struct hf_uuid before = {1, 2};
    struct hf_uuid wanted = before, id = before, again;
    char written[HF_UUID_TEXT_BYTES];
    bool good = oracle(text, &wanted);
    HF_ASSERT(hf_uuid_parse(text, &id) == good);
    HF_ASSERT(hf_uuid_equal(id, wanted));
    hf_uuid_format(id, written);
    HF_ASSERT(strlen(written) == 36 && hf_uuid_parse(written, &again) && hf_uuid_equal(again, id));
    for (unsigned i = 0; good && i < 36; i++)
        HF_ASSERT(written[i] == (text[i] >= 'A' && text[i] <= 'F' ? text[i] + 32 : text[i]));
}

void fuzz_set_up(void)
{
}

void fuzz_seeds(void)
{
    fuzz_seed_text("canonical", sample);
    fuzz_seed_text("upper", "01890A5D-AC96-774B-BCCE-B302099A8057");
    fuzz_seed_text("short", "01890a5d-ac96-774b-bcce-b302099a805");
    fuzz_seed_text("long", "01890a5d-ac96-774b-bcce-b302099a80577");
    fuzz_seed_text("dash", "01890a5d-ac96-774b-bcce0b302099a8057");
    fuzz_seed_text("letter", "01890a5d-ac96-774b-bcce-b302099a805g");
    fuzz_seed("flip", "\x05\x1f", 2);
}

// A short input changes one character of a good text: most of what could be wrong is there.
void fuzz_one(const uint8_t *data, size_t bytes)
{
    char *text = bytes == 2 ? fuzz_text(sample, 36) : fuzz_text(data, bytes);
    if (bytes == 2)
        text[data[0] % 36] = (char)data[1];
    judge(text);
    free(text);
}
