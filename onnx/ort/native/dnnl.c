//go:build !windows

#include "dnnl.h"

#include <dlfcn.h>
#include <stdlib.h>

struct dnnl dnnl;
dnnl_engine engine;

const char *dnnl_load(const char *path) {
	// Where OpenMP starts threads all the same, they must not spin: beside other
	// work that costs many times what it gains.
	setenv("OMP_WAIT_POLICY", "passive", 0);
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!library) return dlerror();
#define FIND(result, name, arguments) \
	if (!(dnnl.name = (result(*) arguments)dlsym(library, "dnnl_" #name))) return "it is not oneDNN of version 3: it exports no dnnl_" #name;
	DNNL_FUNCTIONS(FIND)
#undef FIND
	if (dnnl.version()->major != 3) return "it is not of version 3";
	dnnl.set_threads = (void (*)(int))dlsym(library, "omp_set_num_threads");
	if (!dnnl.set_threads && dnnl.version()->cpu_runtime != 1) return "it works neither with OpenMP nor on one thread"; // DNNL_RUNTIME_SEQ
	if (dnnl.engine_create(&engine, dnnl_cpu, 0)) return "it could not make an engine of the CPU";
	return NULL;
}
