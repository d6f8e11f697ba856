// What the files of the configuration share.
#ifndef HOLDFAST_API_CONFIG_INTERNAL_H
#define HOLDFAST_API_CONFIG_INTERNAL_H

#include "daemon/config.h"

#include <stddef.h>

enum config_type {
#define X(name, c, text) CONFIG_TYPE_##name,
    CONFIG_TYPE_TABLE(X)
#undef X
        CONFIG_TYPES
};

struct config_option {
    const char *key, *fallback, *help;
    enum config_type type;
    uint64_t min, max;
    size_t offset; // in struct config
};
extern const struct config_option config_options[CONFIG_OPTION_COUNT];
const char *config_type_name(enum config_type t); // as the help shows it

#define CONFIG_TEXT_BYTES 128 // a value as text, TEXT excepted

// Reads `text` into the option's field of c. False: the field is as it was, why says what is wrong,
// beginning with the text.
bool config_value_set(struct config *c, enum config_id id, const char *text, char why[200]);
// The field as text that config_value_set reads. TEXT: the text itself.
const char *config_value_text(const struct config *c, enum config_id id,
                              char buffer[CONFIG_TEXT_BYTES]);
// A limit of the option in its unit.
void config_number_text(enum config_type t, uint64_t value, char buffer[CONFIG_TEXT_BYTES]);

void config_wrong(struct config_errors *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void config_warn(struct config_errors *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

// Option of a key of `bytes` bytes, with `-` as good as `_`; CONFIG_OPTION_COUNT: none.
enum config_id config_find(const char *key, size_t bytes);
// From a source: counts it in, errors begin with `where`.
void config_take(struct config *c, enum config_id id, const char *text, enum config_source source,
                 uint32_t line, const char *where, struct config_errors *e);
// The YAML text of file `name`, which is for messages.
void config_yaml(struct config *c, const char *name, const char *text, size_t bytes,
                 struct config_errors *e);
// What concerns more than one option.
void config_relations(const struct config *c, struct config_errors *e);

#endif
