// What echo's app in Rust does, by the bindings in C++.
#include "echo.hpp"

#include <iostream>

int main(int argc, char **argv)
{
	try {
		const std::string text = argc > 1 ? argv[1] : "hello, kernel";
		echo::device device("echo");

		device.say(text);
		std::cout << "heard      " << kp::text(device.hear(text.size())) << '\n';
		const auto loud = device.repeat(echo::Style::Loud, echo::Trim::START | echo::Trim::END, text, text.size());
		std::cout << "louder     " << kp::text(loud) << '\n';
		const echo::Said said = device.said();
		std::cout << "so far     " << said.texts << " text, " << said.bytes << " bytes\n";
		// There is no interrupt, so a handler has nothing to do, and ends.
		auto handler = device.on_interrupt([](const kp::notification &) {});
		try {
			handler.stop();
			return 1;
		} catch (const kp::error &error) {
			if (error.status() != KP_NOT_ENABLED)
				throw;
		}
		device.close();
	} catch (const std::exception &error) {
		std::cerr << "echo-cpp: " << error.what() << '\n';
		return 1;
	}
}
