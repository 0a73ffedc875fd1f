// One of two files of a program: what one of them does not use of a header the program has from the other one, two_more.cpp.
#include "echo.hpp"

void more(echo::device &device);

int main()
{
	echo::device device("echo");

	device.say("something");
	more(device);
}
