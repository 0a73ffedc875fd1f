/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What C code in a plugin has of the C library. */
#ifndef KP_STRING_H
#define KP_STRING_H

#include <stddef.h>

void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *text);

#endif
