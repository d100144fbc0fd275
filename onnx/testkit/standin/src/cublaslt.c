// Stands in for libcublasLt of CUDA 13, which ONNX Runtime uses for quantised products only.
#include "standin.h"

WORKS(cublasLtCreate) WORKS(cublasLtDestroy) WORKS(cublasLtMatmulAlgoConfigSetAttribute) WORKS(cublasLtMatmulAlgoGetHeuristic)
WORKS(cublasLtMatmulAlgoInit) WORKS(cublasLtMatmulDescCreate) WORKS(cublasLtMatmulDescDestroy) WORKS(cublasLtMatmulDescSetAttribute)
WORKS(cublasLtMatmulPreferenceCreate) WORKS(cublasLtMatmulPreferenceDestroy) WORKS(cublasLtMatmulPreferenceSetAttribute)
WORKS(cublasLtMatrixLayoutCreate) WORKS(cublasLtMatrixLayoutDestroy) WORKS(cublasLtMatrixLayoutSetAttribute)
WORKS(cublasLtMatrixTransformDescCreate) WORKS(cublasLtMatrixTransformDescDestroy)
COMPUTES(cublasLtMatmul) COMPUTES(cublasLtMatrixTransform)
