// The other file of two.cpp's program: a call that the plugin refuses, with a number of its own.
#include "echo.hpp"

#include <iostream>

void more(echo::device &device);

void more(echo::device &device)
{
	try {
		device.nap(60001);
	} catch (const kp::error &error) {
		std::cout << error.name() << ' ' << error.detail() << '\n';
	}
}
