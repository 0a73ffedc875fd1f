// What edu's app in Rust does, by the bindings in C++.
#include "edu.hpp"

#include <cstdio>
#include <iostream>
#include <stdexcept>

using namespace std::chrono_literals;

// How long an interrupt may take.
static constexpr auto patience = 10s;

// Ten interrupts, of which every fifth reaches the app. A system may have assigned the device interrupts of one kind only.
static void interrupts(edu::device &device, const char *name, kp::kind kind)
{
	device.defer_every(5);
	try {
		device.int_enable(kind);
	} catch (const kp::error &error) {
		if (error.status() != KP_NO_INTERRUPT)
			throw;
		std::printf("%-10s not what the device was given here\n", name);
		return;
	}
	unsigned long long woken = 0;
	for (unsigned i = 1; i <= 10; i++) {
		device.raise(1);
		const auto start = std::chrono::steady_clock::now();
		while (device.int_counters().received < i)
			if (std::chrono::steady_clock::now() - start > patience)
				throw std::runtime_error("an interrupt did not arrive");
		if (i % 5 == 0)
			woken += device.wait(patience).value().got;
	}
	const kp::counters last = device.int_disable();
	std::printf("%-10s raised 10: %llu received, %llu deferred to the DPC, app woken %llu times, %llu lost\n", name,
		    static_cast<unsigned long long>(last.received), static_cast<unsigned long long>(last.deferred), woken,
		    static_cast<unsigned long long>(last.lost));
}

int main(int argc, char **argv)
{
	try {
		edu::device device(argc > 1 ? argv[1] : "edu");
		const edu::Version version = device.version();
		std::printf("plugin     %s %u.%02u\n", kp::text(version.name).c_str(), static_cast<unsigned>(version.number / 100),
			    static_cast<unsigned>(version.number % 100));
		const edu::Identity identity = device.identity();
		std::printf("device     edu %u.%u, alive: !0x0f0f0f0f = 0x%08lx\n", identity.major, identity.minor,
			    static_cast<unsigned long>(device.invert(0x0f0f0f0f)));
		for (const std::uint32_t n : { 5u, 12u })
			std::printf("factorial  %lu! = %lu, computed by the device\n", static_cast<unsigned long>(n),
				    static_cast<unsigned long>(device.factorial(n)));
		interrupts(device, "INTx", kp::kind::line);
		interrupts(device, "MSI", kp::kind::msi);
		device.close();
	} catch (const std::exception &error) {
		std::fflush(stdout);
		std::cerr << "edu-cpp: " << error.what() << '\n';
		return 1;
	}
}
