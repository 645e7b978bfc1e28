// Functions that print and leave text in buffers: stdio's, of two streams, narrow and wide; those of C++
// streams that do not share them. The program has its own text in some of them at spot(1), and holds the lock
// of standard output at spot(2).
#include <cstdio>
#include <cstdlib>
#include <cwchar>
#include <iostream>

static FILE* wide;

extern "C" {
int partial(int n) { return std::printf("partial %d", n); }
int streamed(int n) { return (std::cout << "streamed " << n, n); }
int wider(int n) { return std::fwprintf(wide, L"wider %d", n); }
int broken(void) { return std::printf("broken"), *static_cast<volatile int*>(nullptr); }
double halved(int n) { return std::printf("halved"), n / 2.0; }
void spot(int n) { asm volatile("" ::"r"(n) : "memory"); }
}

int main() {
  static char room[4096];
  std::setvbuf(stdout, room, _IOFBF, sizeof room);
  std::ios::sync_with_stdio(false);
  wide = fdopen(2, "w");
  static char more[4096];
  std::setvbuf(wide, more, _IOFBF, sizeof more);
  fwide(wide, 1);
  std::printf("of the program, ");
  std::cout << "of its stream, ";
  spot(1);
  flockfile(stdout);
  spot(2);
  funlockfile(stdout);
  std::printf("partial %d %g\n", partial(0), halved(3));
  std::cout << streamed(0) << '\n';
  return 0;
}
