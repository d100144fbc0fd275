// How loops are compiled that are to become vector code.
#ifndef YOLOFREEZE_NATIVE_VERSIONS_H
#define YOLOFREEZE_NATIVE_VERSIONS_H

#if defined(__GNUC__) && !defined(__clang__)
// What vector code takes; no sums in another order. With the last two, limits are one instruction
// each, of which GCC makes six otherwise; what is computed from a NaN still is one.
#pragma GCC optimize("O3", "no-math-errno", "no-trapping-math", "finite-math-only", "no-signed-zeros")
#endif

// Where the compiler and the loader can choose by processor, each function
// exists once for each of these sets; elsewhere, once.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define VERSIONS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define VERSIONS
#endif
#define INLINE static inline __attribute__((always_inline))

#endif
