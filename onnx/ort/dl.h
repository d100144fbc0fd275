// Shared libraries, opened as POSIX has it, on Windows too.
#ifndef DL_H
#define DL_H

#ifndef _WIN32
#include <dlfcn.h>
#else
#include <stdio.h>
#include <windows.h>

enum { RTLD_LAZY = 1, RTLD_LOCAL = 2, RTLD_GLOBAL = 4, RTLD_NOLOAD = 8 };

// dlopen takes a path in UTF-8. What a library needs is looked for beside it.
static inline void *dlopen(const char *path, int flags) {
	wchar_t wide[4096];
	if (!MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, sizeof wide / sizeof *wide)) return NULL;
	if (flags & RTLD_NOLOAD) {
		HMODULE there = NULL;
		GetModuleHandleExW(0, wide, &there);
		return there;
	}
	int whole = wide[0] == L'\\' || (wide[0] && wide[1] == L':');
	return LoadLibraryExW(wide, NULL, whole ? LOAD_WITH_ALTERED_SEARCH_PATH : 0);
}

static inline void *dlsym(void *library, const char *name) { return (void *)GetProcAddress(library, name); }

static inline int dlclose(void *library) { return !FreeLibrary(library); }

// dlerror says why the last call failed; the text is good until the next call.
static inline const char *dlerror(void) {
	static char text[512];
	DWORD code = GetLastError();
	int n = snprintf(text, sizeof text, "error %lu of Windows: ", (unsigned long)code);
	n += (int)FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, code, 0, text + n, sizeof text - n, NULL);
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r' || text[n - 1] == ' ')) text[--n] = 0;
	return text;
}
#endif

#endif
