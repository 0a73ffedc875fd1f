// Handlers that are destroyed: what they leave alone, and what they wait for. `dropped.py` is the driver.
#include "edu.hpp"
#include <cstdio>
#include <optional>
#include <thread>

using namespace std::chrono_literals;

int main()
{
	edu::device edu("edu");
	const auto nothing = [](const kp::notification &) {};
	edu.int_enable();
	std::optional<kp::handler> handler(edu.on_interrupt(nothing));
	edu.raise(1); // the driver resets the device
	while (handler->reason() == KP_OK)
		std::this_thread::yield();
	edu.int_enable();
	handler.reset();
	std::printf("a later one is enabled still: %d\n", !edu.wait(0ms));
	handler.emplace(edu.on_interrupt(nothing));
	edu.defer_every(1); // from now on all calls are in flight for three INT_DISABLEs
	handler.reset();
	std::puts("the handler has ended");
	return 0;
}
