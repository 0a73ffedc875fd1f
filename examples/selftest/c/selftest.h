/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The self test of a card, QEMU's edu, as its maker has it: no operating system, and no memory of its own. */
#ifndef SELFTEST_H
#define SELFTEST_H

#include <stdint.h>

/* How the card is reached. Each function is given `context`. */
struct selftest_card {
	uint32_t (*read)(void *context, uint32_t offset);
	void (*write)(void *context, uint32_t offset, uint32_t value);
	/* Lets a millisecond pass. Not 0: the test is to end now. */
	int (*pause)(void *context);
	void *context;
};

enum selftest_result {
	SELFTEST_PASSED = 0,
	SELFTEST_FAILED = 1,	/* the card answered otherwise */
	SELFTEST_LATE = 2,	/* the card did not finish */
	SELFTEST_ENDED = 3,	/* pause() said so */
};

/* What was done. */
struct selftest_report {
	uint32_t steps;		/* that passed */
	uint32_t expected;	/* by the step that failed */
	uint32_t found;
	uint32_t crc;		/* of all words read, but those of the waits */
};

/* Tests the card. May sleep in pause(). */
enum selftest_result selftest_run(const struct selftest_card *card, struct selftest_report *report);

/* Those of the bits that say why the card interrupts which a self test has set. Can be called anywhere. */
uint32_t selftest_causes(uint32_t bits);

#endif
