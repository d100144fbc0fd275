//go:build !windows

#include "versions.h" // first: it says how all that follows is compiled

#include "loops.h"

#include <math.h>
#include <string.h>

// Loops run over a few rows at once, so that there are enough elements for wide
// registers where channels are few: parameters and sums are repeated to a period
// of whole rows, of at least this many elements where that is possible.
enum { period_least = 128, flush = 64 }; // sums in float go into double after that many periods

struct period {
	int64_t rows, length; // of one period
};

static struct period period_of(int64_t channels) {
	int64_t rows = channels < period_least ? (period_least + channels - 1) / channels : 1;
	return (struct period){rows, rows * channels};
}

static void repeat(float *to, const float *from, int64_t channels, struct period p) {
	for (int64_t r = 0; r < p.rows; r++) memcpy(to + r * channels, from, channels * sizeof *to);
}

// exponential is e^x to within 2 units in the last place: 2^k times a polynomial
// on ±ln(2)/2. Without branches, so that loops over it become vector code.
INLINE float exponential(float x) {
	x = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
	const float magic = 12582912.0f; // 1.5·2^23: adding it rounds to an integer
	float k = x * 1.44269504f + magic;
	union {
		float f;
		int32_t i;
	} power = {k};
	k -= magic;
	float r = x - k * 0.693359375f; // ln 2 in two parts
	r -= k * -2.12194440e-4f;
	float p = 1.9875691500e-4f;
	p = p * r + 1.3981999507e-3f;
	p = p * r + 8.3334519073e-3f;
	p = p * r + 4.1665795894e-2f;
	p = p * r + 1.6666665459e-1f;
	p = p * r + 5.0000001201e-1f;
	p = p * r * r + r + 1.0f;
	power.i = (int32_t)((uint32_t)power.i << 23) + 0x3f800000;
	return p * power.f;
}

INLINE float activate(float x, enum activation act, float alpha) {
	switch (act) {
	case act_silu: return x / (1.0f + exponential(-x));
	case act_relu: return x > 0 ? x : 0;
	case act_leaky: return x > 0 ? x : alpha * x;
	case act_hardswish: return x * (x < -3 ? 0 : x > 3 ? 1 : x * (1.0f / 6) + 0.5f);
	default: return x;
	}
}

INLINE float derivative(float x, enum activation act, float alpha) {
	switch (act) {
	case act_silu: {
		float s = 1.0f / (1.0f + exponential(-x));
		return s + x * s * (1.0f - s);
	}
	case act_relu: return x > 0 ? 1 : 0;
	case act_leaky: return x > 0 ? 1 : alpha;
	case act_hardswish: return x < -3 ? 0 : x > 3 ? 1 : x * (1.0f / 3) + 0.5f;
	default: return 1;
	}
}

// EACH calls a body with the activation as a constant, so that no loop asks for it.
#define EACH(act, BODY) \
	switch (act) { \
	case act_silu: BODY(act_silu); break; \
	case act_relu: BODY(act_relu); break; \
	case act_leaky: BODY(act_leaky); break; \
	case act_hardswish: BODY(act_hardswish); break; \
	default: BODY(act_none); \
	}

VERSIONS void loops_add(float *restrict to, const float *restrict from, int64_t count) {
	for (int64_t i = 0; i < count; i++) to[i] += from[i];
}

// gather adds sums of a period to those of the channels, and clears them.
static void gather(double *to, float *from, int64_t channels, struct period p) {
	for (int64_t i = 0; i < p.length; i += channels)
		for (int64_t c = 0; c < channels; c++) to[c] += from[i + c];
	memset(from, 0, p.length * sizeof *from);
}

VERSIONS void loops_moments(const float *z, int64_t rows, int64_t channels, struct moments *out) {
	struct period p = period_of(channels);
	float pivot[p.length], sum[p.length], square[p.length];
	memset(sum, 0, sizeof sum);
	memset(square, 0, sizeof square);
	memset(out->sum, 0, channels * sizeof *out->sum);
	memset(out->square, 0, channels * sizeof *out->square);
	out->rows = rows;
	// The pivot is the mean of the first rows: squares of deviations from it do not
	// cancel as those from zero do where the mean is far above the deviation. A
	// single pixel would not do, since those at the border see padding.
	int64_t first = rows < 4 * flush ? rows : 4 * flush;
	for (int64_t c = 0; c < channels; c++) out->pivot[c] = 0;
	for (int64_t r = 0; r < first; r++)
		for (int64_t c = 0; c < channels; c++) out->pivot[c] += z[r * channels + c];
	for (int64_t c = 0; c < channels; c++) pivot[c] = (float)(out->pivot[c] / (first ? first : 1));
	for (int64_t c = 0; c < channels; c++) out->pivot[c] = pivot[c];
	for (int64_t i = channels; i < p.length; i++) pivot[i] = pivot[i - channels];

	int64_t total = rows * channels, done = 0;
	for (int64_t at = 0; at < total; at += p.length) {
		int64_t n = total - at < p.length ? total - at : p.length;
		const float *from = z + at;
		for (int64_t j = 0; j < n; j++) {
			float d = from[j] - pivot[j];
			sum[j] += d;
			square[j] += d * d;
		}
		if (++done % flush == 0 || at + n == total) {
			gather(out->sum, sum, channels, p);
			gather(out->square, square, channels, p);
		}
	}
}

// PERIODS declares an affine's arrays repeated to a period.
#define PERIODS \
	struct period p = period_of(channels); \
	float mean[p.length], slope[p.length], shift[p.length]; \
	repeat(mean, a->mean, channels, p); \
	repeat(slope, a->slope, channels, p); \
	repeat(shift, a->shift, channels, p); \
	const int64_t total = rows * channels

// OVER walks the elements of all rows period by period; j is the place in it.
#define OVER(STATEMENTS) \
	for (int64_t at = 0; at < total; at += p.length) { \
		int64_t n = total - at < p.length ? total - at : p.length; \
		for (int64_t j = 0; j < n; j++) { STATEMENTS } \
	}

VERSIONS void loops_activate(const float *z, float *y, int64_t rows, int64_t channels, const struct affine *a, enum activation act, float alpha) {
	PERIODS;
#define BODY(ACT) OVER(y[at + j] = activate((z[at + j] - mean[j]) * slope[j] + shift[j], ACT, alpha);)
	EACH(act, BODY)
#undef BODY
}

VERSIONS void loops_gradient_sums(const float *dy, const float *z, int64_t rows, int64_t channels, const struct affine *a, enum activation act, float alpha,
	double *sum, double *product) {
	PERIODS;
	float sums[p.length], products[p.length];
	int64_t done = 0;
	memset(sums, 0, sizeof sums);
	memset(products, 0, sizeof products);
	memset(sum, 0, channels * sizeof *sum);
	memset(product, 0, channels * sizeof *product);
#define BODY(ACT) \
	for (int64_t at = 0; at < total; at += p.length) { \
		int64_t n = total - at < p.length ? total - at : p.length; \
		for (int64_t j = 0; j < n; j++) { \
			float d = z[at + j] - mean[j]; \
			float g = dy[at + j] * derivative(d * slope[j] + shift[j], ACT, alpha); \
			sums[j] += g; \
			products[j] += g * d; \
		} \
		if (++done % flush == 0 || at + n == total) { \
			gather(sum, sums, channels, p); \
			gather(product, products, channels, p); \
		} \
	}
	EACH(act, BODY)
#undef BODY
}

VERSIONS void loops_gradient(const float *dy, float *z, int64_t rows, int64_t channels, const struct affine *a, const float *pull, const float *push,
	enum activation act, float alpha) {
	PERIODS;
	float pulls[p.length], pushes[p.length];
	repeat(pulls, pull, channels, p);
	repeat(pushes, push, channels, p);
#define BODY(ACT) \
	OVER(float d = z[at + j] - mean[j]; float g = dy[at + j] * derivative(d * slope[j] + shift[j], ACT, alpha); \
		z[at + j] = slope[j] * g - d * pulls[j] - pushes[j];)
	EACH(act, BODY)
#undef BODY
}

VERSIONS void loops_plain_gradient(const float *dy, const float *z, float *dz, int64_t rows, int64_t channels, enum activation act, float alpha, double *sum) {
	struct period p = period_of(channels);
	float sums[p.length];
	const int64_t total = rows * channels;
	int64_t done = 0;
	memset(sums, 0, sizeof sums);
	if (sum) memset(sum, 0, channels * sizeof *sum);
#define BODY(ACT) \
	for (int64_t at = 0; at < total; at += p.length) { \
		int64_t n = total - at < p.length ? total - at : p.length; \
		if (ACT == act_none) { \
			for (int64_t j = 0; j < n; j++) sums[j] += dy[at + j]; \
		} else { \
			for (int64_t j = 0; j < n; j++) { \
				float g = dy[at + j] * derivative(z[at + j], ACT, alpha); \
				dz[at + j] = g; \
				sums[j] += g; \
			} \
		} \
		if (sum && (++done % flush == 0 || at + n == total)) gather(sum, sums, channels, p); \
	}
	EACH(act, BODY)
#undef BODY
}
