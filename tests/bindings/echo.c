/* What echo's app in Rust does, by the bindings in C. */
#include "echo.h"

static int failed(const echo_t *c, kp_status status)
{
	fprintf(stderr, "echo-c: %s\n", echo_error(c, status));
	return 1;
}

/* Why a handler's thread has ended. */
static void ended(void *context, kp_status status, const kp_notification *got)
{
	(void)got;
	*(kp_status *)context = status;
}

int main(int argc, char **argv)
{
	const char *text = argc > 1 ? argv[1] : "hello, kernel";
	const uint8_t *bytes = (const uint8_t *)text;
	static uint8_t heard[KP_MAX_DATA];
	size_t length = strlen(text);
	echo_said_t said;
	kp_status status, reason = KP_OK;
	uint32_t its;
	echo_t c;

	if ((status = echo_open(&c, "echo", NULL, 0)) != KP_OK)
		return failed(&c, status);
	if ((status = echo_say(&c, bytes, length, &its)) != KP_OK)
		return failed(&c, status);
	if ((status = echo_hear(&c, heard, strlen(text), &length)) != KP_OK)
		return failed(&c, status);
	printf("heard      %.*s\n", (int)length, (char *)heard);
	status = echo_repeat(&c, ECHO_STYLE_LOUD, ECHO_TRIM_START | ECHO_TRIM_END, bytes, strlen(text), heard, strlen(text), &length);
	if (status != KP_OK)
		return failed(&c, status);
	printf("louder     %.*s\n", (int)length, (char *)heard);
	if ((status = echo_said(&c, &said)) != KP_OK)
		return failed(&c, status);
	printf("so far     %llu text, %llu bytes\n", (unsigned long long)said.texts, (unsigned long long)said.bytes);
	/* There is no interrupt, so a handler's thread ends by itself, or because it is told to. */
	if ((status = echo_on_interrupt(&c, ended, &reason)) != KP_OK)
		return failed(&c, status);
	if ((status = echo_off_interrupt(&c, NULL)) != KP_NOT_ENABLED)
		return failed(&c, status);
	if (reason != KP_NOT_ENABLED && reason != KP_INT_DISABLED)
		return failed(&c, reason);
	if ((status = echo_close(&c)) != KP_OK)
		return failed(&c, status);
	return 0;
}
