// A kernel with one clone per instruction set, chosen by the dynamic linker's
// ifunc resolver from CPUID and XGETBV.
#include <stdio.h>
#define N 512
static float x[N], y[N];
__attribute__((target_clones("avx2", "avx", "default"), noinline, optimize("O3"))) float dot(const float* a,
                                                                                             const float* b,
                                                                                             int n) {
  float s[16] = {0};
  for (int i = 0; i < n; i += 16)
    for (int j = 0; j < 16; j++) s[j] += a[i + j] * b[i + j];
  float t = 0;
  for (int j = 0; j < 16; j++) t += s[j];
  return t;
}
int main(void) {
  for (int i = 0; i < N; i++) {
    x[i] = i % 13 * 0.5f;
    y[i] = i % 7 * 0.25f;
  }
  for (int k = 0; k < 8; k++) {
    printf("%d %.6f\n", k, dot(x, y, N));
    x[k] += 1;
  }
  return 0;
}
