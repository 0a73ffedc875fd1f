/* Asks what the test has made up, of a driver that the test is too: what is answered, line by line. */
#include "probe.h"

#include <poll.h>

static probe_t c;

static void line(const char *what, kp_status status)
{
	printf("%s: %s\n", what, kp_status_name(status));
}

/* Whether the descriptor says that a notification can be taken; waits as long for it. */
static bool is_readable(int ms)
{
	struct pollfd fd = { 0, POLLIN, 0 };

	fd.fd = probe_fd(&c);
	return poll(&fd, 1, ms) == 1 && fd.revents == POLLIN;
}

int main(void)
{
	static uint32_t words[KP_MAX_DATA / 4 + 1];
	probe_pair_t pair, other;
	kp_notification got;
	probe_mode_t mode;
	uint16_t room[4];
	bool four[4];
	size_t count;

	line("open", probe_open(&c, "probe", NULL, 0));
	printf("has %d %d %d\n", probe_has(&c, PROBE_MESSAGE_MODE), probe_has(&c, 5), probe_has(&c, PROBE_MESSAGE_MORE));
	line("a message that the driver has not", probe_more(&c));
	line("no value of an enum", probe_mode(&c, 2, &mode));
	line("a value", probe_mode(&c, PROBE_MODE_ON, &mode));
	line("a reply that is no value", probe_mode(&c, PROBE_MODE_ON, &mode));
	mode = PROBE_MODE_OFF;
	line("a reply that is too short", probe_mode(&c, PROBE_MODE_ON, &mode));
	line("a reply that is said to be too long", probe_mode(&c, PROBE_MODE_ON, &mode));
	memset(&pair, 0, sizeof(pair));
	pair.a = 0x1234;
	pair.on = true;
	line("no flag", probe_both(&c, 4, &pair, &other));
	line("flags", probe_both(&c, PROBE_BITS_A | PROBE_BITS_B, &pair, &other));
	printf("%x %d\n", other.a, other.on);
	line("no bool", probe_both(&c, 0, &pair, &other));
	line("no bool in an array", probe_four(&c, four));
	line("data that are too long", probe_list(&c, words, KP_MAX_DATA / 4 + 1, room, 4, &count));
	line("data that are nowhere", probe_list(&c, NULL, 1, room, 4, &count));
	line("room that is too long", probe_list(&c, words, 1, room, KP_MAX_DATA, &count));
	line("half an element", probe_list(&c, words, 1, room, 4, &count));
	line("two elements", probe_list(&c, words, 1, room, 4, &count));
	printf("%lu: %x %x\n", (unsigned long)count, room[0], room[1]);
	line("the plugin's own error", probe_mode(&c, PROBE_MODE_OFF, &mode));
	printf("%s\n", probe_error(&c, KP_PLUGIN_ERROR));
	line("no kind", probe_int_enable(&c, 0, 1, 1, NULL, 0, NULL));
	line("no vectors", probe_int_enable(&c, KP_INT_ANY, 2, 1, NULL, 0, NULL));
	line("a wait for none", probe_wait_many(&c, 0, 0, 0, &got));
	printf("readable %d\n", is_readable(0));
	line("raise", probe_raise(&c));
	printf("readable %d\n", is_readable(10000));
	line("take", probe_wait(&c, 0, &got));
	printf("readable %d\n", is_readable(0));
	line("close", probe_close(&c));
	line("after that", probe_mode(&c, PROBE_MODE_ON, &mode));
	return 0;
}
