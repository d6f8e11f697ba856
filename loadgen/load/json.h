// Texts in JSON.
#ifndef HOLDFAST_LOADGEN_JSON_H
#define HOLDFAST_LOADGEN_JSON_H

#include <stdio.h>

// In quotes; UTF-8 goes through as it is.
static inline void json_text(FILE *f, const char *text)
{
    fputc('"', f);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c == '"' || *c == '\\')
            fprintf(f, "\\%c", *c);
        else if (*c < 0x20)
            fprintf(f, "\\u%04x", *c);
        else
            fputc(*c, f);
    fputc('"', f);
}

#endif
