// `handlers ROUNDS`: starts and ends a handler so often; then what a handler throws, one that ends itself, one that outlives its device. At the
// end it says so, and waits in one until the device is gone. The last line is what that thread was told.
#include "edu.hpp"

#include <iostream>
#include <stdexcept>

static void must(bool holds, const char *what)
{
	if (!holds)
		throw std::runtime_error(what);
}

static void until(const std::atomic<bool> &done)
{
	while (!done)
		sched_yield();
}

int main(int argc, char **argv)
{
	try {
		const int rounds = argc > 1 ? std::stoi(argv[1]) : 1000;
		edu::device device("edu");

		device.defer_every(1);
		for (int round = 0; round < rounds; round++) {
			std::uint64_t got = 0;
			device.int_enable();
			auto handler = device.on_interrupt([&got](const kp::notification &more) { got += more.got; });
			if (round % 2)
				device.raise(1);
			const kp::counters last = handler.stop();
			must(got == last.delivered && last.notified == last.delivered + last.lost, "each notification is handed over, or lost");
		}
		std::cout << rounds << " rounds\n";

		std::atomic<bool> has_run{ false };
		device.int_enable();
		auto throws = device.on_interrupt([&has_run](const kp::notification &) {
			has_run = true;
			throw std::runtime_error("thrown by the handler");
		});
		device.raise(1);
		until(has_run);
		try {
			throws.stop();
			must(false, "what a handler throws is thrown by stop");
		} catch (const std::runtime_error &error) {
			std::cout << error.what() << '\n';
		}

		std::atomic<bool> has_ended{ false };
		std::optional<kp::handler> itself;
		std::atomic<bool> is_there{ false };
		device.int_enable();
		itself = device.on_interrupt([&](const kp::notification &) {
			until(is_there);
			itself.reset();
			has_ended = true;
		});
		is_there = true;
		device.raise(1);
		until(has_ended);

		device.int_enable();
		auto outlives = device.on_interrupt([](const kp::notification &) {});
		device = edu::device("edu");
		must(outlives.reason() == KP_CLOSED, "the end of the session ends its handler");
		outlives = kp::handler(std::move(outlives));

		device.int_enable();
		auto gone = device.on_interrupt([](const kp::notification &) {});
		std::cout << "waiting" << std::endl;
		try {
			while (true)
				device.invert(1);
		} catch (const kp::error &error) {
			must(error.status() == KP_DEVICE_GONE, error.what());
		}
		while (gone.reason() == KP_OK)
			sched_yield();
		std::cout << kp_status_name(gone.reason()) << '\n';
	} catch (const std::exception &error) {
		std::cerr << "handlers: " << error.what() << '\n';
		return 1;
	}
}
