// Values of every kind that C has, for a debugger to print: at look() in main's third iteration.
// Build: gcc -g -O0 -static -o values values.c values-more.c
#include <complex.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "values.h"

enum color { RED, GREEN = 5, BLUE = -1 };
enum mode { READ = 1, WRITE = 2, EXECUTE = 4 };
typedef unsigned char byte;

struct flags {
  unsigned ready : 1;
  unsigned level : 3;
  int offset : 5;
  unsigned long rest : 40;
};
union word {
  uint32_t whole;
  float real;
  byte bytes[4];
};
struct shape {
  enum { CIRCLE, SQUARE } kind;
  union {
    double radius;
    struct {
      float width, height;
    };
  };
};
struct item {
  int key;
  const char* name;
  char code[8];
  struct flags flags;
  struct shape shape;
  struct item* next;
};
struct small {
  short a;
  char b;
};
struct floats {
  float x, y;
};
struct large {
  long values[5];
  char text[12];
};

static int counter = 7;
static long step(long n) { return n + 1; }

enum color color = GREEN;
enum mode mode = READ | EXECUTE;
_Bool yes = true;
signed char minus = -3;
unsigned char above = 200;
unsigned int huge_unsigned = 4000000000u;
long long lowest = INT64_MIN;
uint64_t highest = UINT64_MAX;
float third = 1.0f / 3;
double tenth = 0.1;
long double wide = 1.25L;
double complex spiral = 3 + 4 * I;
int numbers[6] = {1, 2, 3, 5, 8, 13};
int grid[2][3] = {{1, 2, 3}, {4, 5, 6}};
int zeros[40];
char word_text[16] = "word";
char latin[] = "caf\xe9 \x01\n";
const char* utf8 = "na\xc3\xafve";
const char* texts[3] = {"one", "two", NULL};
union word word = {0x40490fdb};
struct flags flags = {1, 5, -4, 1ul << 39};
struct item items[3];
struct large large = {{10, 20, 30, 40, 50}, "large"};
void* nothing;
volatile int shaken = 9;
const int fixed = 11;

int add(int a, int b) { return a + b; }
double half(double x) { return x / 2; }
float scaled(float x, int by) { return x * by; }
unsigned wrap(unsigned char c) { return c + 1u; }
int negative(void) { return -5; }
bool is_even(int n) { return n % 2 == 0; }
enum color next_color(enum color c) { return c == RED ? GREEN : c == GREEN ? BLUE : RED; }
struct pair make_pair(long first, double second) { return (struct pair){first, second}; }
double pair_sum(struct pair p) { return p.first + p.second; }
struct small make_small(short a, char b) { return (struct small){a, b}; }
int small_sum(struct small s) { return s.a + s.b; }
struct floats make_floats(float x) { return (struct floats){x, -x}; }
float floats_difference(struct floats f) { return f.x - f.y; }
struct large make_large(long from) {
  struct large l = {{from, from + 1, from + 2, from + 3, from + 4}, "made"};
  return l;
}
long large_sum(struct large l) { return l.values[0] + l.values[4] + l.text[0]; }
struct item* find(int key) {
  for (struct item* i = items; i; i = i->next)
    if (i->key == key) return i;
  return NULL;
}
const char* name_of(int key) { return find(key)->name; }
int apply(int (*f)(int, int), int a, int b) { return f(a, b); }
long many(int a, long b, char c, short d, int e, long f, long g, double h) { return a + b + c + d + e + f + g + (long)h; }
int (*operation)(int, int) = add;

int look(int turn, double weight, struct item* item) {
  int local = turn * 10;
  char buffer[8] = "buf";
  struct small pieces[2] = {{1, 'x'}, {2, 'y'}};
  {
    int local = -turn;
    buffer[4] = (char)('0' - local);
  }
  printf("%d %g %s %s %d\n", local, weight, item->name, buffer, pieces[1].a);
  return local;
}

int main(void) {
  static const char* names[] = {"zero", "first", "second"};
  for (int i = 0; i < 3; i++) {
    struct item* item = &items[i];
    item->key = i * 100;
    item->name = names[i];
    snprintf(item->code, sizeof item->code, "c-%d", i);
    item->flags = (struct flags){i & 1, i, -i, 1000ul * i};
    item->shape.kind = i % 2;
    if (i % 2) item->shape.width = 1.5f, item->shape.height = -2;
    else item->shape.radius = i + 0.25;
    item->next = i < 2 ? item + 1 : NULL;
  }
  for (int turn = 1; turn <= 3; turn++) counter += look(turn, turn / 8.0, &items[turn - 1]);
  printf("%d %ld %ld\n", counter, step(counter), far_count());
  return 0;
}
