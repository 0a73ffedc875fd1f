/*
 * `handlers ROUNDS`: starts and ends a handler's thread so often, in three ways; then says so, and waits in one until the device is gone. The
 * last line is what that thread was told.
 */
#include "edu.h"

#include <sched.h>

static edu_t c;

/* What a handler has seen. */
struct seen {
	unsigned long got;
	kp_status end;
	bool ends_itself, has_ended;
};

static void must(kp_status status)
{
	if (status != KP_OK) {
		fprintf(stderr, "handlers: %s\n", edu_error(&c, status));
		exit(1);
	}
}

static void handler(void *context, kp_status status, const kp_notification *got)
{
	struct seen *seen = (struct seen *)context;

	if (status != KP_OK) {
		seen->end = status;
		return;
	}
	seen->got += got->got;
	if (seen->ends_itself) {
		must(edu_off_interrupt(&c, NULL));
		__atomic_store_n(&seen->has_ended, true, __ATOMIC_RELEASE);
	}
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 1000, round;
	struct seen seen;
	kp_counters last;
	uint32_t word;

	must(edu_open(&c, "edu", NULL, 0));
	must(edu_defer_every(&c, 1));
	for (round = 0; round < rounds; round++) {
		memset(&seen, 0, sizeof(seen));
		must(edu_int_enable(&c, KP_INT_ANY, 1, 1, NULL, 0, NULL));
		must(edu_on_interrupt(&c, handler, &seen));
		if (edu_on_interrupt(&c, handler, &seen) != KP_BUSY)
			must(KP_PROTOCOL);
		if (round % 2)
			must(edu_raise(&c, 1));
		must(edu_off_interrupt(&c, &last));
		if (seen.end != KP_INT_DISABLED || seen.got != last.delivered || last.notified != last.delivered + last.lost)
			must(KP_PROTOCOL);
	}
	printf("%d rounds\n", rounds);
	/* A handler that ends itself leaves no thread that is waited for; closing with a handler ends it too. */
	must(edu_int_enable(&c, KP_INT_ANY, 1, 1, NULL, 0, NULL));
	memset(&seen, 0, sizeof(seen));
	seen.ends_itself = true;
	must(edu_on_interrupt(&c, handler, &seen));
	must(edu_raise(&c, 1));
	while (!__atomic_load_n(&seen.has_ended, __ATOMIC_ACQUIRE))
		sched_yield();
	must(edu_int_enable(&c, KP_INT_ANY, 1, 1, NULL, 0, NULL));
	memset(&seen, 0, sizeof(seen));
	must(edu_on_interrupt(&c, handler, &seen));
	must(edu_close(&c));
	if (seen.end != KP_CLOSED)
		must(seen.end);
	must(edu_open(&c, "edu", NULL, 0));
	must(edu_int_enable(&c, KP_INT_ANY, 1, 1, NULL, 0, NULL));
	memset(&seen, 0, sizeof(seen));
	must(edu_on_interrupt(&c, handler, &seen));
	printf("waiting\n");
	fflush(stdout);
	/* A call says that the device is gone, as the thread's wait does. */
	while (edu_invert(&c, 1, &word) == KP_OK)
		;
	edu_off_interrupt(&c, NULL);
	printf("%s\n", kp_status_name(seen.end));
	edu_close(&c);
	return 0;
}
