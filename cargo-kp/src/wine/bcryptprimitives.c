/* Wine 8 has no bcryptprimitives.dll, from which Rust's standard library takes its random numbers. This is one, for programs
 * that are tested under Wine; it is no part of what users install. Windows documents ProcessPrng as one that never fails. */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG length); /* RtlGenRandom, by the name that advapi32.dll exports it under */

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T length)
{
	const SIZE_T most = 1 << 20;

	while (length) {
		ULONG now = (ULONG)(length < most ? length : most);

		if (!SystemFunction036(data, now))
			return FALSE;
		data += now;
		length -= now;
	}
	return TRUE;
}
