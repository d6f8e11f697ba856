#include "stock/stock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define IDS    300
#define BLOCKS 200
#define HELD   2 // any state that is not FREE

struct world {
    struct stock stock;
    struct stock_thread t;
    struct stock_slots *slots;
};

static int setup(void **state)
{
    static struct world w;
    const struct stock_sizes sizes = {.cells = 1, .ids = IDS, .blocks = BLOCKS, .threads = 1};
    if (stock_init(&w.stock, &sizes) != HF_OK)
        return -1;
    stock_thread_init(&w.stock, &w.t, 0);
    w.slots = &w.stock.slots;
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    stock_fini(&((struct world *)*state)->stock);
    return 0;
}

// ------------------------------------------------------------------------------ pool

static void a_pool_gives_each_index_once_and_then_zero(void **state)
{
    struct world *w = *state;
    bool out[IDS + 1] = {false};
    for (int round = 0; round < 3; round++) {
        memset(out, 0, sizeof out);
        for (uint32_t i = 0; i < IDS; i++) {
            uint32_t index = stock_acquire(&w->t.slots);
            assert_in_range(index, 1, IDS);
            assert_false(out[index]);
            out[index] = true;
        }
        assert_int_equal(stock_acquire(&w->t.slots), 0);
        assert_int_equal(stock_acquire(&w->t.slots), 0);
        assert_false(stock_cache_ensure(&w->t.slots, 1));
        assert_int_equal(stock_pool_free(&w->slots->slot_pool), 0);
        for (uint32_t i = 1; i <= IDS; i++)
            stock_release(&w->t.slots, i);
        stock_cache_flush(&w->t.slots);
        assert_int_equal(w->t.slots.count, 0);
        assert_int_equal(stock_pool_free(&w->slots->slot_pool), IDS);
    }
}

// A chunk of one once counted as a whole one: a pool that was nearly used up was said to be free.
static void short_chunks_are_counted_as_they_are(void **state)
{
    struct world *w = *state;
    for (uint32_t i = 0; i < IDS; i++)
        assert_int_not_equal(stock_acquire(&w->t.slots), 0);
    for (uint32_t i = 1; i <= 10; i++) {
        stock_release(&w->t.slots, i);
        stock_cache_flush(&w->t.slots);
        assert_int_equal(stock_pool_free(&w->slots->slot_pool), i);
    }
    assert_true(stock_cache_ensure(&w->t.slots, 10));
    assert_int_equal(stock_pool_free(&w->slots->slot_pool), 0);
    assert_false(stock_cache_ensure(&w->t.slots, 11));
    assert_int_equal(w->t.slots.count, 10);
}

static void ensuring_never_overflows_a_cache(void **state)
{
    struct world *w = *state;
    for (uint32_t have = 0; have < STOCK_POOL_CHUNK; have++) {
        while (w->t.slots.count > have)
            stock_acquire(&w->t.slots);
        assert_true(stock_cache_ensure(&w->t.slots, STOCK_POOL_CHUNK));
        assert_in_range(w->t.slots.count, STOCK_POOL_CHUNK, 2 * STOCK_POOL_CHUNK);
        stock_cache_flush(&w->t.slots);
        stock_fini(&w->stock);
        setup(state);
        w = *state;
    }
}

// ------------------------------------------------------------------------------ index

static uint32_t slot_make(struct world *w, struct hf_uuid id)
{
    uint32_t index = stock_acquire(&w->t.slots);
    w->slots->slots[index].id = id;
    w->slots->slots[index].word = stock_word_with_state(w->slots->slots[index].word, HELD);
    return index;
}

static void an_id_is_linked_once_and_unlinked_anywhere(void **state)
{
    struct world *w = *state;
    struct hf_uuid ids[IDS];
    uint32_t slots[IDS];
    w->slots->bucket_mask = 3; // long chains
    for (uint32_t i = 0; i < IDS - 1; i++) {
        ids[i] = (struct hf_uuid){i * 0x10000 + 0x7000, i * 31};
        slots[i] = slot_make(w, ids[i]);
        assert_int_equal(stock_find(w->slots, ids[i], stock_hash(w->slots, &ids[i])), 0);
        assert_int_equal(stock_insert(w->slots, slots[i], stock_hash(w->slots, &ids[i])), 0);
    }
    for (uint32_t i = 0; i < IDS - 1; i++) {
        uint32_t twin = slot_make(w, ids[i]);
        assert_int_equal(stock_insert(w->slots, twin, stock_hash(w->slots, &ids[i])), slots[i]);
        stock_release(&w->t.slots, twin);
    }
    for (uint32_t step = 0; step < IDS - 1; step++) { // heads, ends and middles
        uint32_t i = step * 7 % (IDS - 1);
        stock_unlink(w->slots, slots[i]);
        assert_int_equal(stock_find(w->slots, ids[i], stock_hash(w->slots, &ids[i])), 0);
        uint32_t j = (step + 1) * 7 % (IDS - 1);
        if (step + 1 < IDS - 1)
            assert_int_equal(stock_find(w->slots, ids[j], stock_hash(w->slots, &ids[j])), slots[j]);
    }
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(w->slots->buckets[i], 0);
}

// Found by a review: without a key whoever chooses ids chooses their chain, too, and each look-up
// in it takes longer than the one before.
static void ids_of_one_chain_are_apart_under_another_key(void **state)
{
    struct world *w = *state;
    const uint32_t mask = w->slots->bucket_mask;
    struct hf_uuid ids[64];
    uint32_t found = 0, count[64] = {0}, longest = 0;
    for (uint64_t lo = 0; found < 64; lo++) {
        ids[found] = (struct hf_uuid){0x7000, lo};
        found += (stock_hash(w->slots, &ids[found]) & mask) == 0;
    }
    w->slots->hash_key[0] = 0x123456789abcdef0;
    w->slots->hash_key[1] = 0xfedcba9876543210;
    for (uint32_t i = 0; i < 64; i++) {
        uint32_t *n = &count[stock_hash(w->slots, &ids[i]) & mask & 63];
        longest = ++*n > longest ? *n : longest;
    }
    assert_in_range(longest, 1, 8);
}

static void a_free_slot_is_passed_by(void **state)
{
    struct world *w = *state;
    struct hf_uuid id = {0x7000, 1};
    uint64_t hash = stock_hash(w->slots, &id);
    uint32_t first = slot_make(w, id);
    assert_int_equal(stock_insert(w->slots, first, hash), 0);
    w->slots->slots[first].word = stock_word_with_state(w->slots->slots[first].word, 0);
    assert_int_equal(stock_find(w->slots, id, hash), 0);
    uint32_t second = slot_make(w, id);
    assert_int_equal(stock_insert(w->slots, second, hash), 0);
    assert_int_equal(stock_find(w->slots, id, hash), second);
    stock_unlink(w->slots, first);
    assert_int_equal(stock_find(w->slots, id, hash), second);
}

static void a_word_keeps_its_parts(void **state)
{
    (void)state;
    uint64_t w = stock_word_make(UINT64_C(0xdeadbeef) << 32, 15, 15, 255, UINT16_MAX);
    assert_int_equal(stock_word_state(w), 15);
    assert_int_equal(stock_word_kind(w), 15);
    assert_int_equal(stock_word_flags(w), 255);
    assert_int_equal(stock_word_version(w), UINT16_MAX);
    assert_int_equal(w >> 32, 0xdeadbeef);
    assert_int_equal(stock_word_with_state(w, 0), w & ~UINT64_C(15));
}

// ------------------------------------------------------------------------------ lines and text

static void lines_make(struct stock_line *lines, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        lines[i] = (struct stock_line){i * 3, 0, i % 2 ? HF_QUANTITY_MAX - i : i + 1};
}

static void lines_check(struct world *w, uint32_t count, uint32_t text_bytes)
{
    static struct stock_line lines[HF_LINES_MAX], out[HF_LINES_MAX];
    struct stock_slot *slot = &w->slots->slots[1];
    char text[256], back[256];
    unsigned flags = 0;
    lines_make(lines, count);
    memset(text, 'a' + (int)(text_bytes % 26), sizeof text);
    assert_true(
        stock_lines_store(w->slots, &w->t.blocks, slot, lines, count, text, text_bytes, &flags));
    assert_int_equal(stock_lines_load(w->slots, slot, flags, out, HF_LINES_MAX), count);
    assert_memory_equal(out, lines, count * sizeof *out);
    if (flags & STOCK_SLOT_BLOCKS) {
        assert_int_equal(stock_lines_load(w->slots, slot, flags, out, count - 1), 0);
        assert_int_equal(stock_text_load(w->slots, slot, flags, back, sizeof back),
                         (text_bytes + 3) / 4 * 4);
        assert_memory_equal(back, text, text_bytes);
    }
    for (uint32_t i = 0; i < count; i++)
        lines[i].quantity /= 2;
    stock_lines_update(w->slots, slot, flags, lines, count);
    uint32_t kept = flags & STOCK_SLOT_BLOCKS || lines[0].quantity ? count : 0;
    assert_int_equal(stock_lines_load(w->slots, slot, flags, out, HF_LINES_MAX), kept);
    assert_memory_equal(out, lines, kept * sizeof *out);
    uint32_t cached = w->t.blocks.count, used = 0;
    stock_lines_drop(w->slots, &w->t.blocks, slot, flags);
    used = w->t.blocks.count - cached;
    assert_int_equal(slot->a, 0);
    assert_int_equal(slot->b, 0);
    if (w->t.blocks.count >= cached) // no spill in between
        assert_true(used <= stock_blocks_needed(count, text_bytes));
    assert_int_equal(stock_lines_load(w->slots, slot, 0, out, HF_LINES_MAX), 0);
}

static void lines_and_text_come_back(void **state)
{
    struct world *w = *state;
    static const uint32_t counts[] = {1,  2,  9,  10, 11, 19,  20,  21,   22,          29,
                                      30, 31, 39, 40, 41, 100, 705, 1000, HF_LINES_MAX};
    static const uint32_t texts[] = {0, 1, 3, 4, 5, 63, 64, 127, 128, 157, 160, 233, 236};
    for (uint32_t c = 0; c < sizeof counts / sizeof *counts; c++)
        for (uint32_t t = 0; t < sizeof texts / sizeof *texts; t++) {
            lines_check(w, counts[c], texts[t]);
            stock_cache_flush(&w->t.blocks);
            assert_int_equal(stock_pool_free(&w->slots->block_pool), BLOCKS);
        }
}

static void the_bound_on_blocks_holds_everywhere(void **state)
{
    (void)state;
    for (uint32_t text = 0; text <= 236; text++)
        for (uint32_t lines = 1; lines <= HF_LINES_MAX; lines++) {
            uint32_t words = (text + 3) / 4, first = (STOCK_BLOCK_WORDS - words) / 3;
            uint32_t rest = lines > first ? lines - first : 0, per = STOCK_BLOCK_WORDS / 3;
            if (1 + (rest + per - 1) / per > stock_blocks_needed(lines, text))
                fail_msg("%u lines, %u bytes of text", lines, text);
        }
}

static void a_short_line_stays_in_its_slot(void **state)
{
    struct world *w = *state;
    struct stock_slot *slot = &w->slots->slots[1];
    struct stock_line line = {5, 0, UINT32_MAX}, out;
    unsigned flags = STOCK_SLOT_BLOCKS;
    assert_true(stock_lines_store(w->slots, &w->t.blocks, slot, &line, 1, NULL, 0, &flags));
    assert_int_equal(flags, 0);
    assert_int_equal(stock_pool_free(&w->slots->block_pool), BLOCKS);
    assert_int_equal(stock_lines_load(w->slots, slot, flags, &out, 1), 1);
    assert_int_equal(out.quantity, UINT32_MAX);
    line.quantity++;
    assert_true(stock_lines_store(w->slots, &w->t.blocks, slot, &line, 1, NULL, 0, &flags));
    assert_int_equal(flags, STOCK_SLOT_BLOCKS);
    assert_int_equal(stock_lines_load(w->slots, slot, flags, &out, 1), 1);
    assert_int_equal(out.quantity, line.quantity);
}

static void no_block_left_changes_nothing(void **state)
{
    struct world *w = *state;
    static struct stock_line lines[HF_LINES_MAX];
    struct stock_slot *slot = &w->slots->slots[1];
    uint32_t taken = 0, last = 0;
    unsigned flags = 0;
    lines_make(lines, HF_LINES_MAX);
    slot->a = 77;
    slot->b = 88;
    for (uint32_t index; (index = stock_acquire(&w->t.blocks)) != 0; taken++)
        last = index;
    assert_int_equal(taken, BLOCKS);
    assert_false(stock_lines_store(w->slots, &w->t.blocks, slot, lines, 2, NULL, 0, &flags));
    stock_release(&w->t.blocks, last); // one is not enough for 21 lines
    assert_false(stock_lines_store(w->slots, &w->t.blocks, slot, lines, 21, NULL, 0, &flags));
    assert_int_equal(flags, 0);
    assert_int_equal(slot->a, 77);
    assert_int_equal(slot->b, 88);
    assert_int_equal(stock_acquire(&w->t.blocks), last);
    assert_int_equal(stock_acquire(&w->t.blocks), 0);
}

// Readers load before they validate: whatever is there must not lead them astray.
static void any_content_is_safe_to_load(void **state)
{
    struct world *w = *state;
    static struct stock_line out[HF_LINES_MAX];
    char text[256];
    uint64_t random = 1;
    for (int i = 0; i < 20000; i++) {
        struct stock_slot s = {0};
        for (uint32_t k = 0; k < 4; k++) {
            random = hf_mix64(random + 1);
            struct stock_block *b = &w->slots->blocks[random % (BLOCKS + 1)];
            b->next = (uint32_t)(random >> 8) % (random >> 60 ? BLOCKS + 1 : UINT32_MAX);
            b->lines = (uint16_t)(random >> 20) % (random >> 61 ? 21 : UINT16_MAX);
            b->text_words = (uint16_t)(random >> 30) % (random >> 62 ? 60 : UINT16_MAX);
        }
        s.a = (uint32_t)(random >> 40) % (random >> 61 ? BLOCKS + 1 : UINT32_MAX);
        s.b = (uint32_t)(random >> 13) % (HF_LINES_MAX + 2);
        uint32_t n = stock_lines_load(w->slots, &s, STOCK_SLOT_BLOCKS, out, HF_LINES_MAX);
        assert_true(n <= HF_LINES_MAX);
        assert_true(stock_text_load(w->slots, &s, STOCK_SLOT_BLOCKS, text, 160) <= 160);
    }
    w->slots->blocks[1] = (struct stock_block){.next = 1, .lines = 0}; // a ring without lines
    struct stock_slot ring = {.a = 1, .b = 5};
    assert_int_equal(stock_lines_load(w->slots, &ring, STOCK_SLOT_BLOCKS, out, HF_LINES_MAX), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_pool_gives_each_index_once_and_then_zero, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(short_chunks_are_counted_as_they_are, setup, teardown),
        cmocka_unit_test_setup_teardown(ensuring_never_overflows_a_cache, setup, teardown),
        cmocka_unit_test_setup_teardown(an_id_is_linked_once_and_unlinked_anywhere, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(ids_of_one_chain_are_apart_under_another_key, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_free_slot_is_passed_by, setup, teardown),
        cmocka_unit_test(a_word_keeps_its_parts),
        cmocka_unit_test_setup_teardown(lines_and_text_come_back, setup, teardown),
        cmocka_unit_test(the_bound_on_blocks_holds_everywhere),
        cmocka_unit_test_setup_teardown(a_short_line_stays_in_its_slot, setup, teardown),
        cmocka_unit_test_setup_teardown(no_block_left_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(any_content_is_safe_to_load, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
