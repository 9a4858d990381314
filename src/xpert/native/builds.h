// Which build of a library a processor runs; see compiler.py. Every source includes this once.

#if defined(__AVX512VBMI__)
#define SIMD "avx512vbmi"
#elif defined(__AVX512BW__)
#define SIMD "avx512bw"
#elif defined(__AVX2__)
#define SIMD "avx2"
#endif

// The last of the builds any, avx2, avx512bw and avx512vbmi that this processor runs.
const char *best_build(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return __builtin_cpu_supports("avx512vbmi") ? "avx512vbmi" : "avx512bw";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")) return "avx2";
#endif
    return "any";
}

const char *instruction_set(void) {
#if defined(SIMD)
    return SIMD;
#else
    return "any processor";
#endif
}
