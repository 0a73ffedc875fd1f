// `random PLUGIN MESSAGES`: the same messages as random.c sends, by the bindings in C++.
#include "echo.hpp"
#include "edu.hpp"

#include <cstdio>
#include <iostream>

static std::uint64_t state = 0x9E3779B97F4A7C15u;

static std::uint32_t below(std::uint32_t limit)
{
	// xorshift64*
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return static_cast<std::uint32_t>((state * UINT64_C(0x2545F4914F6CDD1D)) >> 16) % limit;
}

// A text of bytes, and seldom the longest one.
static std::vector<std::uint8_t> some_text()
{
	std::vector<std::uint8_t> text(below(50) == 0 ? KP_MAX_DATA : below(300));

	for (auto &byte : text)
		byte = static_cast<std::uint8_t>(below(256));
	return text;
}

static void send(echo::device &device)
{
	switch (below(5)) {
	case 0:
		device.say(some_text());
		break;
	case 1:
		device.hear(below(400));
		break;
	case 2: {
		const auto style = static_cast<echo::Style>(below(3));
		const auto trim = static_cast<echo::Trim>(below(4));
		const auto text = some_text();
		device.repeat(style, trim, text, below(400));
		break;
	}
	case 3:
		device.said();
		break;
	default:
		device.nap(below(2));
	}
}

static void send(edu::device &device)
{
	switch (below(5)) {
	case 0:
		device.version();
		break;
	case 1:
		device.identity();
		break;
	case 2:
		device.invert(below(0xFFFFFFFF));
		break;
	case 3:
		device.factorial(below(20));
		break;
	default:
		device.defer_every(below(4));
	}
}

template <typename Device> static void send_all(Device device, int count)
{
	while (count-- > 0) {
		const char *answer = "Ok";

		try {
			send(device);
		} catch (const kp::error &error) {
			answer = error.name();
		}
		std::puts(answer);
	}
}

int main(int argc, char **argv)
{
	try {
		const std::string plugin = argc > 1 ? argv[1] : "";
		const int count = argc > 2 ? std::stoi(argv[2]) : 0;

		if (plugin == "echo")
			send_all(echo::device("echo"), count);
		else
			send_all(edu::device("edu"), count);
	} catch (const std::exception &error) {
		std::cerr << "random: " << error.what() << '\n';
		return 1;
	}
}
