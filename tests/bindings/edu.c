/* What edu's app in Rust does, by the bindings in C. */
#include "edu.h"

#include <time.h>

/* How long an interrupt may take, in seconds. */
#define PATIENCE 10

static edu_t c;

/* Ends the program, unless it went well. */
static void must(kp_status status)
{
	if (status != KP_OK) {
		fprintf(stderr, "edu-c: %s\n", edu_error(&c, status));
		exit(1);
	}
}

/* Ten interrupts, of which every fifth reaches the app. A system may have assigned the device interrupts of one kind only. */
static void interrupts(const char *name, uint32_t kinds)
{
	unsigned long long woken = 0;
	kp_notification got;
	kp_counters counters;
	kp_status status;
	time_t start;
	unsigned i;

	must(edu_defer_every(&c, 5));
	status = edu_int_enable(&c, kinds, 1, 1, NULL, 0, NULL);
	if (status == KP_NO_INTERRUPT) {
		printf("%-10s not what the device was given here\n", name);
		return;
	}
	must(status);
	for (i = 1; i <= 10; i++) {
		must(edu_raise(&c, 1));
		start = time(NULL);
		do {
			must(edu_int_counters(&c, KP_ANY_VECTOR, &counters));
			if (time(NULL) - start > PATIENCE)
				must(KP_TIMEOUT);
		} while (counters.received < i);
		if (i % 5 == 0) {
			must(edu_wait(&c, PATIENCE * 1000, &got));
			woken += got.got;
		}
	}
	must(edu_int_disable(&c, &counters));
	printf("%-10s raised 10: %llu received, %llu deferred to the DPC, app woken %llu times, %llu lost\n", name,
	       (unsigned long long)counters.received, (unsigned long long)counters.deferred, woken,
	       (unsigned long long)counters.lost);
}

int main(int argc, char **argv)
{
	static const uint32_t numbers[] = { 5, 12 };
	edu_identity_t identity;
	edu_version_t version;
	uint32_t word;
	size_t i;

	must(edu_open(&c, argc > 1 ? argv[1] : "edu", NULL, 0));
	must(edu_version(&c, &version));
	printf("plugin     %.*s %u.%02u\n", (int)sizeof(version.name), (const char *)version.name, (unsigned)version.number / 100,
	       (unsigned)version.number % 100);
	must(edu_identity(&c, &identity));
	must(edu_invert(&c, 0x0f0f0f0f, &word));
	printf("device     edu %u.%u, alive: !0x0f0f0f0f = 0x%08lx\n", identity.major, identity.minor, (unsigned long)word);
	for (i = 0; i < 2; i++) {
		must(edu_factorial(&c, numbers[i], &word));
		printf("factorial  %lu! = %lu, computed by the device\n", (unsigned long)numbers[i], (unsigned long)word);
	}
	interrupts("INTx", KP_INT_LINE);
	interrupts("MSI", KP_INT_MSI);
	must(edu_close(&c));
	return 0;
}
