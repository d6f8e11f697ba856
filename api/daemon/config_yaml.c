// The file is one mapping of option names to single values. libyaml loads it as a tree whose nodes
// know their lines; it keeps duplicate keys, so that they can be told.
#include "daemon/config_internal.h"

#include <string.h>
#include <yaml.h>

struct reading {
    struct config *c;
    struct config_errors *e;
    const char *name;
    yaml_document_t *document;
};

static uint32_t line_of(const yaml_node_t *node)
{
    return (uint32_t)node->start_mark.line + 1;
}

// As YAML 1.2's core schema has it: nobody means a folder called ~.
static bool is_null(const yaml_node_t *value)
{
    static const char *const names[] = {"", "~", "null", "Null", "NULL"};
    const char *text = (const char *)value->data.scalar.value;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (value->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strcmp(text, names[i]) == 0)
            return true;
    return false;
}

static void pair_take(struct reading *r, const yaml_node_pair_t *pair)
{
    const yaml_node_t *key = yaml_document_get_node(r->document, pair->key);
    const yaml_node_t *value = yaml_document_get_node(r->document, pair->value);
    char where[100];
    uint32_t line = line_of(key);
    snprintf(where, sizeof where, "%.60s:%u", r->name, line);
    if (key->type != YAML_SCALAR_NODE) {
        config_wrong(r->e, "%s: a key must be an option's name", where);
        return;
    }
    const char *name = (const char *)key->data.scalar.value;
    // Only the one spelling here, so that two can't hide a duplicate from a reader's eye.
    enum config_id id =
        strchr(name, '-') ? CONFIG_OPTION_COUNT : config_find(name, key->data.scalar.length);
    if (id == CONFIG_OPTION_COUNT) {
        config_wrong(r->e, "%s: %.60s: no such option", where, name);
    } else if (value->type != YAML_SCALAR_NODE) {
        config_wrong(r->e, "%s: %s: must be a single value", where, name);
    } else if (strlen((const char *)value->data.scalar.value) != value->data.scalar.length) {
        config_wrong(r->e, "%s: %s: has a NUL in it", where, name);
    } else if (is_null(value)) {
        config_wrong(r->e, "%s: %s: needs a value; an empty one is ''", where, name);
    } else {
        config_take(r->c, id, (const char *)value->data.scalar.value, CONFIG_FILE, line, where,
                    r->e);
    }
}

static void document_take(struct reading *r)
{
    const yaml_node_t *root = yaml_document_get_root_node(r->document);
    if (!root || (root->type == YAML_SCALAR_NODE && root->data.scalar.length == 0))
        return; // nothing but comments
    if (root->type != YAML_MAPPING_NODE) {
        config_wrong(r->e, "%s:%u: must be lines of `option: value`", r->name, line_of(root));
        return;
    }
    for (const yaml_node_pair_t *p = root->data.mapping.pairs.start;
         p < root->data.mapping.pairs.top; p++)
        pair_take(r, p);
}

static void parser_wrong(const yaml_parser_t *parser, struct reading *r)
{
    // At its top level the parser says what it saw; the place in it is the problem's.
    config_wrong(r->e, "%s:%u: no YAML: %s", r->name, (uint32_t)parser->problem_mark.line + 1,
                 parser->problem ? parser->problem : "no memory");
}

void config_yaml(struct config *c, const char *name, const char *text, size_t bytes,
                 struct config_errors *e)
{
    yaml_parser_t parser;
    yaml_document_t document, second;
    struct reading r = {c, e, name, &document};
    if (!yaml_parser_initialize(&parser)) {
        config_wrong(e, "%s: no memory", name);
        return;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
    if (!yaml_parser_load(&parser, &document)) {
        parser_wrong(&parser, &r);
        yaml_parser_delete(&parser);
        return;
    }
    document_take(&r);
    yaml_document_delete(&document);
    if (!yaml_parser_load(&parser, &second)) {
        parser_wrong(&parser, &r);
    } else {
        const yaml_node_t *root = yaml_document_get_root_node(&second);
        if (root)
            config_wrong(e, "%s:%u: a second document", name, line_of(root));
        yaml_document_delete(&second);
    }
    yaml_parser_delete(&parser);
}
