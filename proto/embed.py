#!/usr/bin/env python3
"""Writes a file's bytes as a C array. Usage: embed.py INPUT OUTPUT.c NAME"""
import sys

source, target, name = sys.argv[1:]
with open(source, "rb") as f:
    data = f.read()
rows = [", ".join(str(b) for b in data[i:i + 20]) for i in range(0, len(data), 20)]
with open(target, "w", encoding="ascii") as f:
    f.write("#include <stddef.h>\n\n"
            f"extern const unsigned char {name}[];\nextern const size_t {name}_bytes;\n"
            f"const unsigned char {name}[] = {{\n    " + ",\n    ".join(rows) + "};\n"
            f"const size_t {name}_bytes = sizeof {name};\n")
