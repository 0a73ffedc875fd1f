/*
 * The echo plugin's app in C, after docs/abi.md: `gcc -o echo echo.c`, then `./echo [TEXT]`.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/* Requests. Their length is not in the number: it is `size`. */
#define OPEN _IOC(_IOC_READ | _IOC_WRITE, 0xBF, 1, 0)
#define CALL _IOC(_IOC_READ | _IOC_WRITE, 0xBF, 2, 0)
#define NO_REPLY UINT32_MAX

/* The interface: numbers of its messages, and its fingerprint, which `echo::INTERFACE.fingerprint()` is in Rust. */
enum { SAY = 1, HEAR, REPEAT, SAID, NAP, MESSAGES = NAP };
#define FINGERPRINT UINT64_C(0x8b71926de6f25aec)

struct head {
	uint32_t size, flags, status, detail;
};

struct open {
	struct head head;
	uint32_t abi_major, abi_minor;
	uint64_t features;
	uint32_t message_count, interface_version;
	uint64_t fingerprint, data_addr;
	uint32_t data_len, reserved;
	uint64_t session;
};
_Static_assert(sizeof(struct open) == 72, "as docs/abi.md has it");

struct call {
	struct head head;
	uint32_t message, args_len, in_len, out_len;
	uint64_t args_addr, in_addr, out_addr;
};
_Static_assert(sizeof(struct call) == 56, "as docs/abi.md has it");

/* Sends a request. The ioctl itself fails only where no head could be written; else the status decides. */
static void request(int node, unsigned long number, struct head *head, const char *what)
{
	head->status = NO_REPLY;
	if (ioctl(node, number, head) < 0) {
		perror(what);
		exit(1);
	}
	if (head->status != 0) {
		fprintf(stderr, "%s: status %" PRIu32 ", detail %" PRIu32 "\n", what, head->status, head->detail);
		exit(1);
	}
}

/* Sends a message; how many bytes of reply were written. */
static uint32_t call(int node, uint32_t message, const void *args, size_t args_len, const void *data, size_t data_len,
		     void *reply, size_t room)
{
	struct call call = {
		.head.size = sizeof(call),
		.message = message,
		.args_len = args_len,
		.in_len = data_len,
		.out_len = room,
		.args_addr = (uintptr_t)args,
		.in_addr = (uintptr_t)data,
		.out_addr = (uintptr_t)reply,
	};

	request(node, CALL, &call.head, "CALL");
	return call.head.detail;
}

int main(int argc, char **argv)
{
	const char *text = argc > 1 ? argv[1] : "hello, kernel";
	const uint32_t loud[2] = { 1, 1 | 2 }; /* style: Loud; trim: START and END */
	struct open open_echo = {
		.head.size = sizeof(open_echo),
		.abi_major = 1,
		.message_count = MESSAGES,
		.interface_version = 1,
		.fingerprint = FINGERPRINT,
	};
	char heard[65536];
	uint32_t length;
	uint64_t said[2];
	int node = open("/dev/kp/echo", O_RDWR);

	if (node < 0) {
		perror("/dev/kp/echo");
		return 1;
	}
	request(node, OPEN, &open_echo.head, "OPEN");

	call(node, SAY, NULL, 0, text, strlen(text), &length, sizeof(length));
	length = call(node, HEAR, NULL, 0, NULL, 0, heard, sizeof(heard));
	printf("heard      %.*s\n", (int)length, heard);
	length = call(node, REPEAT, loud, sizeof(loud), text, strlen(text), heard, sizeof(heard));
	printf("louder     %.*s\n", (int)length, heard);
	call(node, SAID, NULL, 0, NULL, 0, said, sizeof(said));
	printf("so far     %" PRIu64 " text, %" PRIu64 " bytes\n", said[0], said[1]);
	return 0;
}
