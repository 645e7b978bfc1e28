// Objects of every kind that C++ has, for a debugger to print: at Account::pay, where `this` is an account.
// Build: g++ -g -O0 -static -o objects objects.cc
#include <cstdio>
#include <cstring>

namespace shop {

enum class Level : unsigned char { low = 1, high = 9 };

struct Point {
  int x, y;
  Point operator+(const Point& other) const { return {x + other.x, y + other.y}; }
  bool operator==(const Point& other) const { return x == other.x && y == other.y; }
  int operator[](int index) const { return index ? y : x; }
};

struct Named {
  const char* name;
  virtual ~Named() = default;
  virtual int weight() const { return 1; }
};
struct Tagged {
  long tag = 77;
};

template <typename T, int N>
struct Stack {
  T items[N];
  int used = 0;
  void push(const T& item) { items[used++] = item; }
  int size() const { return used; }
  const T& top() const { return items[used - 1]; }
};

template <typename T>
T larger(T a, T b) {
  return a < b ? b : a;
}

int checked(int amount) { return amount < 0 ? 0 : amount; }
double checked(double amount) { return amount < 0 ? 0 : amount; }
const char* checked(const char* text) { return text ? text : "none"; }

struct Account : Named, Tagged {
  static int opened;
  double balance = 0;
  Point place{3, 4};
  Point& home = place;
  Level level = Level::high;
  Stack<int, 4> history;
  char code[6];
  Account* partner = nullptr;

  explicit Account(const char* n) {
    name = n;
    std::strcpy(code, "AC-1");
    opened++;
  }
  int weight() const override { return 2; }
  int payments() const { return history.size(); }
  double after(double amount) const { return balance - amount; }
  static int count() { return opened; }
  int pay(int amount, const Point& where, Level how) {
    int before = history.size();
    balance -= amount;
    history.push(amount);
    return before + where.x + static_cast<int>(how);
  }
};
int Account::opened = 0;

using Handler = int (Account::*)(int, const Point&, Level);

namespace {
int hidden = 41;
int secret(int n) { return n + hidden; }
}  // namespace

Account first("first"), second("second");
Named* anyone = &second;
Handler handler = &Account::pay;
int Point::*column = &Point::y;
Stack<Point, 2> corners;
long large = 1l << 40;
bool flag = true;
wchar_t wide[] = L"wide";
char16_t sixteen = u'\u00e9';

}  // namespace shop

int shop_total = 5;

int main() {
  using namespace shop;
  first.partner = &second;
  corners.push({1, 2});
  corners.push(corners.top() + Point{10, 10});
  int sum = 0;
  for (int i = 1; i <= 3; i++) sum += first.pay(i * 7, corners.items[i % 2], Level::low);
  std::printf("%d %g %d %d %d\n", sum, first.balance, secret(1), larger(3, 4), checked(-1));
  std::printf("%g %s %d\n", checked(-2.5), checked("text"), static_cast<int>(larger(2.5, 1.5)));
  std::printf("%d %d %d %d\n", anyone->weight(), corners.top() == Point{1, 2}, corners.top()[1], (first.*handler)(1, {1, 1}, Level::high));
  std::printf("%d %g %d %d %d\n", first.payments(), first.after(2.5), Account::count(), corners.top().*column, shop_total);
  return 0;
}
