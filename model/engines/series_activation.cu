// y = depthwise7x7(relu(x + before)) + after, of maps with channels last and zeros around them.
//
// A thread makes ROWS rows of RUN neighbouring pixels of two channels. Every input row it reads, once,
// into registers, and adds it to each output row that it belongs to; neighbouring threads hold
// neighbouring channels, so that what a warp reads lies together. The 49 taps of a block's channels
// lie in shared memory. Sums are of single precision.
//
// Compiled with HALF or BFLOAT, RUN, ROWS, LANES (pairs of channels of a
// block, at most) and THREADS (of a block, at most) defined.

typedef unsigned int u32;

__device__ __forceinline__ float2 unpacked(u32 v) {
#ifdef HALF
    float2 f;
    asm("{ .reg .f16 a, b; mov.b32 {a, b}, %2; cvt.f32.f16 %0, a; cvt.f32.f16 %1, b; }"
        : "=f"(f.x), "=f"(f.y) : "r"(v));
    return f;
#else
    return make_float2(__uint_as_float(v << 16), __uint_as_float(v & 0xffff0000u));
#endif
}

#ifdef BFLOAT
// To the nearest brain float, ties to even; in the upper half. What is no number stays none.
__device__ __forceinline__ u32 rounded(float f) {
    const u32 v = __float_as_uint(f);
    return f != f ? 0x7fff0000u : v + 0x7fffu + (v >> 16 & 1);
}
#endif

__device__ __forceinline__ u32 packed(float2 f) {
    u32 v;
#ifdef HALF
    asm("{ .reg .f16 a, b; cvt.rn.f16.f32 a, %1; cvt.rn.f16.f32 b, %2; mov.b32 %0, {a, b}; }"
        : "=r"(v) : "f"(f.x), "f"(f.y));
#else
    v = rounded(f.x) >> 16 | (rounded(f.y) & 0xffff0000u);
#endif
    return v;
}

// Not fmaxf, which would turn what is no number into 0: what is broken must stay visible.
__device__ __forceinline__ float relu(float v) { return v < 0.f ? 0.f : v; }

extern "C" __global__ void __launch_bounds__(THREADS) series_activation(
    const u32* __restrict__ x, const float* __restrict__ taps, const float* __restrict__ before,
    const float* __restrict__ after, u32* __restrict__ y, int height, int width, int channels) {
    __shared__ float2 tap[49][LANES];
    const int pairs = channels / 2, lanes = blockDim.x;
    const int groups = (pairs + lanes - 1) / lanes;
    const int picture = blockIdx.z / groups;
    const int first = (blockIdx.z % groups) * lanes;
    const int thread = (threadIdx.z * blockDim.y + threadIdx.y) * lanes + threadIdx.x;
    const int threads = lanes * blockDim.y * blockDim.z;
    for (int k = thread; k < 49 * lanes; k += threads) {
        const int pair = first + k % lanes;
        if (pair < pairs) tap[k / lanes][k % lanes] = ((const float2*)taps)[(k / lanes) * pairs + pair];
    }
    __syncthreads();

    const int lane = threadIdx.x, pair = first + lane;
    const int left = (blockIdx.x * blockDim.y + threadIdx.y) * RUN;
    const int top = (blockIdx.y * blockDim.z + threadIdx.z) * ROWS;
    if (pair >= pairs || left >= width || top >= height) return;

    const float2 bias = ((const float2*)before)[pair], start = ((const float2*)after)[pair];
    const long long base = (long long)picture * height * width * pairs + pair;
    const bool inside = left >= 3 && left + RUN + 3 <= width;
    float2 sum[ROWS][RUN];
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
        for (int c = 0; c < RUN; c++) sum[r][c] = start;

#pragma unroll 1
    for (int i = 0; i < 6 + ROWS; i++) {
        const int row = top + i - 3;
        if (row < 0 || row >= height) continue;
        const u32* at = x + base + ((long long)row * width + left - 3) * pairs;
        u32 raw[RUN + 6];
#pragma unroll
        for (int j = 0; j < RUN + 6; j++, at += pairs)
            raw[j] = inside || (left + j >= 3 && left + j < width + 3) ? *at : 0;
        float2 in[RUN + 6];
#pragma unroll
        for (int j = 0; j < RUN + 6; j++) {
            const float2 v = unpacked(raw[j]);
            in[j] = make_float2(relu(v.x + bias.x), relu(v.y + bias.y));
            // What lies outside is 0 after the bias, not before.
            if (!inside && (left + j < 3 || left + j >= width + 3)) in[j] = make_float2(0.f, 0.f);
        }
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            const int k = i - r;
            if (k < 0 || k > 6) continue;
#pragma unroll
            for (int j = 0; j < 7; j++) {
                const float2 w = tap[k * 7 + j][lane];
#pragma unroll
                for (int c = 0; c < RUN; c++) {
                    sum[r][c].x = fmaf(w.x, in[c + j].x, sum[r][c].x);
                    sum[r][c].y = fmaf(w.y, in[c + j].y, sum[r][c].y);
                }
            }
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
        for (int c = 0; c < RUN; c++)
            if (top + r < height && left + c < width)
                y[base + ((long long)(top + r) * width + left + c) * pairs] = packed(sum[r][c]);
}
