/*
 * `random PLUGIN MESSAGES`: sends messages that a sequence of numbers makes, to echo or to edu, and prints what each was answered. The test has
 * kp-user send the same ones.
 */
#include "echo.h"
#include "edu.h"

static uint64_t state = 0x9E3779B97F4A7C15u;

static uint32_t below(uint32_t limit)
{
	/* xorshift64* */
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t)((state * UINT64_C(0x2545F4914F6CDD1D)) >> 16) % limit;
}

static uint8_t text[KP_MAX_DATA], room[KP_MAX_DATA];

/* A text of bytes, and seldom the longest one. */
static size_t some_text(void)
{
	size_t len = below(50) == 0 ? sizeof(text) : below(300), at;

	for (at = 0; at < len; at++)
		text[at] = (uint8_t)below(256);
	return len;
}

static kp_status of_echo(echo_t *c)
{
	echo_style_t style;
	echo_trim_t trim;
	echo_said_t said;
	uint32_t number;
	size_t len, got;

	switch (below(5)) {
	case 0:
		len = some_text();
		return echo_say(c, text, len, &number);
	case 1: return echo_hear(c, room, below(400), &got);
	case 2:
		style = below(3);
		trim = below(4);
		len = some_text();
		return echo_repeat(c, style, trim, text, len, room, below(400), &got);
	case 3: return echo_said(c, &said);
	default: return echo_nap(c, below(2));
	}
}

static kp_status of_edu(edu_t *c)
{
	edu_identity_t identity;
	edu_version_t version;
	uint32_t number;

	switch (below(5)) {
	case 0: return edu_version(c, &version);
	case 1: return edu_identity(c, &identity);
	case 2: return edu_invert(c, below(0xFFFFFFFF), &number);
	case 3: return edu_factorial(c, below(20), &number);
	default: return edu_defer_every(c, below(4));
	}
}

static int end(const char *why)
{
	fprintf(stderr, "random: %s\n", why);
	return 1;
}

int main(int argc, char **argv)
{
	int count = argc > 2 ? atoi(argv[2]) : 0;
	kp_status status;

	if (argc > 1 && strcmp(argv[1], "echo") == 0) {
		echo_t c;

		if ((status = echo_open(&c, "echo", NULL, 0)) != KP_OK)
			return end(echo_error(&c, status));
		while (count-- > 0)
			printf("%s\n", kp_status_name(of_echo(&c)));
		echo_close(&c);
	} else {
		edu_t c;

		if ((status = edu_open(&c, "edu", NULL, 0)) != KP_OK)
			return end(edu_error(&c, status));
		while (count-- > 0)
			printf("%s\n", kp_status_name(of_edu(&c)));
		edu_close(&c);
	}
	return 0;
}
