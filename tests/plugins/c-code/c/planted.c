/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What an interrupt handler calls. Each fault stands by itself in `planted_fault`. */
#include <stdint.h>

/* Rust's, from src/c.rs: an entry of a table that has four. */
uint32_t planted_entry(uint32_t at);

#if defined(PLANTED_none)
/* Allowed: a global that is written, recursion, a call of Rust that cannot fail. */
static uint32_t calls;

static uint32_t planted_fault(uint32_t bits)
{
	calls++;
	return bits > 1 ? 1 + planted_fault(bits >> 1) : planted_entry(bits & 3);
}
#elif defined(PLANTED_library)
int printf(const char *format, ...);

static uint32_t planted_fault(uint32_t bits)
{
	return (uint32_t)printf("%u\n", bits);
}
#elif defined(PLANTED_pointer)
static uint32_t (*volatile planted_hook)(uint32_t) = planted_entry;

static uint32_t planted_fault(uint32_t bits)
{
	return planted_hook(bits & 3) + 1;
}
#elif defined(PLANTED_panic)
uint32_t planted_unchecked(uint32_t at);

static uint32_t planted_fault(uint32_t bits)
{
	return planted_unchecked(bits) + 1;
}
#elif defined(PLANTED_float)
static uint32_t planted_fault(uint32_t bits)
{
	return (uint32_t)(bits * 0.7);
}
#elif defined(PLANTED_frame)
static uint32_t planted_fault(uint32_t bits)
{
	volatile unsigned char room[16384];

	room[bits & 16383] = 1;
	return room[bits & 4095];
}
#elif defined(PLANTED_vla)
static uint32_t planted_fault(uint32_t bits)
{
	volatile unsigned char room[bits];

	room[0] = 1;
	return room[bits - 1];
}
#elif defined(PLANTED_header)
#include <stdio.h>
#endif

uint32_t planted(uint32_t bits);

uint32_t planted(uint32_t bits)
{
	return planted_fault(bits);
}
