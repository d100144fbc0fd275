// Stands in for libcublas of CUDA 13: products are traced by their sizes and the type of
// their factors (cudaDataType: 0 float32, 2 float16, 14 bfloat16), and not computed.
#include "standin.h"

typedef void *handle;

static int math_mode;
int cublasCreate_v2(handle *h) { *h = malloc(64); standin_trace("handle cublas"); return standin_fault("cublasCreate_v2"); }
int cublasDestroy_v2(handle h) { free(h); return 0; }
int cublasGetMathMode(handle h, int *mode) { *mode = math_mode; return 0; }
int cublasSetMathMode(handle h, int mode) { math_mode = mode; return 0; }
const char *cublasGetStatusName(int s) { return s == 3 ? "CUBLAS_STATUS_ALLOC_FAILED" : "CUBLAS_STATUS_NOT_INITIALIZED"; }
const char *cublasGetStatusString(int s) { return s == 3 ? "the resource allocation failed" : "the library was not initialized"; }

static int product(const char *call, int m, int n, int k, int batch, int type) {
	standin_trace("product %d %d %d %d %d", m, n, k, batch, type);
	return standin_fault(call);
}
int cublasSgemm_v2(handle h, int ta, int tb, int m, int n, int k) { return product("cublasSgemm_v2", m, n, k, 1, 0); }
int cublasSgemmStridedBatched(handle h, int ta, int tb, int m, int n, int k, const float *al, const float *a, int lda, long long sa, const float *b, int ldb, long long sb,
	const float *be, float *c, int ldc, long long sc, int batch) { return product("cublasSgemmStridedBatched", m, n, k, batch, 0); }
int cublasSgemmBatched(handle h, int ta, int tb, int m, int n, int k, const float *al, const float *const a[], int lda, const float *const b[], int ldb,
	const float *be, float *const c[], int ldc, int batch) { return product("cublasSgemmBatched", m, n, k, batch, 0); }
int cublasGemmEx(handle h, int ta, int tb, int m, int n, int k, const void *al, const void *a, int type) { return product("cublasGemmEx", m, n, k, 1, type); }
int cublasGemmStridedBatchedEx(handle h, int ta, int tb, int m, int n, int k, const void *al, const void *a, int type, int lda, long long sa, const void *b, int bt, int ldb, long long sb,
	const void *be, void *c, int ct, int ldc, long long sc, int batch) { return product("cublasGemmStridedBatchedEx", m, n, k, batch, type); }
int cublasGemmBatchedEx(handle h, int ta, int tb, int m, int n, int k, const void *al, const void *const a[], int type, int lda, const void *const b[], int bt, int ldb,
	const void *be, void *const c[], int ct, int ldc, int batch) { return product("cublasGemmBatchedEx", m, n, k, batch, type); }
int cublasSgeam(handle h, int ta, int tb, int m, int n) { standin_trace("transpose %d %d", m, n); return standin_fault("cublasSgeam"); }

WORKS(cublasSetStream_v2)
COMPUTES(cublasDgeam) COMPUTES(cublasDcopy_v2) COMPUTES(cublasScopy_v2) COMPUTES(cublasSscal_v2)
COMPUTES(cublasDgemm_v2) COMPUTES(cublasDgemmBatched) COMPUTES(cublasDgemmStridedBatched)
COMPUTES(cublasDgetrfBatched) COMPUTES(cublasDgetriBatched) COMPUTES(cublasSgetrfBatched) COMPUTES(cublasSgetriBatched)
