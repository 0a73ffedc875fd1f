/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "selftest.h"

#include <stddef.h>
#include <string.h>

/* Registers of BAR 0. Source: QEMU's documentation, docs/specs/edu. */
enum { LIVENESS = 0x04, FACTORIAL = 0x08, STATUS = 0x20 };

/* STATUS: a factorial is being computed. */
#define COMPUTING 1u
/* How many pauses a factorial may take. */
#define PATIENCE 200
/* The causes of an interrupt that belong to self tests. */
#define CAUSES 0xff00u

/* One step: a word is written, the card may have to finish, another is read. */
struct step {
	uint32_t offset;
	uint32_t write;
	uint32_t busy;		/* bits of STATUS that have to be gone before the read */
	uint32_t read;
};

static const struct step steps[] = {
	{ LIVENESS, 0x00000000u, 0, 0xffffffffu },
	{ LIVENESS, 0xffffffffu, 0, 0x00000000u },
	{ LIVENESS, 0x55aa0ff0u, 0, 0xaa55f00fu },
	{ FACTORIAL, 1, COMPUTING, 1 },
	{ FACTORIAL, 5, COMPUTING, 120 },
	{ FACTORIAL, 12, COMPUTING, 479001600 },
};

/* CRC-32 as in IEEE 802.3, a bit at a time. */
static uint32_t crc32(uint32_t crc, uint32_t word)
{
	unsigned char bytes[4];
	size_t at;
	int bit;

	memcpy(bytes, &word, sizeof(bytes));
	crc = ~crc;
	for (at = 0; at < sizeof(bytes); at++) {
		crc ^= bytes[at];
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

/* Waits until bits of STATUS are gone. */
static enum selftest_result settle(const struct selftest_card *card, uint32_t busy)
{
	int pauses;

	for (pauses = 0; card->read(card->context, STATUS) & busy; pauses++) {
		if (pauses == PATIENCE)
			return SELFTEST_LATE;
		if (card->pause(card->context) != 0)
			return SELFTEST_ENDED;
	}
	return SELFTEST_PASSED;
}

enum selftest_result selftest_run(const struct selftest_card *card, struct selftest_report *report)
{
	enum selftest_result result;
	size_t at;

	memset(report, 0, sizeof(*report));
	for (at = 0; at < sizeof(steps) / sizeof(steps[0]); at++) {
		const struct step *step = &steps[at];

		card->write(card->context, step->offset, step->write);
		result = step->busy ? settle(card, step->busy) : SELFTEST_PASSED;
		if (result != SELFTEST_PASSED)
			return result;
		report->expected = step->read;
		report->found = card->read(card->context, step->offset);
		if (report->found != report->expected)
			return SELFTEST_FAILED;
		report->crc = crc32(report->crc, report->found);
		report->steps++;
	}
	return SELFTEST_PASSED;
}

uint32_t selftest_causes(uint32_t bits)
{
	return bits & CAUSES;
}
