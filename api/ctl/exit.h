// How holdfastctl ends, for scripts: code, name, help. docs/holdfastctl.md shows the same table.
#ifndef HOLDFAST_CTL_EXIT_H
#define HOLDFAST_CTL_EXIT_H

#define CTL_EXIT_TABLE(X)                                                                          \
    X(0, OK, "done")                                                                               \
    X(1, REFUSED, "a business answer: not enough stock, expired, wrong state, another value")      \
    X(2, USAGE, "the command line or a file given to it is wrong; nothing was sent")               \
    X(3, NOT_FOUND, "no such reservation, cell, SKU or channel")                                   \
    X(4, REJECTED, "the server rejects the request: bad input, an id used before or too old")      \
    X(5, PARTLY, "an import left rows undone, or orders were not told; each is named")             \
    X(6, FORBIDDEN, "the API key is missing or unknown, or may not do this")                       \
    X(7, UNREACHED, "no answer, or not serving; what was asked may have been done: ask again")     \
    X(8, BUSY, "the server was too busy, at every try")                                            \
    X(9, FAILED, "something failed here, or inside the server")                                    \
    X(10, DAMAGED, "journal: damaged, of another engine, or written by a newer version")
enum ctl_exit {
#define X(code, name, help) CTL_##name = code,
    CTL_EXIT_TABLE(X)
#undef X
};

#endif
