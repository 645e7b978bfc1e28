// Uses what older processors lack, and prints a checksum for each group of instructions: `faulting` those that raise #UD
// there, `silent` those that mean something else, or give other results.
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { COUNT = 64 };
static uint64_t words[COUNT];
static float floats[COUNT];

static uint64_t folded(uint64_t sum, const void* from, size_t size) {
  const unsigned char* at = from;
  for (size_t i = 0; i < size; i++) sum = (sum ^ at[i]) * 0x100000001b3;
  return sum;
}

#define FLAGS(text, value, result) \
  __asm__ volatile(text "\n\tpushfq\n\tpop %1" : "=r"(value), "=r"(result) : "r"(words[i]) : "cc", "memory")
#define FOLD(value) (sum = folded(sum, &(value), sizeof(value)))
#define GROUP(name, isa)                                   \
  __attribute__((target(isa))) static uint64_t name(void) { \
    uint64_t sum = 0xcbf29ce484222325;                      \
    for (int i = 0; i + 4 < COUNT; i++) {
#define END      \
    }            \
    return sum;  \
  }
#define VECTORS                                                  \
  __m128i a = _mm_loadu_si128((const __m128i*)(words + i));     \
  __m128i b = _mm_loadu_si128((const __m128i*)(words + i + 2)); \
  __m128i r;                                                    \
  (void)a, (void)b;
#define DO(value) (r = (value), FOLD(r))

GROUP(sha, "sha,sse4.1")
VECTORS
DO(_mm_sha1rnds4_epu32(a, b, 0));
DO(_mm_sha1rnds4_epu32(a, b, 1));
DO(_mm_sha1rnds4_epu32(a, b, 2));
DO(_mm_sha1rnds4_epu32(a, b, 3));
DO(_mm_sha1nexte_epu32(a, b));
DO(_mm_sha1msg1_epu32(a, b));
DO(_mm_sha1msg2_epu32(a, b));
DO(_mm_sha256rnds2_epu32(a, b, r));
DO(_mm_sha256msg1_epu32(a, b));
DO(_mm_sha256msg2_epu32(a, b));
END

GROUP(aes, "aes,pclmul,sse2")
VECTORS
DO(_mm_aesenc_si128(a, b));
DO(_mm_aesenclast_si128(a, b));
DO(_mm_aesdec_si128(a, b));
DO(_mm_aesdeclast_si128(a, b));
DO(_mm_aesimc_si128(a));
DO(_mm_aeskeygenassist_si128(a, 0x1b));
DO(_mm_clmulepi64_si128(a, b, 0x10));
END

GROUP(sse3, "ssse3")
VECTORS
__m128 f = _mm_loadu_ps(floats + i), g = _mm_loadu_ps(floats + i + 1);
DO(_mm_castps_si128(_mm_hadd_ps(f, g)));
DO(_mm_castps_si128(_mm_addsub_ps(f, g)));
DO(_mm_castps_si128(_mm_movehdup_ps(f)));
DO(_mm_lddqu_si128((const __m128i*)((const char*)words + i)));
DO(_mm_shuffle_epi8(a, b));
DO(_mm_alignr_epi8(a, b, 5));
DO(_mm_maddubs_epi16(a, b));
DO(_mm_sign_epi16(a, b));
DO(_mm_abs_epi8(a));
END

GROUP(sse4, "sse4.2")
VECTORS
__m128 f = _mm_loadu_ps(floats + i), g = _mm_loadu_ps(floats + i + 1);
DO(_mm_castps_si128(_mm_dp_ps(f, g, 0xf5)));
DO(_mm_castps_si128(_mm_round_ps(f, 1)));
DO(_mm_castps_si128(_mm_insert_ps(f, g, 0x91)));
DO(_mm_blendv_epi8(a, b, _mm_xor_si128(a, b)));
DO(_mm_mpsadbw_epu8(a, b, 5));
DO(_mm_minpos_epu16(a));
DO(_mm_packus_epi32(a, b));
DO(_mm_mullo_epi32(a, b));
DO(_mm_cvtepi8_epi32(a));
DO(_mm_insert_epi64(a, (long long)words[i + 3], 1));
DO(_mm_cmpgt_epi64(a, b));
DO(_mm_cmpistrm(a, b, 0x44));
int at = _mm_cmpestri(a, 7, b, 9, 0x0c) + _mm_testz_si128(a, b) + _mm_extract_epi8(a, 3);
FOLD(at);
uint64_t crc = _mm_crc32_u64((uint32_t)i, words[i]);
crc = _mm_crc32_u8((uint32_t)crc, (unsigned char)words[i + 1]);
crc = _mm_crc32_u16((uint32_t)crc, (unsigned short)words[i + 1]);
FOLD(crc);
END

GROUP(popcnt, "popcnt")
uint64_t value, flags;
FLAGS("popcnt %2, %0", value, flags);
FOLD(value);
FOLD(flags);
END

GROUP(movbe, "movbe")
uint64_t swapped;
uint32_t narrow;
__asm__ volatile("movbe %2, %0\n\tmovbe %2, %1" : "=r"(swapped), "=r"(narrow) : "m"(words[i]));
FOLD(swapped);
FOLD(narrow);
__asm__ volatile("movbe %1, %0" : "=m"(words[i]) : "r"(swapped));
END

GROUP(adx, "adx,sahf")
uint64_t low = words[i + 1], high = words[i + 2];
__asm__ volatile(
    "add %0, %0\n\t"
    "adcx %2, %0\n\t"
    "adox %3, %1\n\t"
    "adox (%4), %0\n\t"
    "lahf\n\tmovzbl %%ah, %%eax\n\tadd %%rax, %1"
    : "+r"(low), "+r"(high)
    : "r"(words[i]), "r"(words[i + 3]), "r"(words + i)
    : "cc", "rax", "memory");
FOLD(low);
FOLD(high);
END

GROUP(cx16, "cx16")
_Alignas(16) uint64_t pair[2] = {words[i], words[i + 1]};
uint64_t expected[2] = {words[i], words[i + 1] + (i & 1)};
unsigned char equal;
__asm__ volatile("lock cmpxchg16b %1\n\tsete %0"
                 : "=q"(equal), "+m"(pair), "+a"(expected[0]), "+d"(expected[1])
                 : "b"(words[i + 2]), "c"(words[i + 3])
                 : "cc");
FOLD(pair);
FOLD(expected);
FOLD(equal);
END

GROUP(vex, "avx2,fma,bmi2,f16c,vaes,vpclmulqdq")
__m256i a = _mm256_loadu_si256((const __m256i*)(words + i));
__m256i b = _mm256_shuffle_epi32(a, 0x1b);
__m256 f = _mm256_cvtepi32_ps(a);
__m256i r;
DO(_mm256_aesenc_epi128(a, b));
DO(_mm256_clmulepi64_epi128(a, b, 1));
DO(_mm256_castps_si256(_mm256_fmadd_ps(f, f, f)));
DO(_mm256_permutevar8x32_epi32(a, b));
__m128i half = _mm256_cvtps_ph(f, 0);
FOLD(half);
uint64_t bits = _pext_u64(words[i], words[i + 1]) ^ _pdep_u64(words[i], words[i + 1]);
FOLD(bits);
END

static uint64_t others(void) {
  uint64_t sum = 0xcbf29ce484222325, base, processor;
  __asm__ volatile("rdfsbase %0" : "=r"(base));
  uint64_t self;
  __asm__ volatile("mov %%fs:0, %0" : "=r"(self));
  base -= self;
  FOLD(base);
  __asm__ volatile("rdgsbase %0\n\twrgsbase %1\n\tmov %%gs:8, %1\n\twrgsbase %0" : "=&r"(base), "=&r"(self) : "1"(words));
  FOLD(self);
  __asm__ volatile("rdpid %0" : "=r"(processor));
  // Linux has the node above.
  processor >>= 12;
  FOLD(processor);
  __asm__ volatile("clflushopt %0\n\tclwb %0" : "+m"(words[3]));
  FOLD(words[3]);
  return sum;
}

GROUP(zeros, "lzcnt,bmi")
uint64_t value, flags;
if (i % 3 == 0) words[i] = 0;
FLAGS("lzcnt %2, %0", value, flags);
FOLD(value);
FOLD(flags);
FLAGS("tzcnt %2, %0", value, flags);
FOLD(value);
FOLD(flags);
uint32_t narrow = 1;
__asm__ volatile("lzcnt %1, %0" : "=r"(narrow) : "m"(*(uint32_t*)&words[i]) : "cc");
FOLD(narrow);
__asm__ volatile("tzcnt %w1, %w0" : "+r"(narrow) : "r"((uint32_t)words[i]) : "cc");
FOLD(narrow);
END

GROUP(approximations, "avx")
__m128 f = _mm_loadu_ps(floats + i), r;
DO(_mm_rsqrt_ps(f));
DO(_mm_rcp_ps(f));
DO(_mm_rsqrt_ss(f));
DO(_mm_rcp_ss(f));
__m256 w = _mm256_loadu_ps(floats + (i & ~7)), v;
v = _mm256_rcp_ps(w);
FOLD(v);
v = _mm256_rsqrt_ps(w);
FOLD(v);
__m128 s = f;
__asm__ volatile("rsqrtss %1, %0" : "+x"(s) : "m"(floats[i]));
FOLD(s);
__asm__ volatile("rcpps %1, %0" : "=x"(s) : "m"(*(const __m128*)(floats + (i & ~3))));
FOLD(s);
END

GROUP(legacy_approximations, "sse2")
__m128 f = _mm_loadu_ps(floats + i), r;
DO(_mm_rsqrt_ps(f));
DO(_mm_rcp_ps(f));
DO(_mm_rsqrt_ss(f));
DO(_mm_rcp_ss(f));
END

int main(int count, char** arguments) {
  uint64_t state = 88172645463325252;
  for (int i = 0; i < COUNT; i++) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    words[i] = state;
    floats[i] = (float)(int64_t)state * 0x1p-40f;
  }
  floats[5] = 0, floats[6] = -0.0f, floats[9] = __builtin_inff(), floats[10] = __builtin_nanf("");
  floats[12] = 0x1p-140f, floats[13] = 4, floats[14] = 2;
  const struct {
    const char *when, *name;
    uint64_t (*group)(void);
  } groups[] = {
      {"faulting", "sha", sha},
      {"faulting", "aes", aes},
      {"faulting", "sse3", sse3},
      {"faulting", "sse4", sse4},
      {"faulting", "popcnt", popcnt},
      {"faulting", "movbe", movbe},
      {"faulting", "adx", adx},
      {"faulting", "cx16", cx16},
      {"faulting", "vex", vex},
      {"faulting", "others", others},
      {"silent", "zeros", zeros},
      {"silent", "approximations", approximations},
      {"silent", "legacy approximations", legacy_approximations},
  };
  for (unsigned i = 0; i < sizeof groups / sizeof groups[0]; i++)
    if (count > 1 && strcmp(groups[i].when, arguments[1]) == 0)
      printf("%s %016llx\n", groups[i].name, (unsigned long long)groups[i].group());
  return 0;
}
