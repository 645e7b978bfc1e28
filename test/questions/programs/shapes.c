// A drawing: what developers of C ask about at a breakpoint. It stops four times by `inspect`.
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum kind { CIRCLE, SQUARE, LABEL };
enum flags { VISIBLE = 1, LOCKED = 2, DIRTY = 4 };
struct point { double x, y; };
struct label { char text[24]; uint8_t size; };
struct shape {
  enum kind kind;
  enum flags flags;
  struct point at;
  union { double radius, side; struct label label; } as;
  unsigned layer : 4, hidden : 1;
  double (*area)(const struct shape*);
  struct shape *next, *parent;
};
struct small { int a; float b; };
struct list { struct shape *first, *last; size_t count; };
typedef int (*compare)(const void*, const void*);

struct list drawing;
int numbers[8] = {5, 3, 8, 1, 9, 2, 7, 4};
const char* names[] = {"circle", "square", "label", NULL};
float grid[2][3] = {{0.5f, 1.25f, -3}, {1e10f, NAN, INFINITY}};
__thread int depth = 7;
_Thread_local char note[16] = "of this thread";
static long calls;
volatile sig_atomic_t signals;
void* opaque = &drawing;
wchar_t wide[] = L"wide \u00e4";
unsigned char raw[6] = {0, 1, 0x7f, 0x80, 0xfe, 0xff};
_Complex double turn = 1.5 - 2.0 * 1.0i;
long double precise = 1.0L / 3;
__int128 large = (__int128)1 << 100;

double area_of(const struct shape* s) { calls++; return s->area(s); }
static double circle_area(const struct shape* s) { return 3.0 * s->as.radius * s->as.radius; }
static double square_area(const struct shape* s) { return s->as.side * s->as.side; }
static double label_area(const struct shape* s) { return (double)strlen(s->as.label.text) * s->as.label.size; }

struct shape* add(enum kind kind, struct point at, double size, const char* text) {
  static double (*const areas[])(const struct shape*) = {circle_area, square_area, label_area};
  struct shape* s = calloc(1, sizeof *s);
  s->kind = kind;
  s->at = at;
  s->area = areas[kind];
  s->layer = (unsigned)drawing.count & 15;
  s->flags = kind == LABEL ? VISIBLE | DIRTY : VISIBLE;
  if (text) { strncpy(s->as.label.text, text, sizeof s->as.label.text - 1); s->as.label.size = (uint8_t)size; }
  else s->as.radius = size;
  s->parent = drawing.first;
  if (drawing.last) drawing.last->next = s; else drawing.first = s;
  drawing.last = s;
  drawing.count++;
  return s;
}

// Called by a debugger.
void print_shape(const struct shape* s) { printf("%s at (%g, %g), area %.2f\n", names[s->kind], s->at.x, s->at.y, s->area(s)); }
void print_drawing(void) { for (const struct shape* s = drawing.first; s; s = s->next) print_shape(s); }
void print_part(const char* text) { printf("[%s]", text); }                 // no end of line: it stays in the buffer
void warn_part(const char* text) { fprintf(stderr, "{%s}", text); }
int sum(const int* values, int count) { int total = 0; for (int i = 0; i < count; i++) total += values[i]; return total; }
struct point middle(struct point a, struct point b) { return (struct point){(a.x + b.x) / 2, (a.y + b.y) / 2}; }
struct small swap(struct small s) { return (struct small){(int)s.b, (float)s.a}; }
struct shape copy_of(const struct shape* s) { return *s; }
float half(float f) { return f / 2; }
double scale(double d, int by, float plus) { return d * by + plus; }
const char* name_of(enum kind kind) { return names[kind]; }
char* joined(const char* a, const char* b) { char* s = malloc(strlen(a) + strlen(b) + 2); sprintf(s, "%s-%s", a, b); return s; }
int count_format(const char* format, ...) { char line[99]; va_list l; va_start(l, format); int n = vsnprintf(line, sizeof line, format, l); va_end(l); return n; }
int fails(void) { return access("/no/such/file", R_OK); }
int crashes(const int* p) { return *p + 1; }
bool is_square(const struct shape* s) { return s->kind == SQUARE; }
void grow(struct shape* s, double by) { s->as.radius *= by; }
static int ascending(const void* a, const void* b) { return *(const int*)a - *(const int*)b; }
int raise_and_count(void) { raise(SIGUSR1); return signals; }
static void on_signal(int number) { (void)number; signals++; }

__attribute__((noinline)) int inspect(struct list* list, int round, const char* why) {
  if (!why[0]) return 0;
  int before = numbers[0];
  double total = 0;
  for (struct shape* s = list->first; s; s = s->next) total += area_of(s);
  errno = 40 + round;
  depth += round;
  return (int)total + before;                                               // stop here
}

__attribute__((noinline)) int recurse(int levels, struct point at) {
  if (levels == 0) return inspect(&drawing, 2, "deep");
  struct point next = {at.x + 1, at.y * 2};
  int below = recurse(levels - 1, next);
  return below + levels;
}

int main(int argc, char** argv) {
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGUSR1, &action, NULL);
  add(CIRCLE, (struct point){1, 2}, 1.5, NULL);
  add(SQUARE, (struct point){-3, 4.25}, 2, NULL);
  int first = inspect(&drawing, 1, "first");
  add(LABEL, (struct point){0, 0}, 3, argc > 1 ? argv[1] : "nothing");
  compare order = ascending;
  qsort(numbers, 4, sizeof numbers[0], order);
  raise(SIGUSR1);
  numbers[7] += first;
  int deep = recurse(3, (struct point){0.5, 1});
  int third = inspect(&drawing, 3, "third");
  printf("%d %d %d, %ld calls, %d signals\n", first, deep, third, calls, (int)signals);
  inspect(&drawing, 4, "last");
  return 0;
}
